"""Whatever a body of 256 KiB holds, no answer, feed or page holds the event loop for long."""

import asyncio
import gc
import json
import time
from asyncio import events
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from litestar.routes import HTTPRoute

from streamledger.postgres.connection import Database
from streamledger.readmodel.feed.feed import FeedFilter, Subscription
from streamledger.web.events import event_stream
from streamledger.web.pages.page import compile_templates
from tests.integration.intake.receiver import NOW_S, Clock, Running, clock, rows, running, signed

__all__ = ["clock"]

BODY_BYTES = 256 * 1024 - 400
STALL_S_MAX = 0.020
ENDLESS = ("/v1/events/live", "/changes")

PIECES = {
    "a list of percent signs": '"%",',
    "a list of escapes": '"%41%42",',
    "a list of names": '"sign=",',
    "a list of lists": "[],",
    "deep lists": "[" * 60 + "]" * 60 + ",",
}
TEXTS = ("&=", "sign=&", 'sign=\\"', "\\\\", "%25", "%2541", "\\u0041", "txSecret ", "{[", "q-signature%3D")
KINDS = {
    1: "stream_param",
    0: "errmsg",
    100: "video_url",
    200: "pic_full_url",
    321: "x",
    332: "x",
    999: "x",
}


def worst_bodies() -> Iterator[str]:
    """Objects of 256 KiB each, all kinds among them, to which t and sign are added."""
    kinds = list(KINDS.items())
    fillings = [f"[{(piece * (BODY_BYTES // len(piece)))[:-1]}]" for piece in PIECES.values()]
    fillings += [f'"{text * (BODY_BYTES // len(text))}"' for text in TEXTS]
    for number, filling in enumerate(fillings):
        for event_type, field in (kinds[number % len(kinds)], (999, "x"), (200, "pic_full_url")):
            yield (
                f'{{"event_type":{event_type},"stream_id":"room-1","sequence":"{number}","file_id":"{number}",'
                f'"event_time":{NOW_S - 100},"create_time":{NOW_S - 50 + number},"start_time":{NOW_S - 90},'
                f'"end_time":{NOW_S - 40},"errcode":1,"pic_url":"/{number}.jpg","{field}":{filling}'
            )
    keys = ",".join(f'"sign{number}":"%"' for number in range(BODY_BYTES // 16))
    yield f'{{"event_type":999,"stream_id":"room-1",{keys}'


def worst_sessions() -> Iterator[str]:
    """Pushes whose rows are large, more than an answer may hold: open ones, and some that have ended."""
    for number in range(48):
        filling = "sign=&" * (BODY_BYTES // 6)
        kind, field = ((1, "stream_param"), (0, "errmsg"))[number % 2]
        yield (
            f'{{"event_type":{kind},"stream_id":"room-{number % 3}","sequence":"s{number}",'
            f'"event_time":{NOW_S - 100},"push_duration":"50000","{field}":"{filling}"'
        )


def worst_fields() -> str:
    """One body of many small fields, as much as is shown whole."""
    listed = ",".join(['"sign="'] * 1700)
    return f'{{"event_type":200,"stream_id":"room-1","create_time":{NOW_S - 20},"pic_url":"/w","x":[{listed}]'


class Stalls:
    """How long each callback has held the event loop's thread; the longest are kept."""

    def __init__(self) -> None:
        self.longest: list[tuple[float, str]] = []

    def note(self, spent_s: float, what: str) -> None:
        """One callback."""
        if spent_s > STALL_S_MAX / 2:
            self.longest.append((round(spent_s * 1000, 1), what))


@contextmanager
def watched(stalls: Stalls, label: list[str]) -> Iterator[None]:
    """Measure every callback of event loops while this lasts; old objects are not the collector's."""
    original = events.Handle._run

    def timed(handle: Any) -> None:
        began_s = time.thread_time()
        original(handle)
        spent_s = time.thread_time() - began_s
        if spent_s > STALL_S_MAX / 2:
            stalls.note(spent_s, f"{label[0]}: {handle!r}"[:300])

    gc.collect()
    gc.freeze()
    events.Handle._run = timed  # type: ignore[method-assign]  # there is no other place to see all of them
    try:
        yield
    finally:
        events.Handle._run = original  # type: ignore[method-assign]  # as it was
        gc.unfreeze()


async def get(receiver: Running, path: str) -> tuple[int, int]:
    """Status and bytes of an answer, asked for without a client that would cost time in the same loop."""
    plain, _, query = path.partition("?")
    scope: dict[str, Any] = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": plain, "raw_path": quote(plain).encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(b"host", b"127.0.0.1:8470"), (b"accept-encoding", b"gzip")],
        "client": ("127.0.0.1", 40_000), "server": ("127.0.0.1", 8470), "extensions": {},
    }  # fmt: skip
    found = [0, 0]
    asked = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        if asked:
            return asked.pop()
        await asyncio.sleep(3600)
        return None

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            found[0] = message["status"]
        else:
            found[1] += len(message.get("body", b""))

    await receiver.app(scope, receive, send)
    return found[0], found[1]


def paths_of(receiver: Running) -> list[str]:
    """Every path that can be asked for, with what the store holds in it."""
    held = {
        "quarantine_id": [row[0] for row in rows(receiver.database, "SELECT id::text FROM quarantine")],
        "position": [row[0] for row in rows(receiver.database, "SELECT notification_id FROM ledger_events")],
        "sequence": [row[0] for row in rows(receiver.database, "SELECT DISTINCT sequence FROM sessions")],
        "stream_id": ["room-1", "room-2"],
    }
    found: list[str] = []
    for route in receiver.litestar.routes:
        if not isinstance(route, HTTPRoute) or "GET" not in route.methods:
            continue
        path = route.path
        if path in ENDLESS or path.startswith(("/callbacks", "/static", "/schema")) or "rebuild" in path:
            continue
        made = [path]
        for name, values in held.items():
            kind = "uuid" if name == "quarantine_id" else "int" if name == "position" else "str"
            made = [
                each.replace(f"{{{name}:{kind}}}", str(value))
                for each in made
                for value in (values if f"{{{name}:{kind}}}" in each else [""])
            ]
        found += made
    lists = ("events", "deliveries", "quarantine", "sessions", "streams/room-1/unattributed")
    found += [f"/v1/{name}?limit=500" for name in lists]
    found += ["/streams?stream_id=room-1", "/audit?class=forged", "/quarantine?reason=bad_signature"]
    return found


async def followed(receiver: Running, wanted: int) -> None:
    """Read the feed from its beginning to a position."""
    subscription = Subscription(FeedFilter(), 0)
    async for part in event_stream(receiver.litestar.state.tail, subscription):
        if b"id: %d\n" % wanted in part:
            return


async def test_the_worst_bodies_hold_the_event_loop_for_no_longer_than_a_few_milliseconds(
    database: Database, clock: Clock
) -> None:
    stalls, label = Stalls(), [""]
    sign = json.loads(signed({}, NOW_S + 60))
    # Nothing is held back or only counted: every body is kept, and shown.
    kept: dict[str, Any] = {"refused_per_minute_max": 0, "refused_kept_per_s_max": 1_000_000}
    async with running(database, **kept) as receiver:
        both = ((sign["sign"], 200), ("0" * 32, 403))
        bodies = [(body, both) for body in (worst_fields(), *worst_bodies())]
        bodies += [(body, both[:1]) for body in worst_sessions()]
        for body, signs in bodies:
            for made, status in signs:
                sent = f'{body},"t":{NOW_S + 60},"sign":"{made}"}}'.encode()
                answer = await receiver.deliver(sent)
                assert answer.status_code == status, (answer.text, body[:100])
        receiver.project()
        paths = paths_of(receiver)
        assert len(paths) > 150
        head = rows(database, "SELECT max(notification_id) FROM ledger_events")[0][0]
        compile_templates()  # as a worker does at its start
        await get(receiver, "/")
        with watched(stalls, label):
            label[0] = "feed"
            await asyncio.wait_for(followed(receiver, head), 60)
            for path in paths:
                label[0] = path
                status, size = await get(receiver, path)
                assert status < 500, path
                assert size < 3 * 1024 * 1024, (path, size)
    too_long = [each for each in stalls.longest if each[0] > STALL_S_MAX * 1000]
    assert not too_long, sorted(too_long, reverse=True)[:20]
