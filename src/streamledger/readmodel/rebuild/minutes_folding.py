"""The minutes projection in a rebuild: added up from the deliveries that the same rebuild has made."""

from collections.abc import Iterable, Iterator
from typing import Any

import psycopg

from streamledger.domain.notification import Kind
from streamledger.readmodel.facts import History
from streamledger.readmodel.minutes_projection import MINUTE_MS, MinuteRow
from streamledger.readmodel.row_tables import RowTables
from streamledger.readmodel.rows import Lines, TableRow
from streamledger.tencent.catalogue import KIND_BY_EVENT_TYPE


class MinuteTables(RowTables):
    """The one table of the minutes projection in one generation."""

    types = {"minutes": MinuteRow}  # noqa: RUF012  # as the class above declares it
    keys = {"minutes": ("minute_ms", "kind")}  # noqa: RUF012  # likewise
    json_columns = frozenset()


class MinutesStreamwise:
    """Nothing by stream, everything in the end: `deliveries` holds time and type of every delivery."""

    row_tables: type[RowTables] = MinuteTables

    def fold(self, history: History) -> Iterator[TableRow | Lines]:
        """None: a minute counts over all streams."""
        yield from ()

    def fold_long(self, defining: Iterable[History], media: Iterable[History]) -> Iterator[TableRow | Lines]:
        """None, likewise."""
        yield from ()

    def add_up(self, connection: psycopg.Connection[Any], suffix: str) -> Iterator[TableRow]:
        """The counts of each minute and kind."""
        found = connection.execute(
            f"SELECT received_ms / {MINUTE_MS} * {MINUTE_MS}, event_type, count(*)"  # noqa: S608  # constant names
            f" FROM deliveries{suffix} GROUP BY 1, 2"
        ).fetchall()
        counts: dict[tuple[int, str], int] = {}
        for minute_ms, event_type, deliveries in found:
            key = int(minute_ms), KIND_BY_EVENT_TYPE.get(event_type, Kind.OTHER).value
            counts[key] = counts.get(key, 0) + deliveries
        for (minute_ms, kind), deliveries in sorted(counts.items()):
            yield MinuteRow(minute_ms=minute_ms, kind=kind, deliveries=deliveries)
