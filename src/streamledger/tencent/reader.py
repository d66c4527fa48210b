"""Bytes to notification: the full, lenient reading of every kind of body."""

from collections.abc import Callable
from typing import Any, Final

from streamledger.domain.notification import (
    AbnormalEvent,
    Detail,
    Kind,
    Notification,
    Push,
    PushError,
    Recording,
    RecordingStatus,
    Screenshot,
)
from streamledger.tencent.catalogue import KIND_BY_EVENT_TYPE
from streamledger.tencent.content import content_digest
from streamledger.tencent.envelope import Envelope, envelope_of, event_type_of, read_envelope, t_of
from streamledger.tencent.fields import INT64_MIN, TIME_MS_MAX, Fields, key_of
from streamledger.tencent.tolerant import parse_object
from streamledger.tencent.usual import Usual, read_usual, usual_notification

__all__ = [
    "Envelope",
    "content_digest",
    "envelope_of",
    "notification_of",
    "parse_object",
    "read_envelope",
    "read_notification",
    "read_with_t",
]

# What a kind adds: (at_ms, until_ms, identity, detail); without an identity the content is the key.
_Facts = tuple[int | None, int | None, str | None, Detail]


def read_notification(body: bytes) -> Notification:
    """The one fact that a body reports. Raises MalformedBody when it is no object or has no event_type."""
    return read_with_t(body)[0]


def read_with_t(body: bytes) -> tuple[Notification, str | None]:
    """The same, and the envelope's `t`, by one decode."""
    return read_from(read_usual(body), body)


def read_from(usual: Usual | None, body: bytes) -> tuple[Notification, str | None]:
    """The same of a body of which `read_usual` has given this."""
    if usual is not None:
        notification = usual_notification(usual, body)
        if notification is not None:
            return notification, None if usual.t is None else str(usual.t)
    obj = parse_object(body)[0]
    return notification_of(obj), t_of(obj.get("t"))


def notification_of(obj: dict[str, Any]) -> Notification:
    """The fact of an object that is parsed already, whatever it is like. Raises MalformedBody."""
    event_type = event_type_of(obj.get("event_type"))
    kind = KIND_BY_EVENT_TYPE.get(event_type, Kind.OTHER)
    fields = Fields(obj)
    stream_id = fields.stream_id()
    sequence = fields.sequence()
    at_ms, until_ms, identity, detail = _FACTS_BY_KIND[kind](fields)
    app, appname = _app_and_appname(fields)
    stream_param = fields.text("stream_param")
    content = content_digest(obj)
    if kind is Kind.PUSH_STARTED or kind is Kind.PUSH_STOPPED:
        identity = sequence
    key = "md5:" + content if identity is None else key_of(identity)
    return Notification(
        event_type=event_type,
        kind=kind,
        stream_id=stream_id,
        key=key,
        sequence=sequence,
        at_ms=at_ms,
        until_ms=until_ms,
        app=app,
        appname=appname,
        stream_param=stream_param,
        content=content,
        unreadable=fields.unreadable,
        detail=detail,
    )


def _app_and_appname(fields: Fields) -> tuple[str | None, str | None]:
    # app/appname are domain/path in 315, 321, 341, 348, 349 and domain/appname in 332, 343, 344.
    app = fields.name("app")
    if app is None:
        app = fields.name("domain")
    appname = fields.name("appname")
    if appname is None:
        appname = fields.name("path")
    return app, appname


def _push(fields: Fields) -> _Facts:
    detail = Push(
        node=fields.text("node"),
        user_ip=fields.text("user_ip"),
        width=fields.integer("width"),
        height=fields.integer("height"),
        errcode=fields.integer("errcode", INT64_MIN),
        errmsg=fields.text("errmsg"),
        push_duration_ms=fields.integer("push_duration"),
    )
    return fields.time_ms("event_time"), None, None, detail


