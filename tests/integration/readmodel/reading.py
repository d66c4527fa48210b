"""A ledger and its read model for tests: fill, project in any pieces, empty, and read every row back."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import psycopg

from streamledger.domain.events import NewEvent
from streamledger.ledger import reader
from streamledger.readmodel.fold.columns import (
    columns_of,
    notification_row,
    repeat_row,
    session_row,
    stream_row,
    timeline_row,
)
from streamledger.readmodel.fold.lines import copy_line
from streamledger.readmodel.fold.rows import SessionRow, StreamRow, TableRow, TimelineRow
from streamledger.readmodel.projections import checkpoints as projection
from streamledger.readmodel.projections.reading import events_and_errors, read_facts
from streamledger.readmodel.projections.sessions import TABLES, SessionsView
from tests.deliveries import NOON_S, SCHEMA, cut, store

ROW_OF = {
    "sessions": session_row,
    "timeline": timeline_row,
    "streams": stream_row,
    "repeats": repeat_row,
    "notifications": notification_row,
}
SESSIONS = (SessionsView,)
NOW_US = NOON_S * 1_000_000


def empty_read_model(connection: psycopg.Connection[Any]) -> None:
    """As before the first event; the ledger stays."""
    with connection.transaction():
        _delete_all(connection, "projections", "parked", *TABLES)


def empty_ledger(connection: psycopg.Connection[Any]) -> None:
    """Away with everything, past the triggers that refuse it."""
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        _delete_all(connection, "ledger_events", "projections", "parked", *TABLES)
        connection.execute("UPDATE ledger_head SET position = 0")


def _delete_all(connection: psycopg.Connection[Any], *tables: str) -> None:
    # For a few rows much faster than TRUNCATE, which makes every file and index anew.
    for table in tables:
        connection.execute(f"DELETE FROM {table}")


def project(connection: psycopg.Connection[Any], cuts: Sequence[int] = ()) -> None:
    """Let the sessions projection take in all that is new, in batches cut at these places."""
    after = projection.checkpoints(connection, SESSIONS)["sessions"]
    views = [each(connection, SCHEMA) for each in SESSIONS]
    for rows in cut(list(reader.read_rows_after(connection, after, 10**6)), cuts):
        if not rows:
            continue
        events, unreadable = events_and_errors(rows)
        until = rows[-1][0]
        projection.project(
            connection,
            views,
            events,
            after=after,
            until=until,
            now_us=NOW_US,
            schema=SCHEMA,
            unreadable=unreadable,
        )
        after = until


def given(connection: psycopg.Connection[Any], *events: NewEvent, cuts: Sequence[int] = ()) -> None:
    """Append and project."""
    store(connection, events)
    project(connection, cuts)


def all_rows(connection: psycopg.Connection[Any]) -> dict[str, list[TableRow]]:
    """Every row of the read model, each table in the order of its key."""
    found: dict[str, list[TableRow]] = {}
    for table, row_of in ROW_OF.items():
        values = connection.execute(f"SELECT {columns_of(table)} FROM {table}").fetchall()
        found[table] = sorted((row_of(each) for each in values), key=copy_line)
    return found


def sessions(connection: psycopg.Connection[Any]) -> dict[str, SessionRow]:
    """Session rows by sequence."""
    return {row.sequence: row for row in all_rows(connection)["sessions"] if isinstance(row, SessionRow)}


def timeline(connection: psycopg.Connection[Any]) -> list[TimelineRow]:
    """Timeline rows in the order of a timeline."""
    found = [row for row in all_rows(connection)["timeline"] if isinstance(row, TimelineRow)]
    return sorted(found, key=lambda row: (row.at_ms, row.kind, row.key, row.sequence))


def stream(connection: psycopg.Connection[Any], stream_id: str = "room") -> StreamRow:
    """One stream's row."""
    found = [row for row in all_rows(connection)["streams"] if isinstance(row, StreamRow)]
    return next(row for row in found if row.stream_id == stream_id)


def days(connection: psycopg.Connection[Any]) -> dict[tuple[int, str], int]:
    """Deliveries by day and class."""
    rows = connection.execute("SELECT day, judged_as, deliveries FROM delivery_days").fetchall()
    return {(day, judged_as): count for day, judged_as, count in rows}


TRUE_TABLES = frozenset({"sessions", "timeline", "streams"})
"""Tables that do not tell of deliveries alone."""

ARRIVAL = frozenset({"position", "deliveries", "copies", "received_ms", "first_seen_us", "last_seen_us"})
"""Columns that say how the knowledge arrived; all others must not depend on it."""


def truth(connection: psycopg.Connection[Any]) -> dict[str, list[Any]]:
    """Every row less what says how the knowledge arrived; a content that no row holds, from its event."""
    found = {table: rows for table, rows in all_rows(connection).items() if table in TRUE_TABLES}
    contents = {fact.position: fact.notification.content for fact in read_facts(reader.read_all(connection))}
    for row in found["timeline"]:
        assert isinstance(row, TimelineRow)
        assert (row.content is None) == (row.deliveries == 1)
        assert row.content in (None, contents[row.position])
        row.content = contents[row.position]
    return {
        table: sorted((_without_arrival(msgspec.to_builtins(row)) for row in each), key=repr)
        for table, each in found.items()
    }


def _without_arrival(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _rival_contents(item) if name == "rivals" else _without_arrival(item)
            for name, item in value.items()
            if name not in ARRIVAL
        }
    if isinstance(value, list | tuple):
        return [_without_arrival(item) for item in value]
    return value


def _rival_contents(rivals: Iterable[Sequence[Any]] | None) -> list[str]:
    return [content for content, _ in rivals or ()]
