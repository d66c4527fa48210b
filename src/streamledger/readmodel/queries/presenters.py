"""From rows and events to answers: the last step of every query, without I/O."""

import base64
from collections.abc import Sequence
from typing import Any

import msgspec

from streamledger.domain.anomalies import anomalies_of
from streamledger.domain.answers import (
    AttributionAnswer,
    LedgerEntry,
    ProjectionStatus,
    RecordingTotals,
    ScreenshotTotals,
    Session,
    Stream,
    TimelineEntry,
)
from streamledger.domain.attributed import REASONS, Confidence
from streamledger.domain.attribution import PLAIN
from streamledger.domain.beliefs import HeadersShown, belief_shown
from streamledger.domain.derivation import Evidence, Totals, derive, distinct_notifications, presence_of
from streamledger.domain.errors import MalformedBody
from streamledger.domain.events import LedgerEvent, is_notification
from streamledger.domain.instants import instant_ms, instant_us
from streamledger.domain.kinds import ATTRIBUTED_KINDS
from streamledger.domain.notification import Kind, Screenshot
from streamledger.domain.stream_answers import StreamEntry
from streamledger.domain.suspicion import NO_SIGNS, Signs, SuspectLimits
from streamledger.ledger import mapper
from streamledger.readmodel.fold.rows import RIVALS_MAX, SessionRow, StreamRow, TimelineRow
from streamledger.readmodel.queries.shown_events import NotShown, Shown
from streamledger.tencent.abnormal import abnormal_name
from streamledger.tencent.envelope import read_envelope
from streamledger.tencent.errcodes import class_of, meaning_of
from streamledger.tencent.naming import named
from streamledger.tencent.reader import notification_of
from streamledger.tencent.redaction import may_hold_secret, redact
from streamledger.tencent.shown_body import SHOWN_BYTES_MAX, at_most, headers_shown, shortened, shown_body
from streamledger.tencent.tolerant import parse_object


class Found(msgspec.Struct, frozen=True):
    """A session's row with the evidence for its presence."""

    row: SessionRow
    signs: Signs = NO_SIGNS
    recorded_ms: int = 0
    screenshot_position: int | None = None


def meaning(errcode: int | None) -> tuple[str, str]:
    """Class and meaning of a stop's errcode."""
    return class_of(errcode).value, meaning_of(errcode)


def session_answer(
    found: Found, latest: Shown | None, now_ms: int, limits: SuspectLimits, *, shared: bool
) -> Session:
    """The answer about a session; `shared` says that other streams have its sequence too."""
    row = found.row
    latest_url = latest_at = None
    if isinstance(latest, LedgerEvent):
        screenshot = notification_of(parse_object(latest.delivery.body)[0])
        if isinstance(screenshot.detail, Screenshot):
            latest_url = screenshot.detail.pic_full_url or screenshot.detail.pic_url
        if screenshot.at_ms is not None:
            latest_at = instant_ms(screenshot.at_ms)
    totals = Totals(
        recordings=RecordingTotals(
            count=row.recordings,
            recorded_ms=found.recorded_ms,
            files_ms=row.files_ms,
            bytes=row.recording_bytes,
        ),
        screenshots=ScreenshotTotals(count=row.screenshots, latest_url=latest_url, latest_at=latest_at),
        deliveries=row.deliveries,
        notifications=distinct_notifications(row.fold),
        position=row.position,
    )
    session = derive(row.fold, totals, evidence_of(found, now_ms, limits), meaning, abnormal_name)
    anomalies = anomalies_of(row.fold, shared=True) if shared else session.anomalies
    return without_secrets(msgspec.structs.replace(session, anomalies=anomalies))


def without_secrets(session: Session) -> Session:
    """The same session with the secrets redacted in whatever field they stand: URLs too may hold them.

    Of one that is large, long texts are cut.
    """
    encoded = msgspec.json.encode(session)
    is_long = len(encoded) > SHOWN_BYTES_MAX
    if not is_long and not may_hold_secret(encoded.decode()):
        return session
    fields = msgspec.to_builtins(session)
    shown = redact(shortened(fields) if is_long else fields)
    return session if shown == fields else msgspec.convert(shown, Session)


def evidence_of(found: Found, now_ms: int, limits: SuspectLimits) -> Evidence:
    """What speaks for or against a session, as it was read."""
    return Evidence(
        now_ms=now_ms,
        limits=limits,
        signs=found.signs,
        newer_push_ms=found.row.rival_ms,
    )


def timeline_entry(row: TimelineRow, event: Shown | None) -> TimelineEntry:
    """An entry from its row and the event it points to."""
    detail: dict[str, Any] = {}
    if isinstance(event, NotShown):
        return _entry(row, {"not_shown": "too_large" if event.cause is None else "unreadable"})
    if event is not None:
        obj, _ = parse_object(event.delivery.body)
        notification = notification_of(obj)
        if notification.detail is None:
            detail = redact(obj)
        else:
            fields = msgspec.to_builtins(notification.detail)
            fields["stream_param"] = notification.stream_param
            detail = {name: value for name, value in fields.items() if value is not None}
            if may_hold_secret(msgspec.json.encode(detail).decode()):
                detail = redact(detail)
        if notification.unreadable:
            detail["unreadable"] = list(notification.unreadable)
    return _entry(row, detail)


