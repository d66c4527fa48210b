"""What a body of each event type holds, and what it says: a struct a type, whose fields are declared once.

A field's declaration tells both readers its rule: what strict JSON may hold at once, and how any other
value is read leniently. What a body says (when, its identity, its detail) is a method of its struct, so
that it does not matter which reader filled it. Fields that nothing asks for are not declared.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from streamledger.domain.notification import (
    AbnormalEvent,
    Detail,
    Push,
    PushError,
    Recording,
    RecordingStatus,
    Screenshot,
)
from streamledger.domain.place import host_of
from streamledger.tencent.fields import (
    INT64_MAX,
    Count,
    Digits,
    Lasting,
    Micros,
    Millis,
    Name,
    Number,
    Seconds,
    Sequence,
    StreamId,
    Text,
    integer_within,
)
from streamledger.tencent.filling import InsteadOf, fill

Interval = tuple[int | None, int | None]


class Body(msgspec.Struct, kw_only=True, gc=False):
    """What every body may hold. Absent, null and unreadable fields are None; a text may also be empty."""

    stream_id: StreamId = None
    sequence: Sequence = None
    app: Name = None
    domain: Annotated[Name, InsteadOf("app")] = None
    appname: Name = None
    path: Annotated[Name, InsteadOf("appname")] = None
    stream_param: Text = None
    t: Annotated[int, Meta(ge=0, le=INT64_MAX)] | None = None
    sign: str | None = None

    def place(self) -> tuple[str | None, str | None]:
        """Push domain and push path, which are app/appname, domain/path or domain/appname."""
        return self.app or self.domain or None, self.appname or self.path or None

    def interval_ms(self) -> Interval:
        """When the fact happened, and of a recording when its content ended."""
        raise NotImplementedError

    def identity(self) -> str | None:
        """By what it is known within its stream and kind; None where that is its content."""
        return None

    def detail(self) -> Detail:
        """The fields of its kind; None of a kind that is not modelled."""
        return None

    def parts(self) -> Iterable[msgspec.Struct]:
        """The structs inside it that hold texts."""
        return ()


class PushBody(Body):
    """Event types 1 and 0 (267/38081)."""

    event_time: Seconds = None
    node: Text = None
    user_ip: Text = None
    width: Count = None
    height: Count = None
    errcode: Number = None
    errmsg: Text = None
    push_duration: Digits = None

    def interval_ms(self) -> Interval:
        return _ms(self.event_time), None

    def identity(self) -> str | None:
        return self.sequence

    def detail(self) -> Push:
        lasted_ms = self.push_duration
        return Push(
            node=self.node or None,
            user_ip=self.user_ip or None,
            width=self.width,
            height=self.height,
            errcode=self.errcode,
            errmsg=self.errmsg or None,
            push_duration_ms=None if lasted_ms is None else int(lasted_ms),
        )


class PushStoppedBody(PushBody, tag_field="event_type", tag=0):
    """A stop."""


class PushStartedBody(PushBody, tag_field="event_type", tag=1):
    """A start."""


class RecordingBody(Body, tag_field="event_type", tag=100):
    """A file (267/38082): start and end are of its writing, duration is of its content."""

    file_id: Name = None
    record_file_id: Annotated[Name, InsteadOf("file_id")] = None
    video_id: Annotated[Name, InsteadOf("record_file_id")] = None
    file_format: Text = None
    file_size: Count = None
    duration: Lasting = None
    start_time: Seconds = None
    start_time_usec: Micros = None
    end_time: Seconds = None
    end_time_usec: Micros = None
    video_url: Text = None
    task_id: Name = None

    def interval_ms(self) -> Interval:
        """Its content ends with the writing, and began no sooner than that, whatever the duration says."""
        started_ms = self.began_ms()
        ended_ms = _ms(self.end_time, self.end_time_usec)
        lasted_ms = _ms(self.duration)
        if ended_ms is None or not lasted_ms:
            return started_ms, ended_ms
        return max(started_ms or 0, ended_ms - lasted_ms), ended_ms

    def began_ms(self) -> int | None:
        """When its writing began."""
        return _ms(self.start_time, self.start_time_usec)

    def lasted_ms(self) -> int | None:
        """The length of its file; where it does not say, that of its content."""
        if self.duration:
            return _ms(self.duration)
        started_ms, ended_ms = self.interval_ms()
        return None if started_ms is None or ended_ms is None else max(0, ended_ms - started_ms)

    def identity(self) -> str | None:
        return self.file_id or self.record_file_id or self.video_id or None

    def detail(self) -> Recording:
        return Recording(
            file_id=self.identity(),
            file_format=self.file_format or None,
            file_bytes=self.file_size,
            duration_ms=_ms(self.duration),
            writing_started_ms=_ms(self.start_time, self.start_time_usec),
            writing_ended_ms=_ms(self.end_time, self.end_time_usec),
            video_url=self.video_url or None,
            task_id=self.task_id or None,
        )


class ScreenshotBody(Body, tag_field="event_type", tag=200):
    """A screenshot (267/38083)."""

    create_time: Seconds = None
    pic_url: Name = None
    pic_full_url: Text = None
    file_size: Count = None
    width: Count = None
    height: Count = None
    task_id: Name = None

    def interval_ms(self) -> Interval:
        return _ms(self.create_time), None

    def identity(self) -> str | None:
        """Its name, place and time: the file name is the customer's template, and may be always the same."""
        if self.pic_url is None and self.create_time is None:
            return None
        app, appname = self.place()
        return f"{self.create_time}|{host_of(app) or ''}|{appname or ''}|{self.pic_url or ''}"

    def detail(self) -> Screenshot:
        return Screenshot(
            pic_url=self.pic_url or None,
            pic_full_url=self.pic_full_url or None,
            file_bytes=self.file_size,
            width=self.width,
            height=self.height,
            task_id=self.task_id or None,
        )


