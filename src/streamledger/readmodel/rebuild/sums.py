"""Tables that count over all streams, put right for the days and minutes of one stream's events."""

from collections.abc import Sequence
from typing import Any

import psycopg

from streamledger.readmodel.rebuild.comparison import Difference, OnRow, compare
from streamledger.readmodel.rebuild.folding import Streamwise
from streamledger.readmodel.rebuild.registry import STREAMWISE
from streamledger.readmodel.rebuild.worker import copy_rows


class Sum:
    """One such table; the first column of its key is the stretch of time that a row counts in."""

    def __init__(self, streamwise: Streamwise, table: str) -> None:
        self._streamwise = streamwise
        self._table = table
        self._stretch = streamwise.row_tables.keys[table][0]

    def put_right(
        self, connection: psycopg.Connection[Any], suffix: str, examples_max: int, on_row: OnRow
    ) -> Difference:
        """Count anew from the live rows of the streams in the stretches that the generation has rows of.

        Only the rows that are wrong are written. Within a transaction.
        """
        table, made, stretch = self._table, f"{self._table}{suffix}", self._stretch
        found = connection.execute(f"SELECT DISTINCT {stretch} FROM {made}").fetchall()  # noqa: S608  # constant names
        stretches = {row[0] for row in found}
        connection.execute(f"TRUNCATE {made}")
        rows = (
            row
            for row in self._streamwise.add_up(connection, "")
            if table == row.TABLE and getattr(row, stretch) in stretches
        )
        copy_rows(self._streamwise.row_tables(connection, suffix), rows)
        (difference,) = compare(connection, [table], suffix, examples_max, (stretch, list(stretches)), on_row)
        connection.execute(
            f"DELETE FROM {table} AS live WHERE {stretch} = ANY(%s) AND NOT EXISTS"  # noqa: S608  # constant names
            f" (SELECT FROM {made} AS made WHERE ROW(made.*) IS NOT DISTINCT FROM ROW(live.*))",
            (list(stretches),),
        )
        connection.execute(f"INSERT INTO {table} SELECT * FROM {made} ON CONFLICT DO NOTHING")  # noqa: S608  # constant names
        return difference


def sums_of(projection: str, tables: Sequence[str]) -> list[Sum] | None:
    """How these tables of a projection are put right; None when they cannot be."""
    streamwise = STREAMWISE.get(projection)
    if not tables:
        return []
    if streamwise is None or not set(tables) <= set(streamwise.row_tables.keys):
        return None
    return [Sum(streamwise, table) for table in tables]
