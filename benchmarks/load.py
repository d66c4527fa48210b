"""Signed notifications as a busy hour brings them, and the HTTP requests that carry them."""

import hashlib
import json
import random
import time
from collections.abc import Iterator

KEY = "benchmark-callback-key"


def bodies(count: int, streams: int, seed: int) -> Iterator[bytes]:
    """Signed notifications as a busy hour brings them, from many streams at once.

    Each stream goes its own way: a start, a screenshot every ten seconds, a recording now and then, a
    stop after about 24 of them, and the next push.
    """
    chance = random.Random(seed)
    now = int(time.time())
    t = now + 600
    sign = hashlib.md5(f"{KEY}{t}".encode()).hexdigest()
    began = now - 10 * (count // streams + 30)
    lives = [_Life(f"bench-{seed}-{number:05d}", began, chance) for number in range(streams)]
    for _ in range(count):
        body = chance.choice(lives).next_body()
        # Without a space between them, as the cloud sends them.
        yield json.dumps(body | {"sign": sign, "t": t}, sort_keys=True, separators=(",", ":")).encode()


class _Life:
    """One stream's notifications, in the order of their events."""

    def __init__(self, stream: str, at: int, chance: random.Random) -> None:
        self._stream = stream
        self._at = at
        self._chance = chance
        self._left = -1
        self._common = {
            "app": "push.example.com",
            "appid": 1250000001,
            "appname": "live",
            "channel_id": stream,
            "stream_id": stream,
            "stream_param": f"txSecret={chance.getrandbits(128):032x}&txTime=5DEBEC80",
        }

    def next_body(self) -> dict[str, object]:
        self._at += 10
        if self._left < 0:
            self._left = self._chance.randint(12, 36)
            self._began = self._at
            self._sequence = str(self._chance.getrandbits(61))
            return self._common | self._push(1, 0, "ok")
        self._left -= 1
        if self._left < 0:
            duration = str((self._at - self._began) * 1000 + self._chance.randrange(1000))
            return self._common | self._push(0, 1, "client stopped") | {"push_duration": duration}
        if self._left % 6 == 5:
            return self._common | {
                "event_type": 100,
                "file_id": str(self._chance.getrandbits(62)),
                "file_format": "flv",
                "start_time": self._at - 30,
                "end_time": self._at,
                "duration": 30,
                "file_size": 27794000,
                "video_url": f"http://1250000001.vod2.example.com/{self._at}/f0.flv",
            }
        name = f"{self._stream}-screenshot-{self._at}-1280x720.jpg"
        return self._common | {
            "event_type": 200,
            "create_time": self._at,
            "file_size": 30670,
            "width": 1280,
            "height": 720,
            "pic_url": f"/2026-01-01/{name}",
            "pic_full_url": f"http://demo.cos.region.example.com/2026-01-01/{name}",
        }

    def _push(self, event_type: int, errcode: int, errmsg: str) -> dict[str, object]:
        return {
            "event_type": event_type,
            "event_time": self._at,
            "sequence": self._sequence,
            "node": "198.51.100.37",
            "user_ip": "203.0.113.1",
            "errcode": errcode,
            "errmsg": errmsg,
            "set_id": 2,
            "idc_id": 34,
            "width": 0,
            "height": 0,
        }


def requests(
    host: str, port: int, path: str, count: int, *, streams: int = 500, seed: int = 1
) -> list[bytes]:
    """HTTP requests, ready to be sent."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-type: application/json\r\ncontent-length: "
    )
    return [
        head.encode() + str(len(body)).encode() + b"\r\n\r\n" + body for body in bodies(count, streams, seed)
    ]
