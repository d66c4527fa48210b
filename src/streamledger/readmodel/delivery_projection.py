"""The deliveries projection: the class of each delivery with its evidence, from batches of facts."""

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg

from streamledger.domain import forensics
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
from streamledger.readmodel.projection import Fact, read_facts


class DeliveriesProjection:
    """Writes `deliveries`, `notifications` and `delivery_days`."""

    name = "deliveries"
    version = forensics.FORENSICS_VERSION
    tables: Sequence[str] = tuple(KEYS)

    def take_in(self, connection: psycopg.Connection[Any], facts: Sequence[Fact], suffix: str = "") -> int:
        """Judge facts, in order, into one generation's tables; returns what they add to the digest."""
        tables = DeliveryTables(connection, suffix)
        named = list(with_identities(facts))
        stored, known = _known_before(connection, tables, dict(named))
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
                *_counted(tables, rows),
            ]
        )


def _known_before(
    connection: psycopg.Connection[Any], tables: DeliveryTables, facts: dict[bytes, Fact]
) -> tuple[dict[bytes, NotificationRow], dict[bytes, NotificationRow]]:
    """Of these notifications those that have a row, and beside them those that came once so far.

    Of the latter everything is in the ledger, so that most notifications need no row at all.
    """
    came = tables.first_positions(facts)
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


def _counted(tables: DeliveryTables, rows: Sequence[DeliveryRow]) -> Iterator[Change]:
    counts: dict[DayKey, int] = {}
    for row in rows:
        key = row.received_ms // MS_A_DAY, row.judged_as
        counts[key] = counts.get(key, 0) + 1
    stored = tables.days({day for day, _ in counts})
    for (day, judged_as), count in counts.items():
        before = stored.get((day, judged_as))
        deliveries = count + (before.deliveries if before else 0)
        yield Change(before, DayRow(day=day, judged_as=judged_as, deliveries=deliveries))
