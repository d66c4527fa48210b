"""Bodies as Tencent sends them, as objects without `t` and `sign`, for the histories of the corpus."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Body = dict[str, Any]

APPID = 1250000001
STOPS = (
    (1, "The push client actively stopped the push"),
    (1, "推流端主动断流"),
    (2, "recv rtmp deleteStream"),
    (3, "recv() return 0"),
    (4, "client tcp connection broken"),
    (6, "rtmp content abnormal"),
    (8, "主机无数据超时断开"),
    (9, "internal error"),
    (12, "push link network abnormal"),
    (18, "push refused"),
    (21, "replaced by a newer push of the same name"),
    (37, "nobody plays"),
    (77, "something new"),
)


@dataclass(frozen=True, kw_only=True)
class Push:
    """One push as it was."""

    stream_id: str
    sequence: str
    start_s: int
    end_s: int | None
    app: str
    appname: str
    param: str
    node: str
    user_ip: str
    width: int
    height: int

    def until_s(self, open_s: int = 60) -> int:
        """Its end, or so many seconds of one that goes on."""
        return self.start_s + open_s if self.end_s is None else self.end_s


def started(push: Push, at_s: int) -> Body:
    """Event type 1."""
    return _push(push, 1, at_s) | {"errcode": 0, "errmsg": "ok", "width": 0, "height": 0}


def stopped(push: Push, at_s: int, lasted_ms: int | None, errcode: int, errmsg: str) -> Body:
    """Event type 0; push_duration is text of milliseconds."""
    body = _push(push, 0, at_s) | {"errcode": errcode, "errmsg": errmsg}
    return body if lasted_ms is None else body | {"push_duration": str(lasted_ms)}


def _push(push: Push, event_type: int, at_s: int) -> Body:
    return {
        "app": push.app,
        "appid": APPID,
        "appname": push.appname,
        "channel_id": push.stream_id,
        "event_time": at_s,
        "event_type": event_type,
        "height": push.height,
        "idc_id": 34,
        "node": push.node,
        "sequence": push.sequence,
        "set_id": 2,
        "stream_id": push.stream_id,
        "stream_param": push.param,
        "user_ip": push.user_ip,
        "width": push.width,
    }


def recording(push: Push, file_id: str, file_format: str, from_s: int, until_s: int, task_id: str) -> Body:
    """Event type 100, with the place and the stream_param of its push."""
    suffix = {"hls": "m3u8"}.get(file_format, file_format)
    return {
        "event_type": 100,
        "appid": APPID,
        "app": push.app,
        "appname": push.appname,
        "stream_id": push.stream_id,
        "channel_id": push.stream_id,
        "file_id": file_id,
        "file_format": file_format,
        "task_id": task_id,
        "start_time": from_s,
        "end_time": until_s,
        "duration": until_s - from_s,
        "file_size": 1000 + 100_000 * (until_s - from_s),
        "stream_param": push.param,
        "video_url": f"http://vod.example.com/{file_id}/f0.{suffix}",
    }


def screenshot(push: Push, at_s: int, pic_url: str) -> Body:
    """Event type 200; carries no sequence."""
    return {
        "app": push.app,
        "appname": push.appname,
        "channel_id": push.stream_id,
        "create_time": at_s,
        "event_type": 200,
        "file_size": 7520,
        "height": push.height,
        "pic_full_url": f"http://demo.cos.region.example.com{pic_url}",
        "pic_url": pic_url,
        "stream_id": push.stream_id,
        "stream_param": push.param,
        "width": push.width,
    }


def picture_path(push: Push, at_s: int) -> str:
    """The usual pic_url, over forty characters with its date and size."""
    at = datetime.fromtimestamp(at_s, UTC)
    size = f"{push.width}x{push.height}"
    return f"/{at:%Y-%m-%d}/{push.stream_id}-screenshot-{at:%H-%M-%S}-{size}.jpg"


def push_error(push: Push, at_ms: int, counts: dict[int, int]) -> Body:
    """Event type 321: so many abnormal events of each type."""
    return {
        "abnormal_event": [
            {"count": count, "type": number, "type_desc_en": f"abnormal event {number}"}
            for number, count in counts.items()
        ],
        "appid": APPID,
        "data_time": at_ms,
        "domain": push.app,
        "event_type": 321,
        "interface": "general_callback",
        "path": push.appname,
        "report_interval": 5000,
        "sequence": push.sequence,
        "stream_id": push.stream_id,
        "stream_param": push.param,
        "timeout": 5000,
        "user_ip": push.user_ip,
    }


def recording_status(push: Push, at_s: int, record_event: str, seq: str, task_id: str) -> Body:
    """Event type 332; its seq and session_id are the recorder's own."""
    return {
        "appid": APPID,
        "appname": push.appname,
        "domain": push.app,
        "event_time": at_s,
        "event_type": 332,
        "record_detail": '{"file_format":2,"record_bps":0}',
        "record_event": record_event,
        "seq": seq,
        "session_id": f"session-{task_id}",
        "stream_id": push.stream_id,
        "task_id": task_id,
    }


def recording_exception(push: Push, at_s: int, task_id: str, kind: str) -> Body:
    """Event type 341."""
    return {
        "appid": APPID,
        "domain": push.app,
        "event_type": 341,
        "exception": {"type": kind, "desc": "nothing came to be recorded", "occurs": 3},
        "exception_level": 2,
        "path": push.appname,
        "session_id": f"session-{task_id}",
        "stream_id": push.stream_id,
        "task_id": task_id,
        "timestamp": at_s,
    }


def other(event_type: int, push: Push, at_s: int, number: str) -> Body:
    """A type that is not modelled, each with the time field of its own page."""
    body: Body = {"event_type": event_type, "appid": APPID}
    if event_type == 317:
        return body | {
            "streamId": push.stream_id,
            "channelId": push.stream_id,
            "screenshotTime": at_s,
            "sendTime": at_s + 2,
            "tid": number,
            "stream_param": push.param,
        }
    body |= {"stream_id": push.stream_id, "task_id": number}
    if event_type == 314:
        return body | {"event_time": at_s, "app": push.app, "path": push.appname, "status": "started"}
    if event_type == 315:
        return body | {"data_time": at_s * 1000, "domain": push.app, "path": push.appname}
    if event_type == 343:
        return body | {"timestamp": at_s, "domain": push.app, "quality": 4}
    if event_type == 999:
        return body | {"create_time": at_s, "sequence": push.sequence}
    return body | {"begin_time": at_s}
