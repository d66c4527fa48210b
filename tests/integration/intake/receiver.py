"""A whole receiver inside the test: the web application over ASGI, on a clock that the test holds."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import psycopg
import pytest
from litestar import Litestar

from streamledger import bootstrap
from streamledger.ledger.acts import Actor
from streamledger.operations.diagnose import Finding, diagnose
from streamledger.postgres.connection import Database, connect
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.projections.runner import catch_up
from streamledger.settings import Secret, Settings

KEY = "test-callback-key"
NOW_S = 1_713_735_078
CALLBACKS = "/callbacks/tencent"
OPERATOR = Actor(by="operator", reason="the receiver was away", at_us=NOW_S * 1_000_000)


class Clock:
    """The receiver's clock, in microseconds since 1970 UTC."""

    def __init__(self, now_s: float = NOW_S) -> None:
        self.now_s = now_s

    def __call__(self) -> int:
        return int(self.now_s * 1_000_000)


class Running:
    """A running application; `client` speaks to it from an address of one's choice."""

    def __init__(self, app: Any, database: Database) -> None:
        self._app = app
        self.database = database

    @property
    def app(self) -> Any:
        """The application as a server calls it."""
        return self._app

    @property
    def litestar(self) -> Litestar:
        """The application behind the hot path."""
        found = self._app.application
        assert isinstance(found, Litestar)
        return found

    def client(
        self, address: str = "127.0.0.1", token: str | None = None, **headers: str
    ) -> httpx.AsyncClient:
        """A client at this address, bearing this token."""
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self._app, client=(address, 40_000)),
            base_url="http://127.0.0.1:8470",
            headers=headers,
        )

    async def deliver(
        self, body: bytes, address: str = "203.0.113.10", path: str = CALLBACKS, **headers: str
    ) -> httpx.Response:
        """Post one body as Tencent does."""
        async with self.client(address, **headers) as client:
            return await client.post(path, content=body)

    def project(self) -> None:
        """Let the projections catch up."""
        with connect(self.database, application_name="test projector") as connection:
            catch_up(connection, self.database.schema, PROJECTIONS)


@asynccontextmanager
async def running(database: Database, **settings: Any) -> AsyncIterator[Running]:
    """The application as a worker runs it, from start to shutdown."""
    for name in ("callback_keys", "callback_token", "api_tokens"):
        if isinstance(settings.get(name), str):
            settings[name] = Secret(settings[name])
    # These clocks leap from one delivery to the next, which would be one absence after the other.
    settings.setdefault("believe_after_absence", False)
    settings.setdefault("callback_keys", Secret(f"main:{KEY}"))
    app = bootstrap.create_web_app(Settings(**settings), database)
    to_app: asyncio.Queue[Any] = asyncio.Queue()
    from_app: asyncio.Queue[Any] = asyncio.Queue()
    task = asyncio.ensure_future(app({"type": "lifespan"}, to_app.get, from_app.put))  # type: ignore[arg-type,typeddict-item]  # the least that a server says
    await to_app.put({"type": "lifespan.startup"})
    started = await from_app.get()
    assert started["type"] == "lifespan.startup.complete", started
    try:
        yield Running(app, database)
    finally:
        await to_app.put({"type": "lifespan.shutdown"})
        await from_app.get()
        await task


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of every receiver that is started in this test."""
    held = Clock()
    monkeypatch.setattr(bootstrap, "now_us", held)
    return held


def signed(body: dict[str, Any], t: int, key: str = KEY) -> bytes:
    """A body with t and sign."""
    sign = hashlib.md5(f"{key}{t}".encode(), usedforsecurity=False).hexdigest()
    return json.dumps(body | {"t": t, "sign": sign}).encode()


def push(event_type: int, at_s: int, sequence: str = "2210464508206756938", **more: Any) -> dict[str, Any]:
    """A start (1) or a stop (0) of a push."""
    return {
        "event_type": event_type,
        "stream_id": "room-1",
        "sequence": sequence,
        "event_time": at_s,
        "app": "live.example.com",
        "appname": "live",
        "stream_param": "txSecret=5ecre7beefcafe&txTime=5DEBEC80",
        "errcode": 0 if event_type else 1,
        **more,
    }


def findings(database: Database) -> dict[str, Finding]:
    """What `doctor` finds, by check."""
    with connect(database, application_name="test doctor") as connection:
        return {finding.check: finding for finding in diagnose(connection, NOW_S * 1_000_000)}


def conserved(database: Database) -> None:
    """Assert that every delivery is accounted for, and that the quarantine knows its size."""
    found = findings(database)
    assert found["conservation"].level == "good", found["conservation"]
    assert found["quarantine"].level == "good", found["quarantine"]


def counters(database: Database) -> dict[str, int]:
    """The intake counters of deliveries; limits that were reached are counted apart."""
    with connect(database, application_name="test") as connection:
        found = connection.execute(
            "SELECT outcome, count FROM intake_counters WHERE outcome NOT LIKE 'limit:%'"
        )
        return dict(found.fetchall())


def rows(database: Database, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with psycopg.connect(database.dsn, options=f"-c search_path={database.schema}") as connection:
        return connection.execute(sql.encode()).fetchall()
