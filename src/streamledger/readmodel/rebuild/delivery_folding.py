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
from streamledger.readmodel.projection import Fact
from streamledger.readmodel.rebuild.folding import Bucket
from streamledger.readmodel.row_tables import RowTables
from streamledger.readmodel.rows import TableRow


class DeliveriesStreamwise:
    """`deliveries` and `notifications`, stream by stream; `delivery_days` in the end."""

    row_tables: type[RowTables] = DeliveryTables

    def fold(self, facts: Iterable[Fact]) -> Iterator[TableRow]:
        """All rows of some streams, from all their events in the order of their positions."""
        known: dict[bytes, NotificationRow] = {}
        yield from judge_in_order(with_identities(facts), known, _nothing_before)
        yield from known.values()

    def fold_long(self, defining: Sequence[Bucket], media: Sequence[Bucket]) -> Iterator[TableRow]:
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
