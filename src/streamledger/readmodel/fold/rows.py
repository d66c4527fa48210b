"""The rows of the read model: structs whose fields are the columns of its tables, in their order."""

from typing import Any, ClassVar, Final, Protocol

import msgspec

from streamledger.domain.forensics import Evidence, Known
from streamledger.domain.session import Bounds, SessionState

RIVALS_MAX: Final = 8
"""Other contents of one identity that are remembered."""

COPIES_MAX: Final = 32
"""Positions of further deliveries of one notification that are remembered; the ledger has them all."""

SessionKey = tuple[str, str]
"""(stream_id, sequence)"""
FactKey = tuple[str, str, str]
"""(stream_id, kind, key): a notification's identity; the stream is "" when it names none"""
DayKey = tuple[int, str]
"""(days since 1970, class)"""

BARE: Final = "bare"
"""Noted of a recording without stream_param: of a push that has one it was made by CreateRecordTask."""

NOT_READ: Final = SessionState(stream_id="", sequence="")
"""Stands where a session's fold was not asked for."""


class SessionRow(Bounds, kw_only=True):
    """A row of `sessions`, and with it the one of `session_folds`."""

    TABLE: ClassVar[str] = "sessions"

    stream_id: str
    deliveries: int = 0
    """Of notifications that carry the sequence."""
    position: int = 0
    """Of the last of them."""
    recordings: int = 0
    files_ms: int = 0
    recording_bytes: int = 0
    screenshots: int = 0
    fold: SessionState = NOT_READ


class Totals(msgspec.Struct, gc=False):
    """What media add to the totals of a session."""

    recordings: int = 0
    files_ms: int = 0
    recording_bytes: int = 0
    screenshots: int = 0


class TimelineRow(msgspec.Struct, kw_only=True, gc=False):
    """A row of `timeline`: one notification in one session; sequence "" when it belongs to none."""

    TABLE: ClassVar[str] = "timeline"

    stream_id: str
    kind: str
    key: str
    part: int = 0
    """Of a recording that spans several sessions one row for each, numbered in order of time."""
    sequence: str
    at_ms: int
    until_ms: int
    position: int
    """Of the first delivery of the content that counts, or of the one whose receipt took a time from it."""
    received_ms: int
    """The earliest of the notification's deliveries."""
    deliveries: int
    content: str | None = None
    """Digest of the content that counts; None while there was one delivery: its event has it."""
    rivals: tuple[tuple[str, int], ...] | None = None
    """What else was told under the same identity, each with the position where it came first: other contents,
    and the same one by an earlier receipt, or before that took a time from it (ADR 0050)."""
    confidence: str | None = None
    """None with a sequence: the notification carries it, or it surely lies in that push alone."""
    because: str | None = None
    alternatives: tuple[str, ...] | None = None
    alternatives_total: int | None = None
    """How many there are, where not all are named."""
    duration_ms: int | None = None
    """Of a recording, the length of its file; that of its content where it does not say."""
    bytes: int | None = None
    began_ms: int | None = None
    """When the writing of a recording began, where that is before its content."""
    task: str | None = None
    """What stands for the task that records, of a recording and of the recorder's word."""
    note: str | None = None
    """The recorder's word; of a recording BARE when it has no stream_param."""
    copies: tuple[int, ...] | None = None


class StreamRow(msgspec.Struct, kw_only=True, gc=False):
    """A row of `streams`, or what is to be added to one: all of it can be added in any order."""

    TABLE: ClassVar[str] = "streams"

    stream_id: str
    sessions: int = 0
    recordings: int = 0
    screenshots: int = 0
    others: int = 0
    unattributed: int = 0
    open_sessions: int = 0
    latest_ms: int = 0
    first_seen_us: int
    last_seen_us: int
    position: int = 0


class RepeatRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A row of `repeats`: a delivery that is more than the first one of its notification."""

    TABLE: ClassVar[str] = "repeats"

    position: int
    first_position: int
    stream_id: str
    sequence: str
    event_type: int
    received_ms: int
    judged_as: str
    try_number: int | None
    source_ip: str
    callback_key: str
    signed_early: bool
    evidence: str
    """Evidence as JSON."""


class NotificationRow(Known, frozen=True, kw_only=True):
    """A row of `notifications`: what is known of one that was delivered more than once."""

    TABLE: ClassVar[str] = "notifications"

    stream_id: str
    kind: str
    key: str


class DayRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A row of `delivery_days`."""

    TABLE: ClassVar[str] = "delivery_days"

    day: int
    judged_as: str
    deliveries: int


class TableRow(Protocol):
    """A struct whose fields are the columns of a table."""

    TABLE: ClassVar[str]
    __struct_fields__: ClassVar[tuple[str, ...]]


_encode_evidence = msgspec.json.Encoder(order="deterministic").encode
_decode_evidence = msgspec.json.Decoder(Evidence).decode


def evidence_text(evidence: Evidence) -> str:
    """Evidence as rows hold it."""
    return _encode_evidence(evidence).decode()


def evidence_of(row: RepeatRow) -> Evidence:
    """Why a delivery is classed as it is."""
    return _decode_evidence(row.evidence)


Values = tuple[Any, ...]
