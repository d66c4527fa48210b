"""What surrounds the answers: their headers, the cookie behind TLS, streams that end with their token."""

import asyncio
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from litestar.routes import HTTPRoute

from streamledger.operations.tokens import create_token, revoke_token
from streamledger.postgres.connection import Database, connect
from streamledger.readmodel.feed.feed import FeedFilter, Ticker
from streamledger.web import auth
from streamledger.web.pages.changes import change_stream
from streamledger.web.pages.page import still_may_look
from tests.integration.intake.receiver import NOW_S, OPERATOR, Clock, clock, push, running, signed
from tests.integration.intake.test_access import LEDGER, TOKENS

__all__ = ["clock"]


async def test_every_answer_says_that_its_type_is_what_it_says_and_that_nobody_keeps_it(
    database: Database, clock: Clock
) -> None:
    async with running(database, api_tokens=TOKENS) as receiver:
        answers = [await receiver.deliver(signed(push(1, NOW_S), t)) for t in (NOW_S + 9, NOW_S - 9)]
        answers.append(await receiver.deliver(signed(push(1, NOW_S), NOW_S + 9, "guess")))
        answers += [
            await receiver.deliver(b"{"),
            await receiver.deliver(b"{}", path="/callbacks/tencent/x"),
        ]
        paths = {
            route.path.replace("{", "").replace("}", "")
            for route in receiver.litestar.routes
            if isinstance(route, HTTPRoute) and "GET" in route.methods
        } - {"/changes", "/v1/events/live"}
        for token in (None, "r-e-a-d"):
            async with receiver.client(token=token) as client:
                for path in sorted(paths):
                    answers.append(await client.get(path))
                answers.append(await client.get("/nowhere"))
                answers.append(await client.delete("/v1/sessions"))
        assert {answer.status_code for answer in answers} >= {200, 303, 400, 401, 403, 404, 405}
        for answer in answers:
            assert answer.headers["x-content-type-options"] == "nosniff", answer.request.url
            if "json" in answer.headers["content-type"]:
                assert answer.headers["cache-control"] == "no-store", answer.request.url
        kept = [answer for answer in answers if "immutable" in answer.headers.get("cache-control", "")]
        assert all("/static/" in str(answer.request.url) for answer in kept)


@pytest.mark.parametrize(
    ("address", "forwarded", "secure"),
    [
        ("10.0.0.1", "https", True),
        ("10.0.0.1", "http, https", True),
        ("10.0.0.1", "https, http", False),
        ("10.0.0.1", None, False),
        ("203.0.113.9", "https", False),
    ],
)
def test_the_cookie_is_for_tls_alone_where_a_trusted_proxy_says_that_it_speaks_it(
    database: Database, clock: Clock, address: str, forwarded: str | None, secure: bool
) -> None:
    async def sign_in() -> httpx.Response:
        async with running(database, api_tokens=TOKENS, trusted_proxies="10.0.0.0/8") as receiver:
            headers = {} if forwarded is None else {"X-Forwarded-Proto": forwarded}
            async with receiver.client(address, **headers) as client:
                return await client.post("/sign-in", data={"token": "r-e-a-d"})

    cookie = asyncio.run(sign_in()).headers["set-cookie"].lower()
    assert ("secure" in cookie.split("; ")) is secure
    assert "httponly" in cookie


async def test_the_changes_of_a_page_end_with_the_token_of_its_visitor(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "REMEMBERED_S", 0.0)
    with connect(database, application_name="test") as connection:
        secret = create_token(connection, LEDGER, "dashboard", "read", OPERATOR)
        create_token(connection, LEDGER, "other", "read", OPERATOR)
    async with running(database) as receiver, receiver.client() as client:
        signed_in = await client.post("/sign-in", data={"token": secret})
        assert signed_in.status_code == 303
        cookies = {name: value.strip('"') for name, value in client.cookies.items()}
        visitor: Any = SimpleNamespace(app=receiver.litestar, cookies=cookies, state=SimpleNamespace())
        tail: Any = receiver.litestar.state.changes
        stream = change_stream(
            tail,
            Ticker(FeedFilter(), 0),
            missed=True,
            heartbeat_s=0.01,
            may_go_on=lambda: still_may_look(visitor),
        )
        assert b"changed" in await anext(stream)
        assert await anext(stream)
        with connect(database, application_name="test") as connection:
            revoke_token(connection, LEDGER, "dashboard", OPERATOR)
        async with asyncio.timeout(10):
            assert len([part async for part in stream]) < 3


@pytest.mark.parametrize("path", ["/v1/quarantine/release", "/v1/projections/rebuild"])
@pytest.mark.parametrize("deep", [b"[" * 100_000, b'{"a":' * 40_000, b'{"reason":' + b"[" * 5000])
async def test_json_that_nests_deep_is_the_askers_mistake(
    database: Database, clock: Clock, path: str, deep: bytes
) -> None:
    async with running(database) as receiver, receiver.client() as client:
        answer = await client.post(path, content=deep, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
