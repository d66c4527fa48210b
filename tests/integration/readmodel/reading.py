"""A ledger and its read model for tests: fill, project in any pieces, empty, and read every row back."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import psycopg

from streamledger.ledger import reader
from streamledger.ledger.append import NewEvent
from streamledger.readmodel import projection, rows
from streamledger.readmodel.rows import AnyRow, SessionRow, StreamRow, TimelineRow
from streamledger.readmodel.session_projection import SessionsProjection
from streamledger.readmodel.tables import TYPES, columns_of, session_row, stream_row, timeline_row
from tests.deliveries import NOON_S, SCHEMA, cut, store

ROW_OF = {"sessions": session_row, "timeline": timeline_row, "streams": stream_row}
SESSIONS = (SessionsProjection(),)
NOW_US = NOON_S * 1_000_000


def empty_read_model(connection: psycopg.Connection[Any]) -> None:
    """As before the first event; the ledger stays."""
    with connection.transaction():
        _delete_all(connection, "projections", "sessions", "timeline", "streams")


def empty_ledger(connection: psycopg.Connection[Any]) -> None:
    """Away with everything, past the triggers that refuse it."""
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        _delete_all(connection, "ledger_events", "projections", "sessions", "timeline", "streams")


def _delete_all(connection: psycopg.Connection[Any], *tables: str) -> None:
    # For a few rows much faster than TRUNCATE, which makes every file and index anew.
    for table in tables:
        connection.execute(f"DELETE FROM {table}")


def project(connection: psycopg.Connection[Any], cuts: Sequence[int] = ()) -> None:
    """Let the sessions projection take in all that is new, in batches cut at these places."""
    after = projection.checkpoints(connection, SESSIONS)["sessions"]
    for events in cut(list(reader.read_all(connection, after)), cuts):
        after = projection.project(connection, SESSIONS, events, after=after, now_us=NOW_US, schema=SCHEMA)


def given(connection: psycopg.Connection[Any], *events: NewEvent, cuts: Sequence[int] = ()) -> None:
    """Append and project."""
    store(connection, events)
    project(connection, cuts)


def all_rows(connection: psycopg.Connection[Any]) -> dict[str, list[AnyRow]]:
    """Every row of the read model, each table in the order of its key."""
    found: dict[str, list[AnyRow]] = {}
    for table, row_of in ROW_OF.items():
        values = connection.execute(f"SELECT {columns_of(table)} FROM {table}").fetchall()
        found[table] = sorted((row_of(each) for each in values), key=rows.copy_line)
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


def digest(connection: psycopg.Connection[Any]) -> int:
    """The digest at the checkpoint."""
    row = connection.execute("SELECT digest FROM projections WHERE name = 'sessions'").fetchone()
    return int(row[0]) if row else 0


def recomputed_digest(connection: psycopg.Connection[Any]) -> int:
    """The digest as it must be, from the rows in the tables."""
    return (
        sum(
            rows.digest_of(table, rows.copy_line(row))
            for table, found in all_rows(connection).items()
            for row in found
        )
        % rows.DIGEST_MODULUS
    )


ARRIVAL = frozenset({"position", "deliveries", "copies", "received_ms", "first_seen_us", "last_seen_us"})
"""Columns that say how the knowledge arrived; all others must not depend on it."""


def truth(connection: psycopg.Connection[Any]) -> dict[str, list[Any]]:
    """Every row less what says how the knowledge arrived; a content that no row holds, from its event."""
    found = all_rows(connection)
    contents = {
        fact.position: fact.notification.content
        for fact in projection.read_facts(reader.read_all(connection))
    }
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


assert set(TYPES) == set(ROW_OF)
