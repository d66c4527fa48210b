"""The tallies projection: how many deliveries came in each minute, by kind and by sender."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final

import msgspec

from streamledger.domain.events import Delivery
from streamledger.readmodel.fold.facts import Event, delivery_of, kind_of
from streamledger.readmodel.fold.lines import array_literal
from streamledger.readmodel.projections.view import ProjectionView

MINUTE_MS: Final = 60_000


class Counted(msgspec.Struct, gc=False):
    """What is counted of one delivery."""

    position: int
    kind: str
    delivery: Delivery


class MinuteRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `minutes`."""

    TABLE: ClassVar[str] = "minutes"

    minute_ms: int
    kind: str
    deliveries: int


class SenderRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `senders`."""

    TABLE: ClassVar[str] = "senders"

    minute_ms: int
    source_ip: str
    callback_key: str
    deliveries: int
    first_position: int
    last_position: int


_MINUTES_SQL: Final = (
    "INSERT INTO minutes{suffix} AS m (minute_ms, kind, deliveries)"
    " SELECT given.minute_ms, given.kind, given.deliveries"
    " FROM unnest(%t::int8[], %t::text[], %t::int8[]) AS given(minute_ms, kind, deliveries)"
    " ON CONFLICT (minute_ms, kind) DO UPDATE SET deliveries = m.deliveries + excluded.deliveries"
)
_SENDERS_SQL: Final = (
    "INSERT INTO senders{suffix} AS s"
    " (minute_ms, source_ip, callback_key, deliveries, first_position, last_position)"
    " SELECT given.minute_ms, given.source_ip, given.callback_key, given.deliveries, given.first_position,"
    " given.last_position"
    " FROM unnest(%t::int8[], %t::text[], %t::text[], %t::int8[], %t::int8[], %t::int8[])"
    " AS given(minute_ms, source_ip, callback_key, deliveries, first_position, last_position)"
    " ON CONFLICT (minute_ms, source_ip, callback_key) DO UPDATE SET"
    " deliveries = s.deliveries + excluded.deliveries,"
    " first_position = least(s.first_position, excluded.first_position),"
    " last_position = greatest(s.last_position, excluded.last_position)"
)


class TalliesView(ProjectionView):
    """Adds deliveries up; what came often counts as often."""

    name = "tallies"
    version = 1
    tables = ("minutes", "senders")

    def take_in(self, events: Sequence[Event]) -> None:
        """Count events into the tables; within a transaction of the caller."""
        minutes, senders = tallied(
            Counted(each.position, kind_of(each), delivery_of(each)) for each in events
        )
        self._add(_MINUTES_SQL, MinuteRow, minutes)
        self._add(_SENDERS_SQL, SenderRow, senders)

    def _add(self, sql: str, row_type: type[Any], rows: Sequence[Any]) -> None:
        if rows:
            columns = [[getattr(row, name) for row in rows] for name in row_type.__struct_fields__]
            with self.connection.cursor() as cursor:
                cursor.execute(
                    sql.format(suffix=self.suffix), [array_literal(each) for each in columns], prepare=True
                )


def tallied(deliveries: Iterable[Counted]) -> tuple[list[MinuteRow], list[SenderRow]]:
    """Deliveries counted, in the order of the rows' keys."""
    minutes: dict[int, Counter[str]] = {}
    senders: dict[tuple[int, str, str], list[int]] = {}
    last = None
    kinds, positions = Counter[str](), list[int]()
    for each in deliveries:
        delivery = each.delivery
        # Those that come one after the other mostly have all of this in common.
        told = (delivery.received_at_us // 60_000_000, delivery.source_ip, delivery.believed.key)
        if told != last:
            minute, source_ip, callback_key = last = told
            kinds = minutes.setdefault(minute * MINUTE_MS, Counter())
            positions = senders.setdefault((minute * MINUTE_MS, source_ip, callback_key or ""), [])
        kinds[each.kind] += 1
        positions.append(each.position)
    return (
        [
            MinuteRow(minute_ms=minute_ms, kind=kind, deliveries=count)
            for minute_ms, kinds in sorted(minutes.items())
            for kind, count in sorted(kinds.items())
        ],
        [
            SenderRow(
                minute_ms=minute_ms,
                source_ip=source_ip,
                callback_key=callback_key,
                deliveries=len(positions),
                first_position=min(positions),
                last_position=max(positions),
            )
            for (minute_ms, source_ip, callback_key), positions in sorted(senders.items())
        ],
    )
