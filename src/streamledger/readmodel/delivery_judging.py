"""Judging deliveries in their order, each beside what is known of its notification; without I/O."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from streamledger.domain import forensics
from streamledger.domain.events import LedgerEvent
from streamledger.domain.forensics import Evidence, Judged, Sighting
from streamledger.domain.notification import Kind, Notification
from streamledger.readmodel.delivery_rows import DeliveryRow, NotificationKey, NotificationRow
from streamledger.readmodel.facts import Fact
from streamledger.readmodel.first_delivery import evidence_text, first_row, identity_of, is_signed_early
from streamledger.tencent.catalogue import PRESUMED_SCHEDULES, RetrySchedule, schedules_of
from streamledger.tencent.differences import differing_fields
from streamledger.tencent.expiry import SIGNATURE_VALIDITY_S

DIFFERING_FIELDS_MAX: Final = 30

ReadEvents = Callable[[Sequence[int]], Iterable[LedgerEvent]]
"""The events at these positions."""


class _Conflict(msgspec.Struct, frozen=True):
    # A row whose content is another than the first's: where it is in the list, and what to compare.
    place: int
    evidence: Evidence
    body: bytes


def with_identities(facts: Iterable[Fact]) -> Iterator[tuple[bytes, Fact]]:
    """The facts, each with the identity of its notification."""
    for fact in facts:
        notification = fact.notification
        yield identity_of(notification.stream_id or "", notification.kind, notification.key), fact


def judge_in_order(
    facts: Iterable[tuple[bytes, Fact]], known: dict[bytes, NotificationRow], read: ReadEvents
) -> list[DeliveryRow]:
    """The rows of these deliveries; `known`, by identity, gains the notifications that come again.

    `known` holds those of which the ledger has deliveries before these. `read` gives the events at
    positions before these, whose bodies some are compared with.
    """
    rows: list[DeliveryRow] = []
    firsts: dict[bytes, Fact] = {}
    conflicts: list[_Conflict] = []
    bodies: dict[int, bytes] = {}
    for identity, fact in facts:
        before = known.get(identity)
        if before is None:
            first = firsts.get(identity)
            if first is None:
                firsts[identity] = fact
                rows.append(first_of(fact, identity))
                continue
            before = begun(first)
            bodies[first.position] = first.delivery.body
        row, judged, known[identity] = judge_again(before, fact, identity)
        if "other_content" in judged.evidence.because:
            conflicts.append(_Conflict(len(rows), judged.evidence, fact.delivery.body))
        rows.append(row)
    if conflicts:
        _tell_differences(rows, conflicts, bodies, read)
    return rows


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
        happened_ms=happened_ms_of(notification),
        was_released=delivery.release is not None,
    )


def happened_ms_of(notification: Notification) -> int | None:
    """When the fact happened that it reports, for a recording the end of its content."""
    return notification.until_ms if notification.kind is Kind.RECORDING else notification.at_ms


def first_of(fact: Fact, identity: bytes) -> DeliveryRow:
    """The row of a notification's first delivery."""
    notification, delivery = fact.notification, fact.delivery
    return first_row(
        position=fact.position,
        identity=identity.hex(),
        stream_id=notification.stream_id or "",
        sequence=notification.sequence or "",
        event_type=notification.event_type,
        received_ms=delivery.received_at_us // 1000,
        source_ip=delivery.source_ip,
        callback_key=delivery.key,
        t=fact.t,
        happened_ms=happened_ms_of(notification),
        was_released=delivery.release is not None,
    )


def begun(first: Fact) -> NotificationRow:
    """What is known of a notification after its first delivery: all of it follows from that one."""
    stream_id, kind, key = key_of(first.notification)
    known = msgspec.structs.asdict(forensics.begin(sighting_of(first)))
    return NotificationRow(stream_id=stream_id, kind=kind, key=key, **known)


def judge_again(
    known: NotificationRow, fact: Fact, identity: bytes
) -> tuple[DeliveryRow, Judged, NotificationRow]:
    """A further delivery: its row, how it was judged, and what is known after it.

    Of a conflict the row does not name the fields that differ: for that both bodies are needed.
    """
    sighting = sighting_of(fact)
    notification = fact.notification
    judged = judge_repeated(known, sighting, notification.event_type)
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
        signed_early=is_signed_early(judged),
        evidence=evidence_text(judged.evidence),
        identity=identity.hex(),
    )
    return row, judged, forensics.remember(known, sighting, judged)


def judge_repeated(known: NotificationRow, sighting: Sighting, event_type: int) -> Judged:
    """A repeated delivery, by the schedules of its type."""
    return forensics.judge(known, sighting, schedules_for(event_type), SIGNATURE_VALIDITY_S)


def _tell_differences(
    rows: list[DeliveryRow], conflicts: Sequence[_Conflict], bodies: dict[int, bytes], read: ReadEvents
) -> None:
    """Put the names of the fields that differ from the first delivery's into the rows of conflicts."""
    elsewhere = sorted({rows[each.place].first_position for each in conflicts} - bodies.keys())
    if elsewhere:
        bodies |= {event.position: event.delivery.body for event in read(elsewhere)}
    for each in conflicts:
        row = rows[each.place]
        names = differing_fields(bodies[row.first_position], each.body)
        evidence = msgspec.structs.replace(each.evidence, differs=tuple(names[:DIFFERING_FIELDS_MAX]))
        rows[each.place] = msgspec.structs.replace(row, evidence=evidence_text(evidence))
