"""A long bucket's events in smaller ones on disk, by identity, so that one after another fits in memory."""

from collections.abc import Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import IO, Final

import msgspec

from streamledger.domain.kinds import ATTRIBUTED_KINDS
from streamledger.readmodel.fold.facts import Event, PlainMedia
from streamledger.readmodel.rebuild.shuffle import Kept, Whole, event_of, make_file, said_clearly

BUCKET_EVENTS: Final = 16_000
BUCKETS_MAX: Final = 250
"""Of each sort; they are open files."""

SESSIONS_MAX: Final = 20_000
"""Of one bucket, held in memory from one smaller bucket to the next: they take some 60 MB."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Kept).decode


class Spill:
    """Events in temporary files; all deliveries of one identity are in one file, in their order."""

    def __init__(self, events: int) -> None:
        self._files = ExitStack()
        self._sequences: set[tuple[str, str]] = set()
        count = min(BUCKETS_MAX, events // BUCKET_EVENTS + 1)
        self._defining = [self._open() for _ in range(count)]
        self._media = [self._open() for _ in range(count)]

    def _open(self) -> IO[bytes]:
        return self._files.enter_context(make_file())

    def __enter__(self) -> "Spill":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def put(self, each: Event) -> None:
        """Put an event into its bucket."""
        if isinstance(each, PlainMedia):
            kept: Kept = each
            files, identity = self._media, (each.stream_id, each.kind, each.key)
        else:
            kept, notification = Whole(each.position, each.delivery), each.notification
            identity = (notification.stream_id or "", notification.kind.value, notification.key)
            files = self._media if notification.kind in ATTRIBUTED_KINDS else self._defining
            if notification.sequence and notification.stream_id and files is self._defining:
                self._sequences.add((notification.stream_id, notification.sequence))
        # hash() of a text differs from process to process, and a spill lives in one.
        place = hash(identity) % len(files)
        encoded = _encode(kept)
        with said_clearly():
            files[place].write(len(encoded).to_bytes(4, "big") + encoded)

    @property
    def is_oversized(self) -> bool:
        """Whether there are more sessions than are to be held in memory."""
        return len(self._sequences) > SESSIONS_MAX

    def defining(self) -> Iterator[Iterator[Event]]:
        """Bucket by bucket what defines sessions."""
        yield from map(self._read, self._defining)

    def media(self) -> Iterator[Iterator[Event]]:
        """Likewise recordings, screenshots and what else finds its session by time."""
        yield from map(self._read, self._media)

    def _read(self, file: IO[bytes]) -> Iterator[Event]:
        file.seek(0)
        while size := file.read(4):
            yield event_of(_decode(file.read(int.from_bytes(size, "big"))))
