"""The quick reading of what nearly every body is: one of the four documented types with nothing odd in it.

One typed decode instead of a dictionary that is looked through field by field. Whatever does not fit is
left to the lenient reader; property tests hold both against each other.
"""

from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import msgspec

from streamledger.domain.notification import Detail, Kind, Notification, Push, Recording, Screenshot
from streamledger.tencent.content import md5_hex
from streamledger.tencent.fields import (
    INT64_MAX,
    INT64_MIN,
    SEQUENCE_CHARACTERS_MAX,
    STREAM_ID_CHARACTERS_MAX,
    TIME_S_MAX,
    key_of,
)
from streamledger.tencent.tolerant import NOT_STRICT

# Absent is None, but a null that was sent is nothing usual: so the decoder is told other types than mypy.
if TYPE_CHECKING:
    _Seconds: TypeAlias = int | None
    _Micros: TypeAlias = int | None
    _Count: TypeAlias = int | None
    _Number: TypeAlias = int | None
    _Text: TypeAlias = str | None
    _Name: TypeAlias = str | None
    _Sequence: TypeAlias = str | None
else:
    _Seconds = Annotated[int, msgspec.Meta(ge=0, le=TIME_S_MAX)]
    _Micros = Annotated[int, msgspec.Meta(ge=0, le=999_999)]
    _Count = Annotated[int, msgspec.Meta(ge=0, le=INT64_MAX)]
    _Number = Annotated[int, msgspec.Meta(ge=INT64_MIN, le=INT64_MAX)]
    _Text = str
    _Name = Annotated[str, msgspec.Meta(min_length=1)]
    _Sequence = Annotated[str, msgspec.Meta(max_length=SEQUENCE_CHARACTERS_MAX)]


class Usual(msgspec.Struct, kw_only=True, gc=False, forbid_unknown_fields=True, omit_defaults=True):
    """The fields that event types 0, 1, 100 and 200 are known to have; absent ones are None.

    They stand in the order of their names: encoded so, a body is what `content_digest` digests.
    """

    app: _Name = None
    appid: _Number | _Text = None
    appname: _Name = None
    callback_ext: _Text = None
    channel_id: _Text = None
    create_time: _Seconds = None
    duration: _Count = None
    end_time: _Seconds = None
    end_time_usec: _Micros = None
    errcode: _Number = None
    errmsg: _Text = None
    event_time: _Seconds = None
    event_type: int
    file_format: _Text = None
    file_id: _Text = None
    file_size: _Count = None
    height: _Count = None
    idc_id: _Number | _Text = None
    media_start_time: _Number | _Text = None
    node: _Text = None
    pic_full_url: _Text = None
    pic_url: _Text = None
    push_duration: _Text = None
    record_bps: _Number | _Text = None
    record_file_id: _Text = None
    sequence: _Sequence = None
    set_id: _Number | _Text = None
    sign: _Text = None
    start_time: _Seconds = None
    start_time_usec: _Micros = None
    stream_id: Annotated[str, msgspec.Meta(min_length=1, max_length=STREAM_ID_CHARACTERS_MAX)]
    stream_param: _Text = None
    t: _Count = None
    task_id: _Text = None
    user_ip: _Text = None
    video_url: _Text = None
    width: _Count = None


_decode: Final = msgspec.json.Decoder(Usual).decode
_encode: Final = msgspec.json.Encoder().encode


def read_usual(body: bytes) -> Usual | None:
    """The body's fields, or None when one is not as usual. Their texts are not looked at yet."""
    try:
        return _decode(body)
    except NOT_STRICT:
        return None


def usual_notification(usual: Usual, body: bytes) -> Notification | None:
    """What the lenient reader gives for the same body, or None when leniency may be needed."""
    event_type = usual.event_type
    if event_type == 200:
        if usual.pic_url is None or not is_plain_screenshot(usual, body):
            return None
        at_ms = None if usual.create_time is None else usual.create_time * 1000
        return _notification(usual, Kind.SCREENSHOT, usual.pic_url, at_ms, None, _screenshot(usual))
    if event_type == 100:
        return _recording(usual) if is_plain_recording(usual, body) else None
    if event_type in {0, 1}:
        return _push(usual, body)
    return None


def is_plain_screenshot(usual: Usual, body: bytes) -> bool:
    """Whether what a body of event type 200 says can be taken as it was sent; it has an identity then.

    Most notifications are such, and rebuilds read them all.
    """
    return (
        usual.sequence is None
        and bool(usual.pic_url)
        and _are_plain(
            f"{usual.stream_id}{usual.pic_url}{usual.app}{usual.appname}{usual.pic_full_url}"
            f"{usual.stream_param}{usual.task_id}",
            body,
        )
    )


