"""From delivery rows, events and quarantined bodies to answers about deliveries: without I/O."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec

from streamledger.domain import forensics
from streamledger.domain.delivery_answers import (
    BesideDelivery,
    DeliveryAnswer,
    NotificationSummary,
    SetAsideDelivery,
)
from streamledger.domain.errors import MalformedBody
from streamledger.domain.events import Belief, Delivery, LedgerEvent
from streamledger.domain.forensic_words import in_words
from streamledger.domain.forensics import Evidence
from streamledger.domain.instants import instant_ms, instant_us
from streamledger.domain.notification import Notification
from streamledger.readmodel.fold.facts import Fact
from streamledger.readmodel.fold.judging import judge_repeated, key_of, sighting_of
from streamledger.readmodel.fold.rows import FactKey, NotificationRow, RepeatRow, evidence_of
from streamledger.readmodel.queries.pacing import made_of
from streamledger.readmodel.queries.shown_events import Shown
from streamledger.tencent.differences import differences
from streamledger.tencent.envelope import read_envelope
from streamledger.tencent.expiry import SIGNATURE_VALIDITY_S
from streamledger.tencent.reader import read_notification
from streamledger.tencent.redaction import redact

QUARANTINE_COLUMNS: Final = (
    "id::text, reason, received_at_us, source_ip, key, event_type, stream_id, sequence, released_position,"
    " CASE WHEN bytes <= 16384 THEN body END"
)
"""A list of hundreds must not hold hundreds of the largest bodies; genuine ones have about 700 bytes."""


class Quarantined(msgspec.Struct, frozen=True):
    """A row of QUARANTINE_COLUMNS; the body is None when it is too large to be judged in a list."""

    id: str
    reason: str
    received_at_us: int
    source_ip: str
    key: str | None
    event_type: int | None
    stream_id: str | None
    sequence: str | None
    released_position: int | None
    body: bytes | None

    def notification(self) -> Notification | None:
        """What it reports, if that can be read."""
        if self.body is None:
            return None
        try:
            return read_notification(self.body)
        except MalformedBody:
            return None


def delivery_answer(row: RepeatRow, first_ip: str | None) -> DeliveryAnswer:
    """A delivery as it is shown."""
    evidence = evidence_of(row)
    return DeliveryAnswer(
        position=row.position,
        class_=row.judged_as,
        try_=row.try_number,
        first_position=row.first_position,
        stream_id=row.stream_id or None,
        sequence=row.sequence or None,
        event_type=row.event_type,
        received_at=instant_ms(row.received_ms),
        source_ip=row.source_ip,
        key=row.callback_key or None,
        evidence=evidence,
        in_words=in_words(evidence, row.source_ip, row.first_position, first_ip),
    )


def beside(row: RepeatRow, first_ip: str | None, first: Shown | None, this: Shown | None) -> BesideDelivery:
    """A delivery beside the first of its notification."""
    differ = None
    if isinstance(first, LedgerEvent) and isinstance(this, LedgerEvent):
        with suppress(MalformedBody):
            differ = differences(first.delivery.body, this.delivery.body)
    return BesideDelivery(
        delivery=delivery_answer(row, first_ip), differences=differ or [], compared=differ is not None
    )


def notification_summary(row: NotificationRow) -> NotificationSummary:
    """The notification as it is shown."""
    return NotificationSummary(
        kind=row.kind,
        key=redact(row.key),
        first_position=row.first_position,
        deliveries=row.deliveries,
        contents=1 + len(row.other_contents or ()),
    )


async def keys_of(rows: Sequence[Quarantined]) -> dict[str, FactKey]:
    """The identities of the notifications of quarantined deliveries, by their ids, where they can be read."""
    found = await made_of(rows, Quarantined.notification)
    return {row.id: key_of(each) for row, each in zip(rows, found, strict=True) if each is not None}


def set_aside(row: Quarantined, known: NotificationRow | None) -> SetAsideDelivery:
    """A quarantined delivery, judged beside what the ledger knows of its notification now.

    Nothing of an unverified one is believed for that: address and time of receipt are this receiver's own.
    """
    judged_as, try_number, evidence = _judge(row, known)
    return SetAsideDelivery(
        id=row.id,
        reason=row.reason,
        class_=judged_as,
        try_=try_number,
        received_at=instant_us(row.received_at_us),
        source_ip=row.source_ip,
        key=row.key,
        event_type=row.event_type,
        stream_id=row.stream_id,
        sequence=row.sequence,
        first_position=known.first_position if known else None,
        released_position=row.released_position,
        evidence=evidence,
        in_words=in_words(
            evidence,
            row.source_ip,
            known.first_position if known else None,
            known.source_ip if known else None,
        ),
    )


def _judge(row: Quarantined, known: NotificationRow | None) -> tuple[str | None, int | None, Evidence]:
    notification = row.notification()
    if notification is None or row.body is None:
        return None, None, Evidence()
    delivery = Delivery(
        body=row.body,
        received_at_us=row.received_at_us,
        source_ip=row.source_ip,
        believed=Belief(key=row.key),
    )
    sighting = sighting_of(Fact(0, delivery, notification, read_envelope(row.body).t))
    if known is None or known.first_position == row.released_position:
        judged = forensics.judge_first(sighting, SIGNATURE_VALIDITY_S)
        because = judged.evidence.because
        if known is None:
            because = (*because, "never_believed")
        evidence = msgspec.structs.replace(judged.evidence, because=because)
    else:
        # Beside the first delivery alone: the ledger's later ones may have come after this one.
        judged = judge_repeated(_as_it_began(known), sighting, notification.event_type)
        evidence = judged.evidence
    return judged.judged_as.value, judged.try_number, evidence


def _as_it_began(known: NotificationRow) -> NotificationRow:
    return msgspec.structs.replace(known, try_ms=known.first_ms, tries=0, tries_min=0)
