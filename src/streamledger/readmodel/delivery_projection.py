"""The deliveries projection: the class of each delivery with its evidence, from batches of facts."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec
import psycopg

from streamledger.domain import forensics
from streamledger.domain.events import LedgerEvent
from streamledger.domain.forensics import Judged, Sighting
from streamledger.domain.notification import Kind, Notification
from streamledger.ledger import reader
from streamledger.readmodel.delivery_rows import (
    KEYS,
    MS_A_DAY,
    Change,
    DayKey,
    DayRow,
    DeliveryRow,
    DeliveryTables,
    NotificationKey,
    NotificationRow,
)
from streamledger.readmodel.facts import Event, Fact, as_fact
from streamledger.tencent.catalogue import PRESUMED_SCHEDULES, RetrySchedule, schedules_of
from streamledger.tencent.differences import differing_fields
from streamledger.tencent.expiry import SIGNATURE_VALIDITY_S

DIFFERING_FIELDS_MAX: Final = 30

ReadEvents = Callable[[Sequence[int]], Iterable[LedgerEvent]]
"""The events at these positions."""


class DeliveriesProjection:
    """Writes `deliveries`, `notifications` and `delivery_days`."""

    name = "deliveries"
    version = forensics.FORENSICS_VERSION
    tables: Sequence[str] = tuple(KEYS)

    def take_in(self, connection: psycopg.Connection[Any], events: Sequence[Event], suffix: str = "") -> int:
        """Judge events, in order, into one generation's tables; returns what they add to the digest."""
        facts = [as_fact(event) for event in events]
        tables = DeliveryTables(connection, suffix)
        stored = tables.notifications({key_of(fact.notification) for fact in facts})
        known = dict(stored)
        rows = judge_in_order(facts, known, lambda positions: reader.read_at(connection, positions))
        return tables.write(
            [
                *(Change(None, row) for row in rows),
                *(Change(stored.get(key), row) for key, row in known.items() if stored.get(key) is not row),
                *_counted(tables, rows),
            ]
        )


def judge_in_order(
    facts: Sequence[Fact], known: dict[NotificationKey, NotificationRow], read: ReadEvents
) -> list[DeliveryRow]:
    """The rows of these deliveries; `known`, of their notifications, is brought up to date.

    `read` gives the events at positions before these, whose bodies some are compared with.
    """
    rows = []
    for fact in facts:
        key = key_of(fact.notification)
        row, known[key] = _judge(key, known.get(key), fact)
        rows.append(row)
    return _with_differences(rows, facts, read)


def key_of(notification: Notification) -> NotificationKey:
    """The identity of a notification."""
    return notification.stream_id or "", notification.kind.value, notification.key


def schedules_for(event_type: int) -> Sequence[RetrySchedule]:
    """By which deliveries of this type are judged: the documented schedules, or the presumed one."""
    return schedules_of(event_type) or PRESUMED_SCHEDULES


def sighting_of(fact: Fact) -> Sighting:
    """What forensics looks at in a delivery."""
    notification, delivery = fact.notification, fact.delivery
    digest = hashlib.blake2b(delivery.body, digest_size=8).digest()
    return Sighting(
        position=fact.position,
        received_ms=delivery.received_at_us // 1000,
        source_ip=delivery.source_ip,
        content=notification.content,
        bytes_digest=int.from_bytes(digest, "big", signed=True),
        t=fact.t,
        key=delivery.key,
        happened_ms=notification.until_ms if notification.kind is Kind.RECORDING else notification.at_ms,
        was_released=delivery.release is not None,
    )


def judge_repeated(known: NotificationRow, sighting: Sighting, event_type: int) -> Judged:
    """A repeated delivery, by the schedules of its type."""
    return forensics.judge(known, sighting, schedules_for(event_type), SIGNATURE_VALIDITY_S)


def _judge(
    key: NotificationKey, known: NotificationRow | None, fact: Fact
) -> tuple[DeliveryRow, NotificationRow]:
    notification = fact.notification
    sighting = sighting_of(fact)
    if known is None:
        judged = forensics.judge_first(sighting, SIGNATURE_VALIDITY_S)
        stream_id, kind, name = key
        began = msgspec.structs.asdict(forensics.begin(sighting))
        known = NotificationRow(stream_id=stream_id, kind=kind, key=name, **began)
    else:
        judged = judge_repeated(known, sighting, notification.event_type)
        known = forensics.remember(known, sighting, judged)
    row = DeliveryRow(
        position=fact.position,
        first_position=known.first_position,
        stream_id=known.stream_id,
        sequence=notification.sequence or "",
        event_type=notification.event_type,
        received_ms=sighting.received_ms,
        judged_as=judged.judged_as.value,
        try_number=judged.try_number,
        source_ip=sighting.source_ip,
        callback_key=sighting.key or "",
        signed_early="signed_early" in judged.evidence.because,
        evidence=judged.evidence,
    )
    return row, known


def _with_differences(
    rows: Sequence[DeliveryRow], facts: Sequence[Fact], read: ReadEvents
) -> list[DeliveryRow]:
    """The rows, those of other contents with the names of the fields that differ from the first's."""
    differing = {row.position: row.first_position for row in rows if "other_content" in row.evidence.because}
    if not differing:
        return list(rows)
    bodies = {fact.position: fact.delivery.body for fact in facts}
    elsewhere = sorted(set(differing.values()) - bodies.keys())
    bodies |= {event.position: event.delivery.body for event in read(elsewhere)}
    compared = []
    for row in rows:
        if row.position in differing:
            names = differing_fields(bodies[row.first_position], bodies[row.position])
            evidence = msgspec.structs.replace(row.evidence, differs=tuple(names[:DIFFERING_FIELDS_MAX]))
            row = msgspec.structs.replace(row, evidence=evidence)  # noqa: PLW2901  # the row, completed
        compared.append(row)
    return compared


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
