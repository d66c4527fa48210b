"""A projection's digest computed from the rows as they stand, to be held against the one it keeps."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psycopg

from streamledger.readmodel import rows as row_types
from streamledger.readmodel.delivery_rows import recount_deliveries
from streamledger.readmodel.minutes_projection import MinuteRow
from streamledger.readmodel.rows import DIGEST_MODULUS, TableRow
from streamledger.readmodel.tables import columns_of, session_row, stream_row, timeline_row

PAGE_ROWS: Final = 5000

RowOf = Callable[[Sequence[Any]], TableRow]

_SESSIONS: Final[Mapping[str, RowOf]] = {
    "sessions": session_row,
    "timeline": timeline_row,
    "streams": stream_row,
}


def recount_sessions(connection: psycopg.Connection[Any]) -> int:
    """The digest of the live rows of `sessions`, `timeline` and `streams`; within a transaction."""
    return _recount(connection, {table: (columns_of(table), row_of) for table, row_of in _SESSIONS.items()})


def _recount(connection: psycopg.Connection[Any], readers: Mapping[str, tuple[str, RowOf]]) -> int:
    digest = 0
    for table, (columns, row_of) in readers.items():
        with connection.cursor(name=f"recount_{table}", binary=True) as cursor:
            cursor.itersize = PAGE_ROWS
            cursor.execute(f"SELECT {columns} FROM {table}")  # noqa: S608  # constant names
            for values in cursor:
                digest += row_types.digest_of(table, row_types.copy_line(row_of(values)))
    return digest % DIGEST_MODULUS


def recount_minutes(connection: psycopg.Connection[Any]) -> int:
    """The digest of the live rows of `minutes`; within a transaction."""
    return _recount(connection, {"minutes": ("minute_ms, kind, deliveries", _minute_row)})


def _minute_row(values: Sequence[Any]) -> TableRow:
    minute_ms, kind, deliveries = values
    return MinuteRow(minute_ms=minute_ms, kind=kind, deliveries=deliveries)


RECOUNTED_TABLES: Final[Mapping[str, Sequence[str]]] = {
    "sessions": tuple(_SESSIONS),
    "deliveries": ("deliveries", "notifications", "delivery_days"),
    "minutes": ("minutes",),
}
RECOUNTS: Final[Mapping[str, Callable[[psycopg.Connection[Any]], int]]] = {
    "sessions": recount_sessions,
    "deliveries": recount_deliveries,
    "minutes": recount_minutes,
}
"""By name of the projection; one that is not here can be verified by rebuilding only."""


@contextmanager
def snapshot(connection: psycopg.Connection[Any], tables: Sequence[str]) -> Iterator[None]:
    """One moment of the database for everything read inside."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        # Before the snapshot is taken: a rebuild that switched in between would show empty tables.
        connection.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS SHARE MODE")
        yield


def kept_and_counted(connection: psycopg.Connection[Any], name: str) -> tuple[int, int]:
    """The digest that a projection keeps and that of its rows, both of one moment."""
    with snapshot(connection, RECOUNTED_TABLES[name]):
        row = connection.execute("SELECT digest FROM projections WHERE name = %s", (name,)).fetchone()
        return int(row[0]) if row else 0, RECOUNTS[name](connection)


def correct(connection: psycopg.Connection[Any], name: str) -> int:
    """Make the kept digest that of the rows; returns by how much it was off, modulo 2^64.

    The runner goes on meanwhile: what it changes, it changes in both, so the difference stays what it is.
    """
    kept, counted = kept_and_counted(connection, name)
    off = (counted - kept) % DIGEST_MODULUS
    if off:
        connection.execute(
            "UPDATE projections SET digest = mod(digest + %s, 18446744073709551616) WHERE name = %s",
            (off, name),
        )
    return off