def picture_entry(row: TimelineRow, event: Shown | None) -> TimelineEntry:
    """An entry as far as a picture draws it: of a screenshot, of which there are many, only its image."""
    if row.kind != Kind.SCREENSHOT or not isinstance(event, LedgerEvent):
        return timeline_entry(row, event)
    obj, _ = parse_object(event.delivery.body)
    detail = {name: obj[name] for name in ("pic_full_url", "pic_url") if isinstance(obj.get(name), str)}
    if may_hold_secret(msgspec.json.encode(detail).decode()):
        detail = redact(detail)
    return _entry(row, detail)


def _entry(row: TimelineRow, detail: dict[str, Any]) -> TimelineEntry:
    attribution = None
    if row.sequence and row.kind in ATTRIBUTED_KINDS:
        # What is not written out is what nearly all media are.
        codes = PLAIN if row.because is None else row.because.split(",")
        named = row.alternatives or ()
        attribution = AttributionAnswer(
            confidence=row.confidence or Confidence.CERTAIN.value,
            because=[REASONS.get(code, code) for code in codes],
            codes=list(codes),
            alternatives=list(named),
            alternatives_total=row.alternatives_total or len(named),
        )
    happened_ms = row.until_ms if row.kind == Kind.RECORDING else row.at_ms
    rivals = row.rivals or ()
    return TimelineEntry(
        at=instant_ms(row.at_ms),
        until=instant_ms(row.until_ms) if row.until_ms != row.at_ms else None,
        kind=row.kind,
        position=row.position,
        received_at=instant_ms(row.received_ms),
        delay_ms=row.received_ms - happened_ms,
        deliveries=row.deliveries,
        conflicts=len({content for content, _ in rivals} - {row.content}),
        conflicts_at_least=len(rivals) >= RIVALS_MAX,
        attribution=attribution,
        detail=detail,
    )


def stream_entry(row: TimelineRow, event: Shown | None) -> StreamEntry:
    """An entry of a stream's list, from its row and the event it points to."""
    entry = timeline_entry(row, event)
    fields = {name: getattr(entry, name) for name in entry.__struct_fields__}
    envelope = read_envelope(event.delivery.body) if isinstance(event, LedgerEvent) else None
    return StreamEntry(
        **fields,
        stream_id=row.stream_id,
        event_type=envelope.event_type if envelope else None,
        sequence=row.sequence or None,
    )


def stream_answer(
    row: StreamRow,
    open_sessions: Sequence[Found],
    now_ms: int,
    limits: SuspectLimits,
    *,
    is_live: bool = False,
) -> Stream:
    """A stream is live while any of its sessions is: one of those given, or, as it `is_live`, another one."""
    states = {presence_of(found.row.fold, evidence_of(found, now_ms, limits))[0] for found in open_sessions}
    presence = "live" if is_live or "live" in states else "suspect" if states else "offline"
    return Stream(
        stream_id=row.stream_id,
        presence=presence,
        open_sessions=[found.row.sequence for found in open_sessions],
        open_sessions_count=row.open_sessions,
        sessions=row.sessions,
        recordings=row.recordings,
        screenshots=row.screenshots,
        unattributed=row.unattributed,
        first_seen_at=instant_us(row.first_seen_us),
        last_seen_at=instant_us(row.last_seen_us),
    )


def ledger_entry(event: Shown, *, whole: bool = False) -> LedgerEntry:
    """An event as it is shown, one that cannot be read too; `whole` with what is stored of such a one."""
    if isinstance(event, NotShown):
        return LedgerEntry(
            position=event.position,
            name=event.name,
            stream_id=None if event.originator_id.startswith("~") else named(event.originator_id),
            sequence=None,
            received_at=None,
            source_ip="",
            key=None,
            believed=None,
            headers=HeadersShown(),
            mended=[],
            notification={},
            bytes=event.size_bytes,
            unreadable=event.cause,
            stored_base64=base64.b64encode(event.state).decode() if whole and event.state else None,
        )
    delivery = event.delivery
    entry = LedgerEntry(
        position=event.position,
        name=event.name,
        stream_id=None,
        sequence=None,
        received_at=instant_us(delivery.received_at_us),
        source_ip=delivery.source_ip,
        key=delivery.key,
        believed=belief_shown(delivery) if is_notification(event.name) else None,
        headers=headers_shown(delivery.headers),
        mended=[],
        notification={},
        bytes=len(delivery.body),
    )
    try:
        shown = shown_body(delivery.body)
        envelope = read_envelope(at_most(delivery.body)) if is_notification(event.name) else None
    except MalformedBody as error:
        return msgspec.structs.replace(entry, unreadable=str(error))
    return msgspec.structs.replace(
        entry,
        stream_id=envelope.stream_id if envelope else None,
        sequence=envelope.sequence if envelope else None,
        mended=list(shown.mended),
        notification=shown.fields,
        cut=shown.cut,
    )


def projection_status(row: Sequence[Any], now_ms: int) -> ProjectionStatus:
    """A projection's row, with how far it is behind: in events, and since when the first of them waits."""
    name, position, digest, digest_position, head, parked, state = row
    lag_s = 0.0
    if state is not None:
        waiting_since_us = mapper.decode("push-started.v1", state)[1].received_at_us
        lag_s = max(0.0, round(now_ms / 1000 - waiting_since_us / 1e6, 3))
    return ProjectionStatus(
        name=name,
        position=position,
        head=head,
        lag_events=max(head - position, 0),  # positions have no gaps
        lag_s=lag_s,
        digest=digest,
        digest_position=digest_position,
        parked=parked,
    )
