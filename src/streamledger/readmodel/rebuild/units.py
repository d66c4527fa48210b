"""Units of work: pieces of the ledger to be read, and buckets of streams to be folded."""

from collections.abc import Iterator
from typing import Final

import msgspec

EVENTS_PER_UNIT: Final = 8000
"""Events read or folded at once, about: they, their rows and their lines take some 40 MB."""
READINGS: Final = 1000
"""Pieces that a long ledger is read in, unless they are too long: what is in many is slower to be read."""
READING_EVENTS_MAX: Final = 64_000

Section = tuple[int, int, int]
"""A part of a bucket: the file's number, offset and size in bytes."""


class Reading(msgspec.Struct, frozen=True):
    """The events after one position up to another, to be read and sorted by streams."""

    after: int
    until: int


class Unit(msgspec.Struct, frozen=True):
    """All events of some streams, to be folded: how many, and where they lie."""

    events: int
    sections: tuple[Section, ...]

    @property
    def is_long(self) -> bool:
        """Whether it is not to be held in memory."""
        return self.events > 4 * EVENTS_PER_UNIT


class Stretch(msgspec.Struct, frozen=True):
    """The next events after a position, for a projection that takes history in order."""

    projection: str
    after: int


def readings(until: int) -> Iterator[Reading]:
    """All of history up to a position; positions have no gaps."""
    events = max(EVENTS_PER_UNIT, min(READING_EVENTS_MAX, -(-until // READINGS)))
    for after in range(0, until, events):
        yield Reading(after, min(after + events, until))
