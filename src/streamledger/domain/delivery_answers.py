"""The shapes of answers about deliveries: their class and evidence, and the audit."""

from typing import Any

import msgspec

from streamledger.domain.beliefs import BeliefShown, HeadersShown
from streamledger.domain.forensics import Evidence


class DeliveryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery of the ledger, and what it is beside the others of its notification."""

    position: int
    class_: str = msgspec.field(name="class")
    """first, retry, late_retry, replay, conflict or released"""
    try_: int | None = msgspec.field(name="try")
    """The n-th retry; 0 when the first try was sent twice; null for what is no retry."""
    first_position: int
    """Of the first delivery of the same notification."""
    stream_id: str | None
    sequence: str | None
    event_type: int
    received_at: str
    source_ip: str
    key: str | None
    """Name of the callback key that verified it."""
    evidence: Evidence
    in_words: str


class FieldDifference(msgspec.Struct, frozen=True, kw_only=True):
    """One top-level field of a body as the first delivery and as this one has it, secrets taken out."""

    field: str
    first: Any
    this: Any


class BesideDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery of the same notification, with what it says differently from the first."""

    delivery: DeliveryAnswer
    differences: list[FieldDifference]
    compared: bool = True
    """Whether the two were: not where either is large, or cannot be read."""


class SetAsideDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A quarantined delivery, judged beside what the ledger knows of its notification now."""

    id: str
    reason: str
    """expired, too_far_ahead, bad_signature, unsigned or malformed"""
    class_: str | None = msgspec.field(name="class")
    """What it would be, were it believed; null when that cannot be told."""
    try_: int | None = msgspec.field(name="try")
    received_at: str
    source_ip: str
    key: str | None
    event_type: int | None
    stream_id: str | None
    sequence: str | None
    first_position: int | None
    """Of the notification's first delivery in the ledger; null when none was believed."""
    released_position: int | None
    evidence: Evidence
    in_words: str


class NotificationSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The notification that a delivery is one of."""

    kind: str
    key: str
    """Its identity within stream and kind."""
    first_position: int
    deliveries: int
    contents: int
    """Different contents delivered under this identity."""


class DeliveryDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery with its body, and everything else that was delivered of the same notification."""

    delivery: DeliveryAnswer
    sessions: list[str] = []
    """Sequences of the sessions that the notification belongs to: it carries one, or is attributed."""
    notification: NotificationSummary
    body: dict[str, Any]
    """As read, with secrets taken out."""
    cut: bool = False
    """Whether fields of the body were left out because it is large."""
    body_text: str | None = None
    """The exact body as text (bytes that are no UTF-8 replaced); null in read scope."""
    body_base64: str | None = None
    """The exact bytes; null in read scope."""
    believed: BeliefShown
    headers: HeadersShown
    mended: list[str]
    same_notification: list[BesideDelivery]
    """All of them in ledger order, the first one first and this one among them."""
    more: int
    """Deliveries of the same notification beyond those listed."""
    set_aside: list[SetAsideDelivery]
    """Quarantined deliveries of the same notification, newest first."""


class AuditDay(msgspec.Struct, frozen=True, kw_only=True):
    """What was received on one UTC day. received = believed - released + what was set aside."""

    day: str
    received: int = 0
    believed: int = 0
    """In the ledger, released ones too."""
    repeated: int = 0
    """Retries on the sender's schedule."""
    late_retries: int = 0
    twins: int = 0
    replayed: int = 0
    conflicts: int = 0
    released: int = 0
    """Set aside on this day, and believed since by an operator's decision."""
    signed_early: int = 0
    """In the ledger, of any class, and signed more than a minute before what they report."""
    expired: int = 0
    too_far_ahead: int = 0
    bad_signature: int = 0
    unsigned: int = 0
    malformed: int = 0


class Suspicious(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery that an auditor should look at: from the ledger, or set aside."""

    class_: str = msgspec.field(name="class")
    """Of a delivery in the ledger its class; of one set aside the reason."""
    position: int | None = None
    quarantine_id: str | None = None
    received_at: str
    stream_id: str | None
    sequence: str | None
    event_type: int | None
    source_ip: str
    first_position: int | None
    first_received_at: str | None
    first_source_ip: str | None
    would_be: str | None = None
    """Of one set aside: the class that it would have, were it believed."""
    evidence: Evidence
    in_words: str


class AuditReport(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of each day, and the suspicious deliveries, newest first."""

    from_: str = msgspec.field(name="from")
    to: str
    stream_id: str | None
    days: list[AuditDay]
    suspicious: list[Suspicious]
    more: bool
    """Whether there are more suspicious ones than are listed."""
