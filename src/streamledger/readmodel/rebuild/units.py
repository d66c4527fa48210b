"""Units of work: runs of neighbouring streams, cut so that one fits in a worker's memory."""

from collections.abc import Generator, Iterator
from typing import Any, Final

import msgspec
import psycopg

EVENTS_PER_UNIT: Final = 8000
"""Events folded at once, about: they, their rows and their lines take some 40 MB."""

# A loose index scan: a step a stream, however many events it has. Versions count a stream's events.
_STREAMS_SQL: Final = """
WITH RECURSIVE streams(originator_id) AS (
    (SELECT originator_id FROM ledger_events ORDER BY originator_id LIMIT 1)
    UNION ALL
    SELECT (SELECT e.originator_id FROM ledger_events AS e WHERE e.originator_id > streams.originator_id
            ORDER BY e.originator_id LIMIT 1)
    FROM streams WHERE streams.originator_id IS NOT NULL
)
SELECT originator_id, (SELECT max(e.originator_version) FROM ledger_events AS e
                       WHERE e.originator_id = streams.originator_id)
FROM streams WHERE originator_id IS NOT NULL
"""


class Unit(msgspec.Struct, frozen=True):
    """The streams from one name to another, in the index's order of names, and about how many events."""

    first: str
    last: str
    events: int

    @property
    def is_long(self) -> bool:
        """Whether it is one stream that is not to be held in memory."""
        return self.first == self.last and self.events > 4 * EVENTS_PER_UNIT


class Stretch(msgspec.Struct, frozen=True):
    """The next events after a position, for a projection that takes history in order."""

    projection: str
    after: int


class Reading(msgspec.Struct, frozen=True):
    """The events after one position up to another, of which is to be read what they tell of senders."""

    after: int
    until: int


def readings(until: int) -> Iterator[Reading]:
    """All of history up to a position; positions have no gaps."""
    for after in range(0, until, EVENTS_PER_UNIT):
        yield Reading(after, min(after + EVENTS_PER_UNIT, until))


def units(connection: psycopg.Connection[Any]) -> Generator[Unit]:
    """All streams of the ledger in units, found while the caller goes on: a cursor, not a list."""
    first = last = ""
    events = 0
    with connection.transaction(), connection.cursor(name="streams") as cursor:
        connection.execute("SET LOCAL enable_seqscan = off")
        cursor.itersize = 2000
        cursor.execute(_STREAMS_SQL)
        for originator, count in cursor:
            if events and events + count > EVENTS_PER_UNIT:
                yield Unit(first, last, events)
                events = 0
            if not events:
                first = originator
            last = originator
            events += count
    if events:
        yield Unit(first, last, events)
