"""The quick reading of what nearly every notification is: a screenshot with nothing odd in it."""

from collections.abc import Callable
from typing import Any

from streamledger.domain.notification import Kind, Notification, Screenshot
from streamledger.tencent.content import content_digest
from streamledger.tencent.fields import (
    INT64_MAX,
    KEY_CHARACTERS_MAX,
    STREAM_ID_CHARACTERS_MAX,
    TIME_S_MAX,
)


def usual_screenshot(obj: dict[str, Any]) -> Notification | None:
    """What the lenient reader gives for an object, or None when leniency may be needed.

    Of a hundred notifications some ninety are screenshots like that, and rebuilds read them all.
    """
    get: Callable[[str], Any] = obj.get
    if get("event_type") != 200 or "sequence" in obj:
        return None
    at_s, file_bytes, width, height = get("create_time"), get("file_size"), get("width"), get("height")
    if not type(at_s) is type(file_bytes) is type(width) is type(height) is int:
        return None
    if not (0 <= at_s <= TIME_S_MAX and 0 <= file_bytes <= INT64_MAX):
        return None
    if not (0 <= width <= INT64_MAX and 0 <= height <= INT64_MAX):
        return None
    stream_id, pic_url, app, appname = get("stream_id"), get("pic_url"), get("app"), get("appname")
    pic_full_url, stream_param, task_id = get("pic_full_url"), get("stream_param"), get("task_id")
    optional = [text for text in (pic_full_url, stream_param, task_id) if text is not None]
    try:
        together = "".join((stream_id, pic_url, app, appname, *optional))
    except TypeError:
        return None
    # Texts without any white space need no stripping, and one that is not empty is there.
    if " " in together or not together.isprintable() or not (stream_id and pic_url and app and appname):
        return None
    if len(stream_id) > STREAM_ID_CHARACTERS_MAX or len(pic_url) > KEY_CHARACTERS_MAX:
        return None
    return Notification(
        event_type=200,
        kind=Kind.SCREENSHOT,
        stream_id=stream_id,
        key=pic_url,
        sequence=None,
        at_ms=at_s * 1000,
        until_ms=None,
        app=app,
        appname=appname,
        stream_param=stream_param or None,
        content=content_digest(obj),
        detail=Screenshot(
            pic_url=pic_url,
            pic_full_url=pic_full_url or None,
            file_bytes=file_bytes,
            width=width,
            height=height,
            task_id=task_id or None,
        ),
    )
