"""Reading the ledger: pages by position, and one stream's events; binary tuples, decoded once."""

import logging
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import psycopg

from streamledger.domain.errors import StreamledgerError
from streamledger.domain.events import LedgerEvent
from streamledger.ledger import mapper

COLUMNS: Final = "notification_id, originator_id, originator_version, topic, state, delivery_id::text"

AFTER_SQL: Final = (
    f"SELECT {COLUMNS} FROM ledger_events WHERE notification_id > %b ORDER BY notification_id LIMIT %b"  # noqa: S608  # constant columns
)
UNTIL_SQL: Final = (
    f"SELECT {COLUMNS} FROM ledger_events WHERE notification_id > %b AND notification_id <= %b"  # noqa: S608  # constant columns
    " ORDER BY notification_id LIMIT %b"
)
OF_SQL: Final = (
    f"SELECT {COLUMNS} FROM ledger_events WHERE originator_id = %b AND originator_version > %b"  # noqa: S608  # constant columns
    " AND notification_id <= %b ORDER BY originator_version LIMIT %b"
)
AT_SQL: Final = (
    f"SELECT {COLUMNS} FROM ledger_events WHERE notification_id = ANY(%b) ORDER BY notification_id"  # noqa: S608  # constant columns
)
OF_DELIVERIES_SQL: Final = f"SELECT {COLUMNS} FROM ledger_events WHERE delivery_id = ANY(%b::uuid[])"  # noqa: S608  # constant columns
STORED_SQL: Final = (
    "SELECT delivery_id, notification_id FROM ledger_events WHERE delivery_id = ANY(%b::uuid[])"
)
HEAD_SQL: Final = "SELECT position FROM ledger_head WHERE sole"

CHECK_SQL: Final = (
    "SELECT max(head.position), (SELECT coalesce(max(notification_id), 0) FROM ledger_events)"
    " FROM ledger_head AS head"
)

TRIGGERS_SQL: Final = "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'ledger_events'::regclass"

Row = tuple[Any, ...]

logger = logging.getLogger(__name__)


class HeadMismatch(StreamledgerError):
    """the ledger's head says {head} and its last event is at {last}: a table was restored without the other,
    or changed by hand; restore both from one backup"""

    exit_code = 3


def event_of(row: Row) -> LedgerEvent:
    """The event of a row of COLUMNS."""
    position, originator_id, originator_version, topic, state, delivery_id = row
    name, delivery = mapper.decode(topic, state)
    return LedgerEvent(
        position=position,
        originator_id=originator_id,
        originator_version=originator_version,
        name=name,
        delivery_id=delivery_id,
        delivery=delivery,
    )


def events_of(rows: Iterable[Row]) -> list[LedgerEvent]:
    """The events of several rows."""
    return [event_of(row) for row in rows]


def events_and_errors(rows: Iterable[Row]) -> tuple[list[LedgerEvent], dict[int, str]]:
    """The events of several rows, and position to error of those that cannot be decoded."""
    events: list[LedgerEvent] = []
    errors: dict[int, str] = {}
    for row in rows:
        try:
            events.append(event_of(row))
        except StreamledgerError as error:  # an event of a later version, or a damaged one
            errors[row[0]] = f"{type(error).__name__}: {error}"
    return events, errors


def read_rows_after(
    connection: psycopg.Connection[Any], position: int, limit: int, until: int = 2**63 - 1
) -> list[Row]:
    """Like `read_after`, not decoded yet: an event that cannot be decoded does not hide the others."""
    with connection.cursor(binary=True) as cursor:
        cursor.execute(UNTIL_SQL, (position, until, limit), prepare=True)
        return cursor.fetchall()


def read_rows_of(
    connection: psycopg.Connection[Any], originator_id: str, version: int, until: int, limit: int
) -> list[Row]:
    """Up to `limit` events of one stream after a version, up to a position, in order, not decoded yet."""
    with connection.cursor(binary=True) as cursor:
        cursor.execute(OF_SQL, (originator_id, version, until, limit), prepare=True)
        return cursor.fetchall()


def read_rows_at(connection: psycopg.Connection[Any], positions: Sequence[int]) -> list[Row]:
    """Like `read_at`, not decoded yet."""
    with connection.cursor(binary=True) as cursor:
        cursor.execute(AT_SQL, (list(positions),), prepare=True)
        return cursor.fetchall()


def read_rows_of_deliveries(
    connection: psycopg.Connection[Any], delivery_ids: Sequence[uuid.UUID | None]
) -> list[Row]:
    """The events with these delivery ids, of those that are there, not decoded yet."""
    with connection.cursor(binary=True) as cursor:
        cursor.execute(OF_DELIVERIES_SQL, (list(delivery_ids),))
        return cursor.fetchall()


def read_after(connection: psycopg.Connection[Any], position: int, limit: int) -> list[LedgerEvent]:
    """Up to `limit` events after a position, in order."""
    with connection.cursor(binary=True) as cursor:
        cursor.execute(AFTER_SQL, (position, limit), prepare=True)
        return events_of(cursor.fetchall())


def read_at(connection: psycopg.Connection[Any], positions: Sequence[int]) -> list[LedgerEvent]:
    """The events at these positions, in order; positions without an event are left out."""
    with connection.cursor(binary=True) as cursor:
        cursor.execute(AT_SQL, (list(positions),), prepare=True)
        return events_of(cursor.fetchall())


def read_all(
    connection: psycopg.Connection[Any], after: int = 0, page_size: int = 2000
) -> Iterator[LedgerEvent]:
    """Every event after a position, page by page: memory does not grow with the history."""
    while page := read_after(connection, after, page_size):
        yield from page
        after = page[-1].position


def head(connection: psycopg.Connection[Any]) -> int:
    """The position of the last event, which is the number of events; 0 when there is none."""
    row = connection.execute(HEAD_SQL).fetchone()
    return int(row[0]) if row else 0


def check_head(connection: psycopg.Connection[Any]) -> None:
    """Raises HeadMismatch when the head is not the position of the last event.

    Says so where no trigger refuses changes, as on Citus: then it is the missing right alone.
    """
    row = connection.execute(CHECK_SQL).fetchone()
    found, last = row or (None, None)
    if found is None or found != last:
        raise HeadMismatch(head=found, last=last)
    if connection.execute(TRIGGERS_SQL).fetchone() == (0,):
        logger.warning("no trigger refuses changes of the ledger: a superuser's mistake would not be stopped")


def positions_of(
    cursor: psycopg.Cursor[Any], delivery_ids: Sequence[uuid.UUID | None]
) -> dict[uuid.UUID | None, int]:
    """The positions of the deliveries with these ids, of those that are there."""
    cursor.execute(STORED_SQL, (list(delivery_ids),))
    return dict(cursor.fetchall())