def _recording(fields: Fields) -> _Facts:
    started_ms = _with_micros(fields, "start_time")
    ended_ms = _with_micros(fields, "end_time")
    duration_s = fields.integer("duration")
    content_started_ms = started_ms
    # A duration that reaches back before 1970 says nothing about the start.
    if ended_ms is not None and duration_s is not None and ended_ms >= duration_s * 1000:
        content_started_ms = ended_ms - duration_s * 1000
    file_id = fields.first_name("file_id", "record_file_id", "video_id")
    detail = Recording(
        file_id=file_id,
        file_format=fields.text("file_format"),
        file_bytes=fields.integer("file_size"),
        duration_s=duration_s,
        writing_started_ms=started_ms,
        writing_ended_ms=ended_ms,
        video_url=fields.text("video_url"),
        task_id=fields.name("task_id"),
    )
    return content_started_ms, ended_ms, file_id, detail


def _with_micros(fields: Fields, name: str) -> int | None:
    seconds_ms = fields.time_ms(name)
    micros = fields.integer(name + "_usec", 0, 999_999)
    return seconds_ms if seconds_ms is None or micros is None else seconds_ms + micros // 1000


def _screenshot(fields: Fields) -> _Facts:
    pic_url = fields.name("pic_url")
    detail = Screenshot(
        pic_url=pic_url,
        pic_full_url=fields.text("pic_full_url"),
        file_bytes=fields.integer("file_size"),
        width=fields.integer("width"),
        height=fields.integer("height"),
        task_id=fields.name("task_id"),
    )
    return fields.time_ms("create_time"), None, pic_url, detail


def _push_error(fields: Fields) -> _Facts:
    detail = PushError(
        report_interval_ms=fields.integer("report_interval"),
        abnormal_events=_abnormal_events(fields),
    )
    return fields.integer("data_time", 0, TIME_MS_MAX), None, None, detail


def _abnormal_events(fields: Fields) -> tuple[AbnormalEvent, ...]:
    sent = fields.raw("abnormal_event")
    if sent is None or sent == "":
        return ()
    read = []
    for entry in sent if isinstance(sent, list) else [sent]:
        event = Fields(entry) if isinstance(entry, dict) else Fields({})
        abnormal_type = event.integer("type")
        if abnormal_type is not None:
            count = event.integer("count")
            description = event.text("type_desc_en") or event.text("type_desc_cn")
            read.append(
                AbnormalEvent(
                    type=abnormal_type, count=1 if count is None else count, description=description
                )
            )
        if abnormal_type is None or event.unreadable:
            fields.mark_unreadable("abnormal_event")
    return tuple(read)


def _recording_status(fields: Fields) -> _Facts:
    detail = RecordingStatus(
        record_event=fields.text("record_event"),
        session_id=fields.name("session_id"),
        task_id=fields.name("task_id"),
        description=fields.text("record_detail"),
    )
    return fields.time_ms("event_time"), None, None, detail


def _recording_exception(fields: Fields) -> _Facts:
    sent = fields.raw("exception")
    exception = Fields(sent if isinstance(sent, dict) else {})
    detail = RecordingStatus(
        session_id=fields.name("session_id"),
        task_id=fields.name("task_id"),
        exception_type=exception.text("type"),
        exception_level=fields.text("exception_level"),
        description=exception.text("desc"),
    )
    if exception.unreadable or not (sent is None or sent == "" or isinstance(sent, dict)):
        fields.mark_unreadable("exception")
    return fields.time_ms("timestamp"), None, None, detail


def _other(fields: Fields) -> _Facts:
    at_ms = fields.time_ms("event_time")
    if at_ms is None:
        at_ms = fields.integer("data_time", 0, TIME_MS_MAX)
    for name in ("timestamp", "create_time", "screenshotTime", "sendTime", "begin_time"):
        if at_ms is None:
            at_ms = fields.time_ms(name)
    return at_ms, None, None, None


_FACTS_BY_KIND: Final[dict[Kind, Callable[[Fields], _Facts]]] = {
    Kind.PUSH_STARTED: _push,
    Kind.PUSH_STOPPED: _push,
    Kind.RECORDING: _recording,
    Kind.SCREENSHOT: _screenshot,
    Kind.PUSH_ERROR: _push_error,
    Kind.RECORDING_STATUS: _recording_status,
    Kind.RECORDING_EXCEPTION: _recording_exception,
    Kind.OTHER: _other,
}
