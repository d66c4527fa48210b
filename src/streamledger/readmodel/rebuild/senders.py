"""What history tells of senders, for a rebuild: read by many workers, taken in by one, in order.

How streams are judged depends on it, so it is taken in before they are folded.
"""

from typing import Any, Final

import msgspec
import psycopg

from streamledger.domain.senders import Shown
from streamledger.readmodel.projections.addresses import SendersView
from streamledger.readmodel.projections.parking import take_or_park

WRITE_EVERY: Final = 40_000
"""Events between two writes; what came meanwhile is in memory, a pair of `t` and `sign` each."""


class Told(msgspec.Struct, frozen=True, array_like=True):
    """What the events after one position up to another show."""

    after: int
    until: int
    shown: list[Shown]

    def encoded(self) -> bytes:
        """For the way to the parent: many times quicker than one by one."""
        return msgspec.msgpack.encode(self)


_decode: Final = msgspec.msgpack.Decoder(Told).decode


class SendersInOrder:
    """Takes what workers have read into a generation's tables, whichever comes first."""

    def __init__(self, connection: psycopg.Connection[Any], schema: str, suffix: str) -> None:
        self._connection = connection
        self._view = SendersView(connection, schema, suffix)
        self._reached = 0
        self._written = 0
        self._early: dict[int, Told] = {}
        """By the position after which each begins."""
        self._next: list[Shown] = []
        self.parked: dict[int, str] = {}
        """Position to error of what could not be taken in."""

    def put(self, encoded: bytes) -> None:
        """One worker's piece of history."""
        told = _decode(encoded)
        self._early[told.after] = told
        while (following := self._early.pop(self._reached, None)) is not None:
            self._reached = following.until
            self._next += following.shown
        if self._reached - self._written >= WRITE_EVERY:
            self.write()

    def write(self) -> None:
        """Take in what has come so far."""
        with self._connection.transaction():
            self.parked |= take_or_park(self._view, self._view.take_shown, self._next)
        self._next.clear()
        self._written = self._reached
