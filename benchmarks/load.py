"""A load client: keep-alive connections that each send the next prebuilt request when answered."""

import asyncio
import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Iterator

import msgspec
import uvloop

KEY = "benchmark-callback-key"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a load run measured."""

    requests: int
    seconds: float
    statuses: dict[str, int]
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Requests answered a second."""
        return self.requests / self.seconds


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
        yield json.dumps(body | {"sign": sign, "t": t}, sort_keys=True).encode()


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


class _Connection(asyncio.Protocol):
    def __init__(self, run: "_Run") -> None:
        self._run = run
        self._buffer = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        request = self._run.next_request()
        if request is None:
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)  # type: ignore[attr-defined]  # a transport that writes

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._buffer) < end + 4 + length:
            return
        self._buffer = b""
        self._run.answered(head[9:12].decode(), time.perf_counter() - self._sent_at)
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        self._run.closed()


class _Run:
    def __init__(self, pending: list[bytes], connections: int) -> None:
        self._pending = iter(pending)
        self.statuses: Counter[str] = Counter()
        self.latencies: list[float] = []
        self.open = connections
        self.done = asyncio.get_running_loop().create_future()

    def next_request(self) -> bytes | None:
        return next(self._pending, None)

    def answered(self, status: str, seconds: float) -> None:
        self.statuses[status] += 1
        self.latencies.append(seconds)

    def closed(self) -> None:
        self.open -= 1
        if self.open == 0 and not self.done.done():
            self.done.set_result(None)


def run_load(host: str, port: int, pending: list[bytes], connections: int) -> Result:
    """Send all requests over so many connections, each one request at a time."""

    async def drive() -> Result:
        run = _Run(pending, connections)
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        for _ in range(connections):
            await loop.create_connection(lambda: _Connection(run), host, port)
        await run.done
        seconds = time.perf_counter() - began
        ordered = sorted(run.latencies)
        return Result(
            requests=len(ordered),
            seconds=seconds,
            statuses=dict(run.statuses),
            p50_ms=round(ordered[len(ordered) // 2] * 1000, 2),
            p99_ms=round(ordered[len(ordered) * 99 // 100] * 1000, 2),
        )

    return uvloop.run(drive())
