"""How far a worker is within one long bucket: told to the parent part-way, so that the progress moves on."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from streamledger.readmodel.fold.facts import Event

TELL_EVERY_S: Final = 0.5
LOOK_EVENTS: Final = 500
"""How many events are read between two looks at the clock."""


class PartWay:
    """Counts in passes over the bucket: one reads it, the other folds it, each an equal part of the way.

    `told` is how many events the parent has been told of; it never exceeds the number of those read.
    """

    def __init__(self, events: int, tell: Callable[[int], None]) -> None:
        """`events` is about how many there are, until all are read; `tell` is given what is newly done."""
        self.told = 0
        self._events = events
        self._pass = 0
        self._within = 0
        self._tell = tell
        self._told_s = time.monotonic()

    def reading(self, events: Iterable[Event]) -> Iterator[Event]:
        """The same events, counted as the first pass."""
        yield from self._counted(events)
        self._events = self._within

    def folding(self, *buckets: Iterable[Iterable[Event]]) -> list[Iterator[Iterator[Event]]]:
        """The same buckets, counted as the next pass."""
        self._pass += 1
        self._within = 0
        return [map(self._counted, each) for each in buckets]

    def _counted(self, events: Iterable[Event]) -> Iterator[Event]:
        for event in events:
            yield event
            self._within += 1
            if self._within % LOOK_EVENTS == 0:
                self._look()

    def _look(self) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s < TELL_EVERY_S:
            return
        self._told_s = now_s
        done = (self._pass * self._events + min(self._within, self._events)) // 2
        if done > self.told:
            self._tell(done - self.told)
            self.told = done
