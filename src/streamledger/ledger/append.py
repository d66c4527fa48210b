"""The append: the one statement by which events come into the ledger, many at a time.

`recorder.LedgerRecorder.insert_events` is its only caller. Positions come from the head row, whose lock is
that of all writers (ADR 0013; the gap test shows what happens without it).
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import psycopg
from eventsourcing.persistence import StoredEvent
from psycopg.rows import tuple_row

from streamledger.ledger.mapper import StoredDelivery

CHANNEL: Final = "ledger_events"
"""NOTIFY channel, with the schema's name behind it."""

APPEND_SQL: Final = (
    "SELECT positions, appended FROM append_events(%b, %b::text[], %b::int8[], %b::text[], %b::bytea[],"
    " %b::uuid[], %b, %b::text, %b::text[], %b::int8[]) AS append(positions, appended)"
)
"""The append, whole: postgres/migrations/0001_ledger.sql has its statements, and their reasons."""


HEAD_LOCK_SQL: Final = "SELECT position FROM ledger_head WHERE sole FOR UPDATE"


class Appended(msgspec.Struct, frozen=True):
    """What became of a batch."""

    positions: list[int]
    """Of the events, in their order; of those that were there already, the positions they have."""
    new: int
    """How many were not there already."""


def take_head(cursor: psycopg.Cursor[Any]) -> None:
    """Wait for the lock of all writers: until the transaction ends, nobody else appends."""
    cursor.execute(HEAD_LOCK_SQL)


def append_events(
    connection: psycopg.Connection[Any],
    schema: str,
    events: Sequence[StoredEvent],
    *,
    counts: Mapping[str, int],
    counted_as: str | None = None,
    look_first: bool = False,
) -> Appended:
    """Append events in the given order and add to the intake counters.

    One round trip; a transaction of its own unless one is open, which must be READ COMMITTED.
    `counted_as` is the counter of each event that is new. With `look_first` events whose delivery id is there
    are passed over, and a batch that was stored before counts nothing.
    """
    versions = [event.originator_version for event in events]
    with connection.cursor(binary=True, row_factory=tuple_row) as cursor:
        cursor.execute(
            APPEND_SQL,
            (
                f"{CHANNEL}_{schema}",
                [event.originator_id for event in events],
                versions if any(versions) else None,
                [event.topic for event in events],
                [event.state for event in events],
                [_id_of(event) for event in events],
                look_first,
                counted_as,
                list(counts),
                list(counts.values()),
            ),
            prepare=True,
        )
        row = cursor.fetchone()
    assert row is not None  # noqa: S101  # a function that is no set returns one row
    return Appended(row[0], row[1])


def _id_of(event: StoredEvent) -> uuid.UUID:
    """The delivery's own id; a new one for an event of the library's users, which has none."""
    found = event.delivery_id if isinstance(event, StoredDelivery) else None
    return found or uuid.uuid4()
