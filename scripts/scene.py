"""A scene for pictures and for tests of the pages: streams that are live, suspect and over, delivered by HTTP."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import msgspec

CHINA = timezone(timedelta(hours=8))
IMAGES = "https://screenshots.example.com"
NAMES = [
    "main-stage",
    "ceremony",
    "keynote",
    "studio-a",
    "studio-b",
    "lobby",
    "press-room",
    "court-1",
    "court-2",
    "harbour-cam",
    "tower-cam",
    "news-desk",
    "late-show",
    "morning-show",
    "chess-final",
    "cooking-class",
    "street-east",
    "street-west",
    "gallery",
    "workshop",
    "yoga-room",
    "concert-hall",
    "backstage",
    "rooftop",
]


def deliver(client: httpx.Client, body: dict[str, Any]) -> int:
    """Deliver a notification; its position in the ledger."""
    answer = client.post("/callbacks/tencent", json=body)
    answer.raise_for_status()
    return int(answer.headers["streamledger-position"])


def push(stream_id: str, sequence: str, began_s: int, **more: Any) -> dict[str, Any]:
    """Event type 1."""
    return {
        "event_type": 1,
        "stream_id": stream_id,
        "channel_id": stream_id,
        "app": "push.example.com",
        "appname": "live",
        "sequence": sequence,
        "event_time": began_s,
        "node": "198.51.100.25",
        "user_ip": "203.0.113.59",
        "stream_param": "txSecret=0123456789abcdef&txTime=6B06FF0C",
        "width": 1920,
        "height": 1080,
        "errcode": 0,
        "errmsg": "ok",
        **more,
    }


def stop(stream_id: str, sequence: str, began_s: int, ended_s: int, **more: Any) -> dict[str, Any]:
    """Event type 0."""
    ending = {"errcode": 1, "errmsg": "The push client actively stopped the push", "event_time": ended_s}
    length = {"event_type": 0, "push_duration": str((ended_s - began_s) * 1000)}
    return push(stream_id, sequence, began_s, **length, **{**ending, **more})


def screenshot(stream_id: str, at_s: int, **more: Any) -> dict[str, Any]:
    """Event type 200."""
    local = datetime.fromtimestamp(at_s, UTC).astimezone(CHINA)
    path = f"/{local:%Y-%m-%d}/{stream_id}-screenshot-{local:%H-%M-%S}-1920x1080.jpg"
    return {
        "event_type": 200,
        "stream_id": stream_id,
        "channel_id": stream_id,
        "create_time": at_s,
        "pic_url": path,
        "pic_full_url": IMAGES + path,
        "width": 1920,
        "height": 1080,
        "app": "push.example.com",
        "appname": "live",
        **more,
    }


def recording(stream_id: str, from_s: int, until_s: int, file_format: str, **more: Any) -> dict[str, Any]:
    """Event type 100."""
    return {
        "event_type": 100,
        "stream_id": stream_id,
        "channel_id": stream_id,
        "app": "push.example.com",
        "appname": "live",
        "file_id": f"{stream_id}-{file_format}-{from_s}",
        "file_format": file_format,
        "file_size": (until_s - from_s) * 312_500,
        "start_time": from_s,
        "end_time": until_s,
        "duration": until_s - from_s,
        "video_url": f"https://recordings.example.com/{stream_id}/{from_s}.{file_format}",
        **more,
    }


def push_error(stream_id: str, sequence: str, at_s: int) -> dict[str, Any]:
    """Event type 321."""
    event = {"type": 1, "count": 3, "type_desc_en": "video timestamp rollback", "detail": []}
    return {
        "event_type": 321,
        "stream_id": stream_id,
        "sequence": sequence,
        "data_time": at_s * 1000,
        "report_interval": 5000,
        "abnormal_event": [event],
        "domain": "push.example.com",
        "path": "live",
    }


def events_of_session(
    stream_id: str, sequence: str, began_s: int, ended_s: int, *, is_over: bool, shot_every_s: int = 20
) -> Iterator[dict[str, Any]]:
    """A push with everything that comes with it, in order of time."""
    yield push(stream_id, sequence, began_s)
    for at_s in range(began_s + 8, ended_s, shot_every_s):
        yield screenshot(stream_id, at_s)
    for from_s in range(began_s + 2, ended_s - 60, 300):
        until_s = min(from_s + 300, ended_s)
        if is_over or until_s < ended_s:
            yield recording(stream_id, from_s, until_s, "hls")
            yield recording(stream_id, from_s, until_s, "mp4")
    if is_over:
        yield stop(stream_id, sequence, began_s, ended_s)


class Scene(msgspec.Struct):
    """Deliveries, each with the second of its receipt, and the names that are worth a look."""

    deliveries: list[tuple[int, dict[str, Any]]]
    stream_id: str
    """Has a history with gaps and overlaps."""
    sequence: str
    """Of a session with everything that a session can have."""


def play(client: httpx.Client, scene: Scene) -> None:
    """Deliver a scene by HTTP, as fast as it goes."""
    for _, body in scene.deliveries:
        deliver(client, body)


def scene_of(now_s: int, *, streams: int = 18) -> Scene:
    """What would have been received up to now."""
    chance = random.Random(6)  # noqa: S311  # a scene that is always the same, no secret
    found: list[tuple[int, dict[str, Any]]] = []

    def receive(body: dict[str, Any], late_s: int = 0) -> None:
        happened_s = body.get("end_time") or body.get("create_time") or body.get("event_time")
        happened_s = happened_s or body["data_time"] // 1000
        found.append((min(now_s, happened_s + late_s + chance.choice((0, 1, 1, 2, 3))), body))

    for number in range(streams):
        name = NAMES[number % len(NAMES)] + ("" if number < len(NAMES) else f"-{number}")
        began_s = now_s - chance.randrange(90, 5400)
        sequence = str(chance.randrange(10**18, 9 * 10**18))
        for body in events_of_session(name, sequence, began_s, now_s - 3, is_over=False, shot_every_s=90):
            receive(body)
        if number % 6 == 4:
            receive(push_error(name, sequence, now_s - 70))
    for name in ("night-cam", "old-studio"):
        receive(push(name, str(chance.randrange(10**18, 9 * 10**18)), now_s - 90_000))
    _history(receive, chance, now_s)
    sequence = str(chance.randrange(10**18, 9 * 10**18))
    _everything(receive, sequence, now_s)
    found.sort(key=lambda pair: pair[0])
    return Scene(found, "main-stage", sequence)


def _history(receive: Callable[..., None], chance: random.Random, now_s: int) -> None:
    """A stream with a past: sessions with gaps between them, and main and backup pushes that overlap."""
    name = "main-stage"
    at_s = now_s - 6 * 3600
    for number in range(7):
        length_s = chance.randrange(400, 2400)
        sequence = str(chance.randrange(10**18, 9 * 10**18))
        for body in events_of_session(name, sequence, at_s, at_s + length_s, is_over=True, shot_every_s=60):
            if number == 3 and body["event_type"] == 0:
                body |= {"errcode": 12, "errmsg": "push link network abnormal"}
            receive(body)
        if number in (2, 5):
            backup = str(chance.randrange(10**18, 9 * 10**18))
            begins_s = at_s + length_s // 3
            receive(push(name, backup, begins_s, width=1280, height=720))
            receive(stop(name, backup, begins_s, at_s + length_s + 240))
        at_s += length_s + chance.randrange(60, 1500)


def _everything(receive: Callable[..., None], sequence: str, now_s: int) -> None:
    """A session with recordings, screenshots, errors, deliveries that come late and ones that come again."""
    name, began_s = "product-launch", now_s - 1500
    for number, body in enumerate(events_of_session(name, sequence, began_s, now_s - 200, is_over=True)):
        receive(body, late_s={21: 62, 22: 64, 23: 181, 40: 420}.get(number, 0))
        if number in (0, 12, 30):
            receive(body, late_s=60)  # the acknowledgement was lost
    for second in (400, 415, 960):
        receive(push_error(name, sequence, began_s + second))
