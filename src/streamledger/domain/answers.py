"""The shapes in which streamledger answers: the same over HTTP, on the command line and on the page.

Sequences and Tencent's other 64-bit numbers are text, positions and counts numbers (ADR 0009);
times are RFC 3339 in UTC; durations carry their unit.
"""

from typing import Any

import msgspec

from streamledger.domain.beliefs import BeliefShown, HeadersShown


class Anomaly(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something about a session that is not as it should be; `code` is one of docs/anomalies.md."""

    code: str
    detail: str
    facts: dict[str, Any] = {}
    """What `detail` says, by name: for who says it in other words. `at_least`: `count` is a limit."""


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """How a push ended (protocol section 3)."""

    errcode: int | None
    errmsg: str | None
    class_: str = msgspec.field(name="class")
    meaning: str


class RecordingTotals(msgspec.Struct, frozen=True, kw_only=True):
    """The recordings attributed to a session, in sum."""

    count: int = 0
    recorded_ms: int = 0
    """How much of it is recorded: what several files hold counts once."""
    files_ms: int = 0
    """The sum of the files' lengths."""
    bytes: int = 0


class ScreenshotTotals(msgspec.Struct, frozen=True, kw_only=True):
    """The screenshots attributed to a session."""

    count: int = 0
    latest_url: str | None = None
    latest_at: str | None = None


class DeliveryTotals(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries of the notifications that carry the session's sequence."""

    count: int = 0
    repeated: int = 0


class AbnormalCount(msgspec.Struct, frozen=True, kw_only=True):
    """How often one type of abnormal event was reported."""

    type: int
    name: str
    count: int


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The push errors (event type 321) of a session, in sum."""

    reports: int
    events: int
    counts: list[AbnormalCount]
    worst_at: str | None
    """Of the report with the most abnormal events; null when no report could be read."""
    worst_events: int
    worst_interval_ms: int
    """The interval before worst_at that the report is about."""
    first_at: str | None
    last_at: str | None


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One push, named by `sequence`."""

    sequence: str
    stream_id: str
    app: str | None
    appname: str | None
    state: str
    """ended, live or suspect"""
    state_reasons: list[str]
    started_at: str | None
    start_source: str | None
    """reported, inferred, or null"""
    ended_at: str | None
    duration_ms: int | None
    duration_source: str | None
    """reported, measured, running, last_sign, or null"""
    stop: Stop | None
    node: str | None
    user_ip: str | None
    stream_param: str | None
    width: int | None
    height: int | None
    recordings: RecordingTotals
    screenshots: ScreenshotTotals
    deliveries: DeliveryTotals
    health: Health | None = None
    anomalies: list[Anomaly]
    position: int


class AttributionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How sure it is that an entry belongs to the session, and why."""

    confidence: str
    because: list[str]
    codes: list[str] = []
    """Of the reasons in `because`, in the same order."""
    alternatives: list[str] = []
    """Sequences of sessions that were considered and not chosen, the first sixteen."""
    alternatives_total: int = 0
    """How many those are in all."""


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One notification in a session's timeline."""

    at: str
    until: str | None
    kind: str
    position: int
    received_at: str
    delay_ms: int
    """From the fact to its first receipt."""
    deliveries: int
    conflicts: int
    """Other contents delivered under the same identity."""
    attribution: AttributionAnswer | None
    detail: dict[str, Any]
    conflicts_at_least: bool = False
    """Whether there may be more conflicts: only so many are kept apart."""


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """One live stream."""

    stream_id: str
    presence: str
    """live, suspect or offline"""
    open_sessions: list[str]
    """Sequences of the sessions without a stop, the latest hundred."""
    open_sessions_count: int
    """How many those are in all."""
    sessions: int
    recordings: int
    screenshots: int
    unattributed: int
    first_seen_at: str
    last_seen_at: str


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the ledger."""

    position: int
    name: str
    stream_id: str | None
    sequence: str | None
    received_at: str | None
    """null when the event cannot be read"""
    source_ip: str
    key: str | None
    believed: BeliefShown | None
    """How it was believed; null for what the program itself appended."""
    headers: HeadersShown
    mended: list[str]
    notification: dict[str, Any]
    bytes: int
    """Of the body as received; of an event that cannot be read, of what is stored."""
    cut: bool = False
    """Whether fields of the notification were left out here because it is large."""
    unreadable: str | None = None
    """Why the event, or its body, cannot be read."""
    stored_base64: str | None = None
    """What is stored of an event that cannot be read; null in read scope and in the feed."""


class ProjectionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far a projection has come."""

    name: str
    position: int
    head: int
    lag_events: int
    lag_s: float
    digest: str | None
    """Of its rows, when a rebuild or a verification last counted them and found them those that history
    gives; null before the first."""
    digest_position: int | None
    """At which they were counted."""
    parked: int = 0
