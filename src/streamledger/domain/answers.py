"""The shapes in which streamledger answers: the same over HTTP, on the command line and on the page.

Sequences and Tencent's other 64-bit numbers are text, positions and counts numbers (ADR 0009);
times are RFC 3339 in UTC; durations carry their unit.
"""

from typing import Any

import msgspec


class Anomaly(msgspec.Struct, frozen=True, kw_only=True):
    """Something about a session that is not as it should be; `code` is one of docs/anomalies.md."""

    code: str
    detail: str


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """How a push ended (protocol section 3)."""

    errcode: int | None
    errmsg: str | None
    class_: str = msgspec.field(name="class")
    meaning: str


class RecordingTotals(msgspec.Struct, frozen=True, kw_only=True):
    """The recordings attributed to a session, in sum."""

    count: int = 0
    duration_s: int = 0
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
    """The stretch of time before worst_at that the report is about."""
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
    """reported, measured, running, or null"""
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
    alternatives: list[str] = []


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


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """One live stream."""

    stream_id: str
    presence: str
    """live, suspect or offline"""
    open_sessions: list[str]
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
    received_at: str
    source_ip: str
    key: str | None
    mended: list[str]
    notification: dict[str, Any]


class ProjectionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far a projection has come."""

    name: str
    position: int
    head: int
    lag_events: int
    lag_s: float
    digest: str
    parked: int = 0