def is_plain_recording(usual: Usual, body: bytes) -> bool:
    """Likewise of event type 100, which has both its times then."""
    return (
        usual.sequence is None
        and bool(usual.file_id)
        and usual.start_time is not None
        and usual.end_time is not None
        and _are_plain(
            f"{usual.stream_id}{usual.file_id}{usual.app}{usual.appname}{usual.stream_param}"
            f"{usual.file_format}{usual.video_url}{usual.task_id}",
            body,
        )
    )


_BACKSLASH: Final = ord("\\")


def _are_plain(together: str, body: bytes) -> bool:
    """Texts without white space need no stripping, and printable ones can be stored as they are.

    An absent one reads `None` among them, which is plain. In a body of ASCII without escapes, as nearly
    all are, JSON leaves no character that does not print but DEL; to look there is quicker.
    """
    if " " in together:
        return False
    if body.isascii() and _BACKSLASH not in body:  # a number: to look for bytes takes five times as long
        return "\x7f" not in together
    return together.isprintable()


def content_of(usual: Usual) -> str:
    """As `content_digest` of the same body."""
    t, sign = usual.t, usual.sign
    usual.t = usual.sign = None
    encoded = _encode(usual)
    usual.t, usual.sign = t, sign
    return md5_hex(encoded)


def _notification(
    usual: Usual, kind: Kind, identity: str, at_ms: int | None, until_ms: int | None, detail: Detail
) -> Notification:
    return Notification(
        event_type=usual.event_type,
        kind=kind,
        stream_id=usual.stream_id,
        key=key_of(identity),
        sequence=usual.sequence,
        at_ms=at_ms,
        until_ms=until_ms,
        app=usual.app,
        appname=usual.appname,
        stream_param=usual.stream_param or None,
        content=content_of(usual),
        detail=detail,
    )


def _screenshot(usual: Usual) -> Screenshot:
    return Screenshot(
        pic_url=usual.pic_url,
        pic_full_url=usual.pic_full_url or None,
        file_bytes=usual.file_size,
        width=usual.width,
        height=usual.height,
        task_id=usual.task_id or None,
    )


def _push(usual: Usual, body: bytes) -> Notification | None:
    sequence, errmsg, lasted = usual.sequence, usual.errmsg, usual.push_duration
    if not sequence or not (sequence.isalnum() and sequence.isascii()):
        return None
    if not _are_plain(
        f"{usual.stream_id}{usual.app}{usual.appname}{usual.stream_param}{usual.node}{usual.user_ip}", body
    ):
        return None
    if errmsg and not (errmsg >= "!" and errmsg.isprintable()):
        return None
    if lasted is not None and not (lasted.isdigit() and lasted.isascii() and len(lasted) <= 18):
        return None
    detail = Push(
        node=usual.node or None,
        user_ip=usual.user_ip or None,
        width=usual.width,
        height=usual.height,
        errcode=usual.errcode,
        errmsg=errmsg or None,
        push_duration_ms=None if lasted is None else int(lasted),
    )
    kind = Kind.PUSH_STARTED if usual.event_type == 1 else Kind.PUSH_STOPPED
    at_ms = None if usual.event_time is None else usual.event_time * 1000
    return _notification(usual, kind, sequence, at_ms, None, detail)


def content_ms_of(usual: Usual) -> tuple[int, int]:
    """When the content of a plain recording began and ended."""
    assert usual.start_time is not None  # noqa: S101  # it is plain
    assert usual.end_time is not None  # noqa: S101  # likewise
    ended_ms = usual.end_time * 1000 + (usual.end_time_usec or 0) // 1000
    # A duration that reaches back before 1970 says nothing about the start.
    if usual.duration is not None and ended_ms >= usual.duration * 1000:
        return ended_ms - usual.duration * 1000, ended_ms
    return usual.start_time * 1000 + (usual.start_time_usec or 0) // 1000, ended_ms


def _recording(usual: Usual) -> Notification:
    assert usual.file_id is not None  # noqa: S101  # it is plain
    assert usual.start_time is not None  # noqa: S101  # likewise
    content_started_ms, ended_ms = content_ms_of(usual)
    detail = Recording(
        file_id=usual.file_id,
        file_format=usual.file_format or None,
        file_bytes=usual.file_size,
        duration_s=usual.duration,
        writing_started_ms=usual.start_time * 1000 + (usual.start_time_usec or 0) // 1000,
        writing_ended_ms=ended_ms,
        video_url=usual.video_url or None,
        task_id=usual.task_id or None,
    )
    return _notification(usual, Kind.RECORDING, usual.file_id, content_started_ms, ended_ms, detail)
