"""The deliveries projection: the class of each delivery with its evidence, from batches of facts."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import psycopg

from streamledger.domain import forensics
from streamledger.domain.forensics import DeliveryClass
from streamledger.ledger import reader
from streamledger.readmodel.delivery_judging import begun, judge_in_order, key_of, with_identities
from streamledger.readmodel.delivery_rows import (
    KEYS,
    MS_A_DAY,
    Change,
    DayKey,
    DayRow,
    DeliveryRow,
    DeliveryTables,
    NotificationRow,
)
from streamledger.readmodel.facts import Event, Fact, PlainMedia, Sorting
from streamledger.readmodel.first_delivery import first_lines, identities_of
from streamledger.readmodel.projection import read_facts
from streamledger.readmodel.rows import Lines


class DeliveriesProjection:
    """Writes `deliveries`, `notifications` and `delivery_days`."""

    name = "deliveries"
    version = forensics.FORENSICS_VERSION
    tables: Sequence[str] = tuple(KEYS)

    def take_in(self, connection: psycopg.Connection[Any], events: Sequence[Event], suffix: str = "") -> int:
        """Judge events, in order, into one generation's tables; returns what they add to the digest."""
        tables = DeliveryTables(connection, suffix)
        sorting = Sorting(events)
        media = list(chain.from_iterable(sorting.lane().values()))
        lane = dict(zip(map(bytes.fromhex, identities_of(media)), media, strict=True))
        named = list(with_identities(sorting.facts()))
        came = tables.first_positions({*lane, *(identity for identity, _ in named)})
        again = came.keys() & lane.keys()
        if again:
            for identity in again:
                each = lane.pop(identity)
                sorting.has_come(each.stream_id, each.kind, each.key)
            named = list(with_identities(sorting.facts()))
        stored, known = _known_before(connection, tables, came, dict(named))
        before = dict(known)
        rows = judge_in_order(named, known, lambda positions: reader.read_at(connection, positions))
        return tables.write(
            [
                *(Change(None, row) for row in rows),
                *(
                    Change(stored.get(identity), row)
                    for identity, row in known.items()
                    if before.get(identity) is not row
                ),
                *_counted(tables, rows, lane.values()),
            ],
            [Lines("deliveries", first_lines(lane.values(), map(bytes.hex, lane)))],
        )


def _known_before(
    connection: psycopg.Connection[Any],
    tables: DeliveryTables,
    came: Mapping[bytes, int],
    facts: Mapping[bytes, Fact],
) -> tuple[dict[bytes, NotificationRow], dict[bytes, NotificationRow]]:
    """Of these notifications those that have a row, and beside them those that came once so far.

    `came` says where the first of each was. Of those that came once everything is in the ledger, so that
    most notifications need no row at all.
    """
    if not came:
        return {}, {}
    keys = {identity: key_of(facts[identity].notification) for identity in came}
    rows = tables.notifications(keys.values())
    stored = {identity: rows[key] for identity, key in keys.items() if key in rows}
    once = {position: identity for identity, position in came.items() if identity not in stored}
    known = dict(stored)
    if once:
        for first in read_facts(reader.read_at(connection, sorted(once))):
            known[once[first.position]] = begun(first)
    return stored, known


def _counted(
    tables: DeliveryTables, rows: Iterable[DeliveryRow], firsts: Iterable[PlainMedia]
) -> Iterator[Change]:
    counts: Counter[DayKey] = Counter((row.received_ms // MS_A_DAY, row.judged_as) for row in rows)
    counts.update(
        (media.delivery.received_at_us // 1000 // MS_A_DAY, DeliveryClass.FIRST.value) for media in firsts
    )
    stored = tables.days({day for day, _ in counts})
    for (day, judged_as), count in counts.items():
        before = stored.get((day, judged_as))
        deliveries = count + (before.deliveries if before else 0)
        yield Change(before, DayRow(day=day, judged_as=judged_as, deliveries=deliveries))