class AbnormalEntry(msgspec.Struct, kw_only=True, gc=False):
    """One entry of abnormal_event; without a type it says nothing."""

    type: Annotated[int, Meta(ge=0, le=INT64_MAX), integer_within(0, INT64_MAX)]
    count: Count = None
    type_desc_en: Text = None
    type_desc_cn: Annotated[Text, InsteadOf("type_desc_en")] = None


def abnormal_entries(value: Any) -> tuple[list[AbnormalEntry] | None, bool]:
    """The entries that can be read, of a list or of one alone."""
    if value is None or value == "":
        return None, True
    entries, are_readable = [], True
    for sent in value if isinstance(value, list) else [value]:
        fields, unreadable = fill(AbnormalEntry, sent if isinstance(sent, dict) else {})
        if fields.get("type") is not None:
            entries.append(AbnormalEntry(**fields))
        if unreadable or fields.get("type") is None:
            are_readable = False
    return entries, are_readable


class PushErrorBody(Body, tag_field="event_type", tag=321):
    """What went wrong in a push (267/53310)."""

    data_time: Millis = None
    report_interval: Count = None
    abnormal_event: Annotated[list[AbnormalEntry], abnormal_entries] | None = None

    def interval_ms(self) -> Interval:
        return self.data_time, None

    def parts(self) -> Iterable[msgspec.Struct]:
        return self.abnormal_event or ()

    def detail(self) -> PushError:
        return PushError(
            report_interval_ms=self.report_interval,
            abnormal_events=tuple(
                AbnormalEvent(
                    type=each.type,
                    count=1 if each.count is None else each.count,
                    description=each.type_desc_en or each.type_desc_cn or None,
                )
                for each in self.abnormal_event or ()
            ),
        )


class RecordingStatusBody(Body, tag_field="event_type", tag=332):
    """What a recording task does (267/58590)."""

    event_time: Seconds = None
    record_event: Text = None
    record_detail: Text = None
    session_id: Name = None
    task_id: Name = None

    def interval_ms(self) -> Interval:
        return _ms(self.event_time), None

    def detail(self) -> RecordingStatus:
        return RecordingStatus(
            record_event=self.record_event or None,
            session_id=self.session_id or None,
            task_id=self.task_id or None,
            description=self.record_detail or None,
        )


class RecordedException(msgspec.Struct, kw_only=True, gc=False):
    """The inner object of an exception."""

    type: Text = None
    desc: Text = None


def recorded_exception(value: Any) -> tuple[RecordedException | None, bool]:
    """The exception, of an object alone."""
    if not isinstance(value, dict):
        return None, value is None or value == ""
    fields, unreadable = fill(RecordedException, value)
    return RecordedException(**fields), not unreadable


class RecordingExceptionBody(Body, tag_field="event_type", tag=341):
    """What went wrong in a recording (267/68622)."""

    timestamp: Seconds = None
    session_id: Name = None
    task_id: Name = None
    exception_level: Text = None
    exception: Annotated[RecordedException, recorded_exception] | None = None

    def interval_ms(self) -> Interval:
        return _ms(self.timestamp), None

    def parts(self) -> Iterable[msgspec.Struct]:
        return () if self.exception is None else (self.exception,)

    def detail(self) -> RecordingStatus:
        inner = self.exception
        return RecordingStatus(
            session_id=self.session_id or None,
            task_id=self.task_id or None,
            exception_type=None if inner is None else inner.type or None,
            exception_level=self.exception_level or None,
            description=None if inner is None else inner.desc or None,
        )


class OtherBody(Body):
    """An event type that is not modelled: the first time that is there is taken for its own."""

    event_time: Seconds = None
    data_time: Annotated[Millis, InsteadOf("event_time")] = None
    timestamp: Annotated[Seconds, InsteadOf("data_time")] = None
    create_time: Annotated[Seconds, InsteadOf("timestamp")] = None
    screenshotTime: Annotated[Seconds, InsteadOf("create_time")] = None  # noqa: N815  # as 317 spells it
    sendTime: Annotated[Seconds, InsteadOf("screenshotTime")] = None  # noqa: N815  # likewise
    begin_time: Annotated[Seconds, InsteadOf("sendTime")] = None

    def interval_ms(self) -> Interval:
        return _first(
            _ms(self.event_time),
            self.data_time,
            _ms(self.timestamp),
            _ms(self.create_time),
            _ms(self.screenshotTime),
            _ms(self.sendTime),
            _ms(self.begin_time),
        ), None


MODELLED: Final = (
    PushStoppedBody,
    PushStartedBody,
    RecordingBody,
    ScreenshotBody,
    PushErrorBody,
    RecordingStatusBody,
    RecordingExceptionBody,
)


def event_type_read(struct: type[Body]) -> int:
    """The event type whose bodies a modelled struct is for."""
    tag = struct.__struct_config__.tag
    assert isinstance(tag, int)  # noqa: S101  # of those that are modelled it is
    return tag


BODY_BY_EVENT_TYPE: Final[dict[int, type[Body]]] = {event_type_read(struct): struct for struct in MODELLED}


def _ms(seconds: float | None, micros: int | None = None) -> int | None:
    return None if seconds is None else round(seconds * 1000) + (micros or 0) // 1000


def _first(*times_ms: int | None) -> int | None:
    return next((at_ms for at_ms in times_ms if at_ms is not None), None)
