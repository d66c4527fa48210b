"""A long stream's events in buckets on disk, by identity, so that one bucket after another fits in memory."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import IO, Final

import msgspec

from streamledger.domain.events import Delivery
from streamledger.readmodel.batch import ATTRIBUTED_KINDS
from streamledger.readmodel.projection import Fact, fact_of

BUCKET_EVENTS: Final = 16_000
BUCKETS_MAX: Final = 250
"""Of each sort; they are open files."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, Delivery]).decode


class Spill:
    """Events in temporary files; all deliveries of one identity are in one file, in their order."""

    def __init__(self, events: int) -> None:
        self._files = ExitStack()
        count = min(BUCKETS_MAX, events // BUCKET_EVENTS + 1)
        self._defining = [self._open() for _ in range(count)]
        self._media = [self._open() for _ in range(count)]

    def _open(self) -> IO[bytes]:
        return self._files.enter_context(tempfile.TemporaryFile(prefix="streamledger-rebuild-"))

    def __enter__(self) -> "Spill":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def put(self, fact: Fact) -> None:
        """Put a fact into its bucket."""
        files = self._media if fact.notification.kind in ATTRIBUTED_KINDS else self._defining
        # hash() of a text differs from process to process, and a spill lives in one.
        place = hash((fact.notification.kind.value, fact.notification.key)) % len(files)
        encoded = _encode((fact.position, fact.delivery))
        files[place].write(len(encoded).to_bytes(4, "big") + encoded)

    def buckets(self, is_wanted: Callable[[Fact], bool]) -> tuple[list[Iterable[Fact]], list[Iterable[Fact]]]:
        """The buckets of what defines sessions, and of media, less what is not wanted."""
        return (
            [_read(file, is_wanted) for file in self._defining],
            [_read(file, is_wanted) for file in self._media],
        )


def _read(file: IO[bytes], is_wanted: Callable[[Fact], bool]) -> Iterator[Fact]:
    file.seek(0)
    while size := file.read(4):
        position, delivery = _decode(file.read(int.from_bytes(size, "big")))
        fact = fact_of(position, delivery)
        if is_wanted(fact):
            yield fact
