"""How long making indexes still takes, told from the tables' sizes and what PostgreSQL says of its work."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import psycopg

LOOK_EVERY_S: Final = 0.5
PACE_AFTER_S: Final = 0.2
"""For how long to have seen work done before the time left is told from it."""

_SIZES_SQL: Final = "SELECT t, pg_relation_size(t::regclass) FROM unnest(%s::text[]) AS given(t)"
_UNDER_WAY_SQL: Final = """
SELECT c.relname, p.phase, coalesce(p.blocks_done, 0), coalesce(p.blocks_total, 0),
       coalesce(p.tuples_done, 0), coalesce(p.tuples_total, 0)
FROM pg_stat_progress_create_index AS p JOIN pg_class AS c ON c.oid = p.relid
WHERE p.datname = current_database() AND c.relname = ANY(%s::text[])
"""
SCANNING: Final = 0.6
"""The part of making an index that reading the table is; sorting and writing are the rest."""
SORTED: Final = 0.8


class IndexPace:
    """Adds up work done, in bytes of tables that indexes were made of, and goes on at the same pace."""

    def __init__(self, connection: psycopg.Connection[Any], work: Mapping[str, int]) -> None:
        """`work` is how many indexes each table gets. The connection is this one's alone."""
        self._connection = connection
        sizes = dict(connection.execute(_SIZES_SQL, (list(work),)).fetchall())
        # An empty table's index takes its time too.
        self.bytes_of: dict[str, int] = {table: sizes[table] + 8192 for table in work}
        self._total = sum(self.bytes_of[table] * count for table, count in work.items())
        self._done = 0
        self._began_s = time.monotonic()
        self._looked_s = 0.0
        self._left_s: float | None = None

    def finished(self, table: str) -> None:
        """One more index of the table is there."""
        self._done += self.bytes_of[table]

    def left_s(self) -> float | None:
        """Seconds until all are there; None while nobody can say. Looks now and then."""
        now_s = time.monotonic()
        if now_s - self._looked_s < LOOK_EVERY_S:
            return self._left_s
        self._looked_s = now_s
        under_way = self._connection.execute(_UNDER_WAY_SQL, (list(self.bytes_of),)).fetchall()
        done = self._done + sum(self.bytes_of[row[0]] * part_done(row[1:]) for row in under_way)
        self._left_s = seconds_left(done, self._total, now_s - self._began_s)
        return self._left_s


def part_done(row: Sequence[Any]) -> float:
    """How much of an index is made, 0 to 1, by a row of pg_stat_progress_create_index."""
    phase: str = row[0]
    blocks_done, blocks_total, tuples_done, tuples_total = map(int, row[1:])
    if "scanning" in phase:
        return SCANNING * blocks_done / max(1, blocks_total)
    if "sorting" in phase:
        return SCANNING
    if "loading" in phase:
        return SORTED + (1 - SORTED) * tuples_done / max(1, tuples_total)
    return 0.0


def seconds_left(done: float, total: float, lasted_s: float) -> float | None:
    """At the pace so far; None before there is one."""
    if lasted_s < PACE_AFTER_S or done <= 0:
        return None
    return max(0.0, total - done) * lasted_s / done
