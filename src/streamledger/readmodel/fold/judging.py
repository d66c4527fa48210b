"""Judging deliveries in their order, each beside what is known of its notification; without I/O."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from streamledger.domain import forensics
from streamledger.domain.forensics import DeliveryClass, Judged, Sighting
from streamledger.domain.kinds import PRESUMED_SCHEDULES, RetrySchedule, schedules_of
from streamledger.domain.notification import Kind, Notification
from streamledger.domain.senders import Senders
from streamledger.readmodel.fold.facts import Fact, PlainMedia, as_fact
from streamledger.readmodel.fold.rows import FactKey, NotificationRow, RepeatRow, evidence_of, evidence_text
from streamledger.tencent.expiry import SIGNATURE_VALIDITY_S

DIFFERING_FIELDS_MAX: Final = 30
MS_A_DAY: Final = 86_400_000
_T_END: Final = 10**forensics.T_DIGITS_MAX
"""From here on a `t` is no time."""


def key_of(notification: Notification) -> FactKey:
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


def judged_first(fact: Fact) -> Judged:
    """What a delivery is before which none of its notification was delivered."""
    late_s, signed_after_s = forensics.times_of_signature(
        fact.t,
        fact.delivery.received_at_us // 1000,
        happened_ms_of(fact.notification),
        SIGNATURE_VALIDITY_S,
    )
    return forensics.first_by(late_s, signed_after_s, was_released=fact.delivery.release is not None)


def was_signed_early(fact: Fact) -> bool:
    """Whether it was signed long before what it tells."""
    return is_signed_early(judged_first(fact))


def noted_first(fact: Fact, judged: Judged) -> RepeatRow | None:
    """The row of a first delivery, which has one if it was released or bears the mark of a captured pair."""
    if judged.judged_as is DeliveryClass.FIRST and not is_signed_early(judged):
        return None
    return row_of(fact, judged, fact.position)


def noted_plain(media: Iterable[PlainMedia]) -> list[RepeatRow]:
    """The same of plain media that came first."""
    facts = [as_fact(each) for each in media if may_be_noted(each)]
    rows = [noted_first(fact, judged_first(fact)) for fact in facts]
    return [row for row in rows if row is not None]


def is_signed_early(judged: Judged) -> bool:
    """Whether the mark of a captured signature is on it."""
    return "signed_early" in judged.evidence.because


def may_be_noted(media: PlainMedia) -> bool:
    """Whether a plain medium that came first may have to be noted: it is to be judged then."""
    t = media.t
    return (
        t is not None
        and t < _T_END
        and (t - SIGNATURE_VALIDITY_S - media.until_ms // 1000 <= -forensics.SIGNED_EARLY_S_MIN)
    )


def begun(first: Fact) -> NotificationRow:
    """What is known of a notification after its first delivery: all of it follows from that one."""
    stream_id, kind, key = key_of(first.notification)
    known = forensics.begin(sighting_of(first), SIGNATURE_VALIDITY_S)
    return NotificationRow(stream_id=stream_id, kind=kind, key=key, **msgspec.structs.asdict(known))


def judge_again(known: NotificationRow, fact: Fact, senders: Senders) -> tuple[Judged, NotificationRow]:
    """A further delivery: how it is judged, and what is known after it.

    Of a conflict the evidence does not name the fields that differ: for that both bodies are needed.
    """
    sighting = sighting_of(fact)
    if sighting.source_ip != known.source_ip or sighting.key != known.callback_key:
        sighting = msgspec.structs.replace(
            sighting,
            address_known=senders.is_known(sighting.source_ip, fact.position),
            keys_beside=senders.keys_beside(sighting.key, fact.position),
        )
    judged = judge_repeated(known, sighting, fact.notification.event_type)
    return judged, forensics.remember(known, sighting, judged, SIGNATURE_VALIDITY_S)


def judge_repeated(known: NotificationRow, sighting: Sighting, event_type: int) -> Judged:
    """A repeated delivery, by the schedules of its type."""
    return forensics.judge(known, sighting, schedules_for(event_type), SIGNATURE_VALIDITY_S)


def row_of(fact: Fact, judged: Judged, first_position: int) -> RepeatRow:
    """The row of a delivery that is judged."""
    notification, delivery = fact.notification, fact.delivery
    return RepeatRow(
        position=fact.position,
        first_position=first_position,
        stream_id=notification.stream_id or "",
        sequence=notification.sequence or "",
        event_type=notification.event_type,
        received_ms=delivery.received_at_us // 1000,
        judged_as=judged.judged_as.value,
        try_number=judged.try_number,
        source_ip=delivery.source_ip,
        callback_key=delivery.key or "",
        signed_early=is_signed_early(judged),
        evidence=evidence_text(judged.evidence),
    )


def with_mark(row: RepeatRow, mark: str) -> RepeatRow:
    """The row with one more word of evidence."""
    evidence = evidence_of(row)
    marked = msgspec.structs.replace(evidence, because=(*evidence.because, mark))
    return msgspec.structs.replace(row, evidence=evidence_text(marked))


def with_differences(row: RepeatRow, names: Sequence[str]) -> RepeatRow:
    """The row of a conflict with the names of the fields that differ from the first delivery's."""
    evidence = msgspec.structs.replace(evidence_of(row), differs=tuple(names[:DIFFERING_FIELDS_MAX]))
    return msgspec.structs.replace(row, evidence=evidence_text(evidence))
