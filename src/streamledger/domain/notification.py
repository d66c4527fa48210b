"""What a notification is: one fact that Tencent reports, however often it is delivered."""

from enum import StrEnum
from hashlib import blake2b
from typing import Final

import msgspec

AHEAD_MS_MAX: Final = 900_000
"""How far a fact may lie ahead of its receipt: what is reported has happened, but for clocks that differ."""

EARLIEST_MS: Final = 1_262_304_000_000
"""2010-01-01T00:00:00Z: an earlier time, and 0, was never meant."""

TEXT_CHARACTERS_MAX: Final = 4096
"""Of a text that sessions keep: a genuine one has some hundred characters."""


def bounded(text: str | None) -> str | None:
    """The text; of one that is too long its beginning, and what tells it from others that begin so."""
    if not text or len(text) <= TEXT_CHARACTERS_MAX:
        return text or None
    digest = blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()
    return f"{text[: TEXT_CHARACTERS_MAX - len(digest) - 1]}\u2026{digest}"


class Kind(StrEnum):
    """What a notification tells; the `kind` of a timeline entry. New event types fall under OTHER."""

    PUSH_STARTED = "push_started"  # event_type 1
    PUSH_STOPPED = "push_stopped"  # event_type 0
    RECORDING = "recording"  # event_type 100
    SCREENSHOT = "screenshot"  # event_type 200
    PUSH_ERROR = "push_error"  # event_type 321
    RECORDING_STATUS = "recording_status"  # event_type 332
    RECORDING_EXCEPTION = "recording_exception"  # event_type 341
    OTHER = "other"  # everything else, kept whole


class Push(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The fields of event types 1 and 0 (267/38081). Absent or unreadable ones are None."""

    node: str | None = None
    user_ip: str | None = None
    width: int | None = None
    height: int | None = None
    errcode: int | None = None
    errmsg: str | None = None
    push_duration_ms: int | None = None


class Recording(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The fields of event type 100 (267/38082). Content is [end - duration, end], not [start, end]."""

    file_id: str | None = None
    file_format: str | None = None
    file_bytes: int | None = None
    duration_ms: int | None = None
    writing_started_ms: int | None = None
    writing_ended_ms: int | None = None
    video_url: str | None = None
    task_id: str | None = None


class Screenshot(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The fields of event type 200 (267/38083)."""

    pic_url: str | None = None
    pic_full_url: str | None = None
    file_bytes: int | None = None
    width: int | None = None
    height: int | None = None
    task_id: str | None = None


class AbnormalEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One entry of a push error's abnormal_event list (267/53310)."""

    type: int
    count: int = 1
    description: str | None = None


class PushError(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The fields of event type 321 (267/53310)."""

    report_interval_ms: int | None = None
    abnormal_events: tuple[AbnormalEvent, ...] = ()


class RecordingStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The fields of event types 332 (267/58590) and 341 (267/68622)."""

    record_event: str | None = None
    session_id: str | None = None
    task_id: str | None = None
    exception_type: str | None = None
    exception_level: str | None = None
    description: str | None = None


Detail = Push | Recording | Screenshot | PushError | RecordingStatus | None


class Notification(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One fact, with the fields that every kind shares and one struct of those of its kind.

    Times are milliseconds since 1970-01-01 UTC, between 0 and 9999-12-31. A field that was
    sent but cannot be read is None and named in `unreadable`; the notification is kept all the same.
    """

    event_type: int
    kind: Kind
    stream_id: str | None
    """The live stream; None when absent or unusable (NUL, over 256 characters, not text)."""
    key: str
    """The identity within (stream_id, kind), without t and sign: for 0 and 1 the sequence, for 100
    file_id, for 200 pic_url, for others a digest of the body less t and sign. At most 40 characters:
    a longer one is replaced by its digest."""
    sequence: str | None
    """The push it belongs to, as text; only event types 0, 1 and 321 carry one."""
    at_ms: int | None
    """When the fact happened: event_time, create_time, data_time; for a recording the content's start."""
    until_ms: int | None
    """For a recording the content's end; else None."""
    app: str | None = None
    appname: str | None = None
    stream_param: str | None = None
    content: str
    """Hex digest of the whole body less t and sign, whatever the order of keys or the white space.
    Two deliveries of one key with different contents are a conflict."""
    unreadable: tuple[str, ...] = ()
    detail: Detail = None


TIME_FIELD: Final = {
    Kind.PUSH_STARTED: "event_time",
    Kind.PUSH_STOPPED: "event_time",
    Kind.RECORDING: "end_time",
    Kind.SCREENSHOT: "create_time",
    Kind.PUSH_ERROR: "data_time",
    Kind.RECORDING_STATUS: "event_time",
    Kind.RECORDING_EXCEPTION: "timestamp",
    Kind.OTHER: "event_time",
}
"""The field that tells when a fact of a kind happened."""


def believable(notification: Notification, received_ms: int) -> Notification:
    """The same without the times that lie so far ahead of this receipt that they cannot be real.

    They count as fields that cannot be read. Of a file that ends too late, its beginning is left.
    """
    latest_ms = received_ms + AHEAD_MS_MAX
    if max(notification.at_ms or 0, notification.until_ms or 0) <= latest_ms:
        return notification
    at_ms = None
    if isinstance(notification.detail, Recording):
        began_ms = notification.detail.writing_started_ms
        at_ms = began_ms if began_ms is not None and began_ms <= latest_ms else None
    unreadable = {*notification.unreadable, TIME_FIELD[notification.kind]}
    return msgspec.structs.replace(
        notification, at_ms=at_ms, until_ms=None, unreadable=tuple(sorted(unreadable))
    )
