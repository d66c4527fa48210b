"""A secret in every field of every kind, and no way to see it with scope read: routes, feed, pages, logs."""

import json
import logging
from typing import Any

import pytest
from litestar.routes import HTTPRoute

from streamledger.domain.errors import MalformedBody
from streamledger.postgres.connection import Database
from streamledger.readmodel.feed.feed import FeedFilter, Subscription
from streamledger.tencent.tolerant import parse_object
from streamledger.web.events import event_stream
from tests.integration.intake.receiver import NOW_S, Clock, Running, clock, rows, running, signed
from tests.integration.intake.test_access import ENDLESS, TOKENS, guarded, path_of
from tests.unit.tencent.samples import NAMES, body_of

__all__ = ["clock"]

SECRET = "5ecre7beefcafe"
NAMED = ("event_type", "t", "sign")
"""What decides the kind, and whether it is believed."""
IDENTIFYING = ("stream_id", "streamId", "sequence")
"""What a stranger's text cannot be hidden in without making it unfindable; they hold no URL."""

SPELLINGS = (
    "rtmp://push.example.com/live/room?txSecret={}&txTime=5DEBEC80",
    "https%3A%2F%2Fexample.com%2Fa.flv%3FtxSecret%3D{}%26b%3D1",
    '{{"stream_param": "txSecret={}&a=1", "deep": "{{\\"txSecret\\": \\"{}\\"}}"}}',
    "推流失败txSecret={}",
)


def spellings() -> list[str]:
    """Every spelling with the secret in it."""
    return [text.replace("{}", SECRET).replace("{{", "{").replace("}}", "}") for text in SPELLINGS]


def hostile(sample: dict[str, Any], spelling: str) -> dict[str, Any]:
    """The sample with the secret in every field that may hold text, and in some that no table names."""
    sent = {name: value for name, value in sample.items() if name in (*NAMED, *IDENTIFYING)}
    sent |= {name: value for name, value in sample.items() if isinstance(value, int | float)}
    for name, value in sample.items():
        if name not in sent:
            sent[name] = [{"inner": spelling}] if isinstance(value, list) else f"{spelling}"
    return sent | {
        "TXSECRET": SECRET,
        "callback_ext": json.dumps({"a": {"txSecret": SECRET, "u": spelling}}),
        "nested": {"a": [{"b": spelling, "txSecret": [SECRET]}]},
        spelling: 1,
        "errmsg": spelling,
    }


def samples() -> list[dict[str, Any]]:
    """One body of each documented kind, on one stream."""
    found = []
    for name in NAMES:
        try:
            body = parse_object(body_of(name))[0]
        except MalformedBody:
            continue  # the documented sample without a comma
        body.pop("t", None)
        body.pop("sign", None)
        body.pop("streamId", None)
        found.append(body | {"stream_id": "room-1"})
    return found


async def everything(receiver: Running) -> dict[str, str]:
    """Every answer of scope read, by its path."""
    ids = [row[0] for row in rows(receiver.database, "SELECT id::text FROM quarantine")]
    positions = [row[0] for row in rows(receiver.database, "SELECT notification_id FROM ledger_events")]
    sequences = [row[0] for row in rows(receiver.database, "SELECT DISTINCT sequence FROM sessions")]
    seen: dict[str, str] = {}
    templates = {path for path, method, _ in guarded(receiver.litestar) if method == "GET"} - {ENDLESS}
    templates |= {
        route.path
        for route in receiver.litestar.routes
        if isinstance(route, HTTPRoute) and "GET" in route.methods and not route.path.startswith("/callbacks")
    } - {"/changes", ENDLESS, "/static/{name:str}"}
    async with receiver.client(token="r-e-a-d") as client:
        signed_in = await client.post(
            "/sign-in", data={"token": "r-e-a-d"}, headers={"Origin": "http://127.0.0.1:8470"}
        )
        assert signed_in.status_code == 303, signed_in.text
        for template in sorted(templates):
            paths = {template}
            for name, values in (
                ("quarantine_id", ids),
                ("position", positions),
                ("sequence", sequences),
                ("stream_id", ["room-1"]),
            ):
                paths = {
                    path_of(path, {name: value}) if f"{{{name}:" in path else path
                    for path in paths
                    for value in values
                }
            for path in paths:
                answer = await client.get(path)
                assert answer.status_code < 500, (path, answer.text)
                seen[path] = answer.text
    return seen


@pytest.mark.parametrize("spelling", spellings())
async def test_a_secret_in_every_field_of_every_kind_is_in_no_answer_of_scope_read_and_in_no_log(
    database: Database, clock: Clock, spelling: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with running(database, api_tokens=TOKENS, refused_per_minute_max=0) as receiver:
        for sample in samples():
            body = hostile(sample, spelling)
            await receiver.deliver(signed(body, NOW_S + 60))
            await receiver.deliver(signed(body | {"other": spelling}, NOW_S + 61))
            await receiver.deliver(signed(body, NOW_S - 60))
            await receiver.deliver(signed(body, NOW_S + 60, "guess"))
            await receiver.deliver(json.dumps(body | {"event_type": spelling}).encode())
        receiver.project()
        fed = b""
        subscription = Subscription(FeedFilter(), 0)
        wanted = rows(database, "SELECT max(notification_id) FROM ledger_events")[0][0]
        async for part in event_stream(receiver.litestar.state.tail, subscription):
            fed += part
            if b"id: %d\n" % wanted in fed:
                break
        seen = await everything(receiver)
    leaks = {
        path: text[max(0, text.index(SECRET) - 200) :][:260] for path, text in seen.items() if SECRET in text
    }
    assert leaks == {}
    assert SECRET.encode() not in fed
    assert SECRET not in caplog.text
    assert sum(text.count("REDACTED") for text in seen.values()) > 500, "there was something to hide"
