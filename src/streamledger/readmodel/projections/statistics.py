"""What the planner knows of a read model that is young: nothing, until it is told.

Of tables that were never looked at PostgreSQL assumes that a stream has a row or two, and takes any index
that begins with the stream for the look-up of a key; statements stay planned so. autovacuum looks after a
minute, and by then a busy stream has thousands (ADR 0046).
"""

from typing import Any, Final

import psycopg

MARKS: Final = (500, 2_000, 8_000, 32_000, 128_000)
"""Positions at which it is told; from then on autovacuum is quick enough."""

_SAMPLE_SQL: Final = "SET LOCAL default_statistics_target = 10"
"""3,000 rows of each table: some ten milliseconds. autovacuum looks at ten times as many."""
_ANALYZE_SQL: Final = "ANALYZE (SKIP_LOCKED) sessions, timeline, notifications"
"""The tables that have several indexes beginning alike. Who may not is warned by PostgreSQL, and goes on."""


def tell_planner(connection: psycopg.Connection[Any], after: int, until: int) -> None:
    """Tell it what is in the tables, if a mark lies between the positions that were taken in."""
    if any(after < mark <= until for mark in MARKS):
        with connection.transaction():
            connection.execute(_SAMPLE_SQL)
            connection.execute(_ANALYZE_SQL)
