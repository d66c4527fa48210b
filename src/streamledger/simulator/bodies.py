"""The JSON objects that Tencent sends, in its key order and with its types (267/38081 to 267/58590).

Written from the observed samples and on purpose not from streamledger.tencent: a simulator that
shared the reader's idea of the protocol could not show where that idea is wrong.
"""

import json
from datetime import UTC, datetime, timedelta, timezone

import msgspec

APPID = 1250000001
APP = "push.example.com"
APPNAME = "live"

_CHINA = timezone(timedelta(hours=8))
_FORMAT_SUFFIX = {"hls": "m3u8"}


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a push comes from and under which URL query: what all its notifications share."""

    stream_id: str
    sequence: str
    node: str
    user_ip: str
    stream_param: str
    width: int
    height: int
    set_id: int
    idc_id: int


def push_started(origin: Origin, *, at_ms: int) -> dict[str, object]:
    """Event type 1. Width and height are 0: the first frame is not decoded yet (observed)."""
    return _push(origin, event_type=1, at_ms=at_ms, errcode=0, errmsg="ok", width=0, height=0)


def push_stopped(
    origin: Origin, *, at_ms: int, duration_ms: int, errcode: int, errmsg: str
) -> dict[str, object]:
    """Event type 0; push_duration is text of milliseconds."""
    return _push(
        origin,
        event_type=0,
        at_ms=at_ms,
        errcode=errcode,
        errmsg=errmsg,
        width=origin.width,
        height=origin.height,
        duration_ms=duration_ms,
    )


def _push(
    origin: Origin,
    *,
    event_type: int,
    at_ms: int,
    errcode: int,
    errmsg: str,
    width: int,
    height: int,
    duration_ms: int | None = None,
) -> dict[str, object]:
    return {
        "app": APP,
        "appid": APPID,
        "appname": APPNAME,
        "channel_id": origin.stream_id,
        "errcode": errcode,
        "errmsg": errmsg,
        "event_time": at_ms // 1000,
        "event_type": event_type,
        "height": height,
        "idc_id": origin.idc_id,
        "node": origin.node,
        **({} if duration_ms is None else {"push_duration": str(duration_ms)}),
        "sequence": origin.sequence,
        "set_id": origin.set_id,
        "sign": "",
        "stream_id": origin.stream_id,
        "stream_param": origin.stream_param,
        "t": 0,
        "user_ip": origin.user_ip,
        "width": width,
    }


def recording(
    origin: Origin,
    *,
    file_id: str,
    file_format: str,
    file_bytes: int,
    started_at_ms: int,
    ended_at_ms: int,
    duration_s: int,
    media_start_time: int,
    task_id: str,
) -> dict[str, object]:
    """Event type 100. start_time and end_time are of the writing, duration is of the file."""
    suffix = _FORMAT_SUFFIX.get(file_format, file_format)
    return {
        "event_type": 100,
        "appid": APPID,
        "app": APP,
        "callback_ext": _text({"video_codec": "h264", "resolution": f"{origin.width}x{origin.height}"}),
        "appname": APPNAME,
        "stream_id": origin.stream_id,
        "channel_id": origin.stream_id,
        "file_id": file_id,
        "record_file_id": file_id,
        "file_format": file_format,
        "task_id": task_id,
        "start_time": started_at_ms // 1000,
        "end_time": ended_at_ms // 1000,
        "start_time_usec": started_at_ms % 1000 * 1000,
        "end_time_usec": ended_at_ms % 1000 * 1000,
        "duration": duration_s,
        "file_size": file_bytes,
        "stream_param": origin.stream_param,
        "video_url": f"http://{APPID}.vod2.example.com/{file_id[:8]}/{file_id}/f0.{suffix}",
        "media_start_time": media_start_time,
        "record_bps": 0,
        "sign": "",
        "t": 0,
    }


def picture_path(origin: Origin, at_ms: int) -> str:
    """The pic_url of a screenshot: a path without host, its date and time in UTC+8."""
    at = datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(_CHINA)
    size = f"{origin.width}x{origin.height}"
    return f"/{at:%Y-%m-%d}/{origin.stream_id}-screenshot-{at:%H-%M-%S}-{size}.jpg"


def screenshot(
    origin: Origin, *, at_ms: int, pic_url: str, file_bytes: int, images: str | None = None
) -> dict[str, object]:
    """Event type 200; carries no sequence. Under `images` one is drawn for stream and second."""
    full_url = f"http://demo-{APPID}.cos.region.example.com{pic_url}"
    if images is not None:
        full_url = f"{images}/shot-{origin.stream_id}-{at_ms // 1000}.svg"
    return {
        "app": APP,
        "appname": APPNAME,
        "channel_id": origin.stream_id,
        "create_time": at_ms // 1000,
        "event_type": 200,
        "file_size": file_bytes,
        "height": origin.height,
        "pic_full_url": full_url,
        "pic_url": pic_url,
        "sign": "",
        "stream_id": origin.stream_id,
        "stream_param": origin.stream_param,
        "t": 0,
        "width": origin.width,
    }


def push_error(origin: Origin, *, at_ms: int, waits_ms: tuple[int, ...]) -> dict[str, object]:
    """Event type 321: video frames that came too late, one entry per wait, within the last 5 s."""
    detail = [
        {
            "desc": f"video frame arrive interval too long, interval={wait_ms}(msec)",
            "occur_time": at_ms - back_ms,
        }
        for back_ms, wait_ms in zip(range(400, 4800, 900), waits_ms, strict=False)
    ]
    return {
        "abnormal_event": [
            {
                "count": len(detail),
                "detail": detail,
                "type": 6,
                "type_desc_cn": "视频帧到达时间差值大于1000ms",
                "type_desc_en": "video frame arrive interval bigger than 1000(ms)",
            }
        ],
        "appid": APPID,
        "data_time": at_ms,
        "domain": APP,
        "event_type": 321,
        "interface": "general_callback",
        "path": APPNAME,
        "report_interval": 5000,
        "sequence": origin.sequence,
        "sign": "",
        "stream_id": origin.stream_id,
        "stream_param": origin.stream_param,
        "t": 0,
        "timeout": 5000,
        "user_ip": origin.user_ip,
    }


def recording_status(
    origin: Origin, *, at_ms: int, record_event: str, seq: str, session_id: str, task_id: str
) -> dict[str, object]:
    """Event type 332; its `seq` and `session_id` are the recorder's own and not the push's sequence."""
    return {
        "appid": APPID,
        "appname": APPNAME,
        "domain": APP,
        "event_time": at_ms // 1000,
        "event_type": 332,
        "record_detail": _text({"file_format": 2, "record_bps": 0, "start_model": 1, "record_content": 1}),
        "record_event": record_event,
        "seq": seq,
        "session_id": session_id,
        "sign": "",
        "stream_id": origin.stream_id,
        "t": 0,
        "task_id": task_id,
    }


def _text(value: dict[str, object]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
