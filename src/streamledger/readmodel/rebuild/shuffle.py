"""The ledger sorted by streams: what one pass over it has read, on disk, in buckets that fit in memory.

Each worker writes into one file, a run for each piece of the ledger that it has read; all read all files.
They have no name, so nothing of them is left when the processes end, however they do (ADR 0047).
"""

import os
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from multiprocessing import reduction
from typing import IO, Any, Final
from zlib import crc32

import msgspec

from streamledger.domain.errors import StreamledgerError
from streamledger.domain.events import Delivery
from streamledger.readmodel.fold.facts import Event, PlainMedia, fact_of
from streamledger.readmodel.rebuild.units import EVENTS_PER_UNIT, Section, Unit

EVENTS_PER_BUCKET: Final = 1000
"""About: few streams together, so that streams of many events do not make a bucket of very many."""
BUCKETS: Final = 1000
LONG_EVENTS_PER_BUCKET: Final = 2500
"""The same of a ledger too long for so many: what a piece of it has of a bucket is read by itself."""
BUCKETS_LOOKED_AT: Final = 100
"""At once: their places in all runs are in memory then."""


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
    """Where one piece of the ledger lies: bucket after bucket, and a table of where each begins."""

    after: int
    """The position after which the piece begins."""
    file: int
    table: int
    """Its offset. In 64 bits each: of every bucket its offset and how many events it has, and the end."""


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
    named = os.environ.get("TMPDIR")
    if named:
        return named
    large = "/var/tmp"  # noqa: S108  # the file has no name
    return large if os.access(large, os.W_OK) else tempfile.gettempdir()


def make_file() -> IO[bytes]:
    """A file for the runs of one worker. Raises NoTemporaryFiles."""
    with said_clearly():
        return tempfile.TemporaryFile(dir=directory())


@contextmanager
def said_clearly() -> Iterator[None]:
    """What the disk refuses is raised as NoTemporaryFiles."""
    try:
        yield
    except OSError as error:
        raise NoTemporaryFiles(directory=directory(), reason=error.strerror or error) from None


def bucket_count(until: int) -> int:
    """Into how many buckets a history of so many events is sorted."""
    return max(1, min(BUCKETS, until // EVENTS_PER_BUCKET), until // LONG_EVENTS_PER_BUCKET)


class Sorter:
    """Sorts one piece of the ledger into buckets, in memory, and writes it as a run."""

    def __init__(self, buckets: int) -> None:
        self._buckets: list[list[bytes]] = [[] for _ in range(buckets)]
        self._known: dict[str, list[bytes]] = {}
        self.events = 0

    def put(self, stream_id: str | None, kept: Kept) -> None:
        """The next event, in the order of positions, and the stream that its body names."""
        name = stream_id or ""
        bucket = self._known.get(name)
        if bucket is None:
            bucket = self._known[name] = self._buckets[crc32(name.encode()) % len(self._buckets)]
        bucket.append(_encode(kept))
        self.events += 1

    def write(self, after: int, number: int, file: SharedFile) -> Run:
        """Write all of it to the end of a file, of which `number` is the place among all."""
        # Each bucket is one list in msgpack, of 32 bits of length.
        parts = [b"\xdd" + len(each).to_bytes(4, "big") + b"".join(each) for each in self._buckets]
        offsets = [*accumulate(map(len, parts), initial=os.lseek(file.descriptor, 0, os.SEEK_END))]
        table = array("Q")
        for offset, count in zip(offsets, [*map(len, self._buckets), 0], strict=True):
            table.extend((offset, count))
        run = b"".join([*parts, table.tobytes()])
        written = 0
        with said_clearly():
            while written < len(run):
                written += os.write(file.descriptor, memoryview(run)[written:])
        return Run(after, number, offsets[-1])


class Buckets:
    """Where all buckets lie, as the parent knows from the runs, whose tables stay on the disk."""

    def __init__(self, count: int, files: Sequence[SharedFile]) -> None:
        self._count = count
        self._files = files
        self._runs: list[Run] = []

    def add(self, run: Run) -> None:
        """One more run, in any order."""
        self._runs.append(run)

    def units(self) -> Iterator[Unit]:
        """All buckets, as many at a time as are to be in memory; each in the order of positions."""
        sections: list[Section] = []
        events = 0
        for count, of_bucket in self._buckets():
            if events and events + count > EVENTS_PER_UNIT:
                yield Unit(events, tuple(sections))
                sections, events = [], 0
            events += count
            sections += of_bucket
        if events:
            yield Unit(events, tuple(sections))

    def _buckets(self) -> Iterator[tuple[int, list[Section]]]:
        """Of each bucket how many events it has, and where they lie."""
        runs = sorted(self._runs, key=lambda run: run.after)
        for first in range(0, self._count, BUCKETS_LOOKED_AT):
            number = min(BUCKETS_LOOKED_AT, self._count - first)
            tables = [self._table(run, first, number) for run in runs]
            for place in range(0, 2 * number, 2):
                yield (
                    sum([table[place + 1] for table in tables]),
                    [
                        (run.file, table[place], table[place + 2] - table[place])
                        for run, table in zip(runs, tables, strict=True)
                        if table[place + 1]
                    ],
                )

    def _table(self, run: Run, first: int, number: int) -> "array[int]":
        """The part of a run's table for some buckets, and the offset behind them."""
        table = array("Q")
        descriptor = self._files[run.file].descriptor
        table.frombytes(os.pread(descriptor, 16 * (number + 1), run.table + 16 * first))
        return table


def read_kept(files: Sequence[SharedFile], unit: Unit) -> Iterator[Kept]:
    """What is in a unit, each stream in the order of positions, section by section."""
    for number, offset, size in unit.sections:
        yield from _decode(os.pread(files[number].descriptor, size, offset))


def positions_in(files: Sequence[SharedFile], unit: Unit) -> Iterable[int]:
    """The positions of what is in a unit, likewise."""
    return (kept.position for kept in read_kept(files, unit))
