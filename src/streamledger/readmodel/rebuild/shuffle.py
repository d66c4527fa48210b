"""The ledger sorted by streams: what one pass over it has read, on disk, in buckets that fit in memory.

Each worker writes into one file, a run for each piece of the ledger that it has read; all read all files.
They have no name, so nothing of them is left when the processes end, however they do (ADR 0047).
"""

import os
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing import reduction
from typing import IO, Any, Final
from zlib import crc32

import msgspec

from streamledger.domain.errors import StreamledgerError
from streamledger.domain.events import Delivery
from streamledger.readmodel.fold.facts import Event, PlainMedia, fact_of
from streamledger.readmodel.rebuild.units import EVENTS_PER_UNIT, Section, Unit

EVENTS_PER_BUCKET: Final = 1000
"""About: few streams together, so that one with many events does not make a bucket of many such."""
BUCKETS_MAX: Final = 4000
BUCKETS_KNOWN_MAX: Final = 100_000
"""Streams of which a worker remembers the bucket."""
BYTES_PER_EVENT: Final = 300
"""About what an event takes on the disk."""


class Whole(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """A delivery that is read beside the others of its stream."""

    position: int
    delivery: Delivery


Kept = PlainMedia | Whole
"""An event as it lies on the disk: of plain media what they say, of all else the delivery."""

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[Kept]).decode


def event_of(kept: Kept) -> Event:
    """The event. Raises MalformedBody."""
    return kept if isinstance(kept, PlainMedia) else fact_of(kept.position, kept.delivery)


class Run(msgspec.Struct, frozen=True):
    """Where one piece of the ledger lies: bucket after bucket, so many events in so many bytes."""

    after: int
    """The position after which the piece begins."""
    file: int
    offset: int
    counts: "array[int]"
    sizes: "array[int]"


class SharedFile:
    """A file without a name, which a spawned process finds open."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __reduce__(self) -> tuple[Any, tuple[Any]]:
        return _received, (reduction.DupFd(self.descriptor),)


def _received(duplicate: Any) -> SharedFile:
    return SharedFile(duplicate.detach())


class NoTemporaryFiles(StreamledgerError):
    """a rebuild sorts history on the disk, and {directory} takes no file: {reason}; TMPDIR names another
    place"""


def directory() -> str:
    """Where large temporary files belong: `/tmp` is memory on many a machine."""
    if "TMPDIR" not in os.environ and os.access("/var/tmp", os.W_OK):  # noqa: S108  # the file has no name
        return "/var/tmp"  # noqa: S108  # likewise
    return tempfile.gettempdir()


def make_file() -> IO[bytes]:
    """A file for the runs of one worker. Raises NoTemporaryFiles."""
    try:
        return tempfile.TemporaryFile(dir=directory())
    except OSError as error:
        raise NoTemporaryFiles(directory=directory(), reason=error.strerror or error) from None


def bucket_count(until: int) -> int:
    """Into how many buckets a history of so many events is sorted."""
    return max(1, min(BUCKETS_MAX, until // EVENTS_PER_BUCKET))


class Sorter:
    """Sorts one piece of the ledger into buckets, in memory, and writes it as a run."""

    def __init__(self, buckets: int) -> None:
        self._buckets: list[list[bytes]] = [[] for _ in range(buckets)]
        self._known: dict[str, list[bytes]] = {}

    def put(self, stream_id: str | None, kept: Kept) -> None:
        """The next event, in the order of positions, and the stream that its body names."""
        name = stream_id or ""
        bucket = self._known.get(name)
        if bucket is None:
            if len(self._known) >= BUCKETS_KNOWN_MAX:
                self._known.clear()
            bucket = self._known[name] = self._buckets[crc32(name.encode()) % len(self._buckets)]
        bucket.append(_encode(kept))

    def write(self, after: int, number: int, file: SharedFile) -> Run:
        """Write all of it to the end of a file, of which `number` is the place among all."""
        # Each bucket is one list in msgpack, of 32 bits of length.
        parts = [b"\xdd" + len(each).to_bytes(4, "big") + b"".join(each) for each in self._buckets]
        run = b"".join(parts)
        offset = os.lseek(file.descriptor, 0, os.SEEK_END)
        written = 0
        while written < len(run):
            written += os.write(file.descriptor, memoryview(run)[written:])
        counts, sizes = array("I", map(len, self._buckets)), array("I", map(len, parts))
        return Run(after, number, offset, counts, sizes)


class Buckets:
    """Where all buckets lie, as the parent knows from the runs."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._runs: list[Run] = []

    def add(self, run: Run) -> None:
        """One more run, in any order."""
        self._runs.append(run)

    def units(self) -> Iterator[Unit]:
        """All buckets, as many at a time as are to be in memory; each in the order of positions."""
        runs = sorted(self._runs, key=lambda run: run.after)
        offsets = [run.offset for run in runs]
        sections: list[Section] = []
        events = 0
        for bucket in range(self._count):
            count = sum([run.counts[bucket] for run in runs])
            if events and events + count > EVENTS_PER_UNIT:
                yield Unit(events, tuple(sections))
                sections, events = [], 0
            events += count
            for place, run in enumerate(runs):
                size = run.sizes[bucket]
                if run.counts[bucket]:
                    sections.append((run.file, offsets[place], size))
                offsets[place] += size
        if events:
            yield Unit(events, tuple(sections))


def read_kept(files: Sequence[SharedFile], unit: Unit) -> Iterator[Kept]:
    """What is in a unit, each stream in the order of positions, section by section."""
    for number, offset, size in unit.sections:
        yield from _decode(os.pread(files[number].descriptor, size, offset))


def positions_in(files: Sequence[SharedFile], unit: Unit) -> Iterable[int]:
    """The positions of what is in a unit, likewise."""
    return (kept.position for kept in read_kept(files, unit))
