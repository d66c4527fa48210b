"""The deliveries projection folded stream by stream: each identity's deliveries are judged in their order."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import psycopg

from streamledger.domain.events import LedgerEvent
from streamledger.readmodel.delivery_judging import judge_in_order, with_identities
from streamledger.readmodel.delivery_rows import (
    MS_A_DAY,
    DayRow,
    DeliveryTables,
    NotificationRow,
)
from streamledger.readmodel.facts import History
from streamledger.readmodel.first_delivery import first_lines, identities_of
from streamledger.readmodel.row_tables import RowTables
from streamledger.readmodel.rows import Lines, TableRow


class DeliveriesStreamwise:
    """`deliveries` and `notifications`, stream by stream; `delivery_days` in the end."""

    row_tables: type[RowTables] = DeliveryTables

    def fold(self, history: History) -> Iterator[TableRow | Lines]:
        """All rows of some streams, from all their events."""
        known: dict[bytes, NotificationRow] = {}
        yield from judge_in_order(with_identities(history.facts), known, _nothing_before)
        yield from known.values()
        for lane in history.lane.values():
            yield Lines("deliveries", first_lines(lane, identities_of(lane)))

    def fold_long(self, defining: Iterable[History], media: Iterable[History]) -> Iterator[TableRow | Lines]:
        """The same for one long stream: a bucket holds all deliveries of its identities."""
        for bucket in chain(defining, media):
            yield from self.fold(bucket)

    def add_up(self, connection: psycopg.Connection[Any], suffix: str) -> Iterator[TableRow]:
        """The counts of each day."""
        rows = connection.execute(
            f"SELECT received_ms / {MS_A_DAY} AS day, judged_as, count(*) FROM deliveries{suffix}"  # noqa: S608  # constant names
            " GROUP BY 1, 2 ORDER BY 1, 2"
        ).fetchall()
        for day, judged_as, deliveries in rows:
            yield DayRow(day=day, judged_as=judged_as, deliveries=deliveries)


def _nothing_before(positions: Sequence[int]) -> Iterable[LedgerEvent]:
    """The whole history of an identity is at hand, so nothing is to be read."""
    assert not positions  # noqa: S101  # the first delivery of an identity is in the same bucket
    return ()
