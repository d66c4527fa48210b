"""Who may ask what: tokens and scopes over every route, and no secret in any answer of scope read."""

import asyncio
import base64
import json
import logging
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from litestar import Litestar
from litestar.routes import HTTPRoute

from streamledger.bootstrap import refuse_unguarded
from streamledger.cli.main import cli
from streamledger.domain.errors import UnsafeCombination
from streamledger.domain.events import ForeignEvent
from streamledger.ledger.application import Batch
from streamledger.ledger.quarantine import QuarantineFilter
from streamledger.operations import key_ring
from streamledger.operations.release import ReleaseWish, release_by_filter
from streamledger.operations.tokens import (
    TokenNameInvalid,
    TokenNameTaken,
    TokenUnknown,
    create_token,
    revoke_token,
)
from streamledger.postgres.connection import Database, connect
from streamledger.settings import Secret, Settings
from streamledger.version import __version__
from streamledger.web import auth
from streamledger.web.auth import may_administer, may_read
from tests.deliveries import AMPLE, LEDGER
from tests.integration.intake.receiver import (
    NOW_S,
    OPERATOR,
    Clock,
    clock,
    conserved,
    push,
    rows,
    running,
    signed,
)

__all__ = ["clock"]

INTERFACE = ("/v1/", "/metrics")
"""What needs a token in a header. Health and the description of the interface need none; pages sign in."""
ENDLESS = "/v1/events/live"
"""A stream of events has no end: a client that reads its answer whole waits for ever."""

TOKENS = "reader:read:r-e-a-d,operator:admin:a-d-m-i-n"
SECRETS = ("5ecre7beefcafe", "o7hersecre7")
"""The values of txSecret, and of a parameter named in the setting redact_parameters."""


def guarded(app: Litestar) -> Iterator[tuple[str, str, Any]]:
    """Path, method and handler of every route that needs a token."""
    for route in app.routes:
        if isinstance(route, HTTPRoute) and route.path.startswith(INTERFACE):
            for method, (handler, _) in route.route_handler_map.items():
                if method != "OPTIONS":
                    yield route.path, str(method), handler


def path_of(template: str, facts: dict[str, str]) -> str:
    """A path with its parameters filled in; what the facts do not know is 1."""
    return re.sub(r"\{(\w+):\w+\}", lambda found: str(facts.get(found[1], 1)), template)


async def test_no_route_is_without_its_guard_and_what_changes_something_is_for_administrators(
    database: Database, clock: Clock
) -> None:
    async with running(database) as receiver:
        for path, method, handler in guarded(receiver.litestar):
            guards = handler.resolve_guards()
            assert may_read in guards or may_administer in guards, f"{method} {path} is open to everybody"
            if method not in ("GET", "HEAD"):
                assert may_administer in guards, f"{method} {path} is open to scope read"


async def test_every_route_answers_each_scope_as_it_should(database: Database, clock: Clock) -> None:
    facts = {"quarantine_id": "01a20bc0-5bc5-72a1-8b81-25cf27daed35"}
    async with running(database, api_tokens=TOKENS) as receiver:
        asked = 0
        for path, method, _ in guarded(receiver.litestar):
            statuses = []
            for token in (None, "wrong") if path == ENDLESS else (None, "wrong", "r-e-a-d", "a-d-m-i-n"):
                async with receiver.client(token=token) as client:
                    answer = await client.request(method, path_of(path, facts))
                    statuses.append(answer.status_code)
            assert statuses[:2] == [401, 401], f"{method} {path}: {statuses}"
            asked += 1
            if path == ENDLESS:
                continue
            assert (statuses[2] == 403) == (method not in ("GET", "HEAD")), f"{method} {path}: {statuses}"
            assert statuses[3] not in (401, 403, 500), f"{method} {path}: {statuses}"
        assert asked > 10
        for path in ("/health/live", "/health/ready"):
            async with receiver.client("203.0.113.9") as client:
                assert (await client.get(path)).status_code == 200


async def test_no_secret_is_in_any_answer_of_scope_read_and_all_of_them_in_those_of_scope_admin(
    database: Database, clock: Clock
) -> None:
    param = f"txSecret={SECRETS[0]}&txTime=5DEBEC80&auth_key={SECRETS[1]}"
    encoded = (
        f"rtmp%3A%2F%2Fpush.example.com%2Flive%2Froom-1%3FtxSecret%3D{SECRETS[0]}%26auth_key%3D{SECRETS[1]}"
    )
    start = push(1, NOW_S - 60, stream_param=param)
    bodies: list[bytes] = [
        signed(start, NOW_S + 60),
        signed(push(0, NOW_S - 1, stream_param=param, push_duration="59000"), NOW_S + 60),
        signed(
            {
                "event_type": 100,
                "stream_id": "room-1",
                "file_id": "f1",
                "start_time": NOW_S - 50,
                "end_time": NOW_S - 10,
                "duration": 40,
                "stream_param": param,
                "video_url": f"http://vod.example.com/f1.flv?{param}",
            },
            NOW_S + 60,
        ),
        signed(
            {
                "event_type": 200,
                "stream_id": "room-1",
                "create_time": NOW_S - 30,
                "pic_url": "/room-1-screenshot.jpg",
                "pic_full_url": f"http://cos.example.com/room-1.jpg?{param}",
                "stream_param": param,
            },
            NOW_S + 60,
        ),
        signed(
            {"event_type": 314, "stream_id": "room-1", "to_url": encoded, "msg": json.dumps({"u": param})},
            NOW_S + 60,
        ),
        signed(start | {"sequence": "2", "user_ip": param}, NOW_S - 60),
        signed(start | {"sequence": "3"}, NOW_S + 60, "guess"),
        json.dumps(start | {"sequence": "4"}).encode(),
        json.dumps([start]).encode(),
        json.dumps(start | {"event_type": param}).encode(),
        json.dumps(start).encode()[:-5],
    ]
    settings = {"api_tokens": TOKENS, "redact_parameters": "auth_key"}
    async with running(database, **settings) as receiver:
        for body in bodies:
            await receiver.deliver(body)
        with connect(database, application_name="test") as connection:
            wish = ReleaseWish(wanted=QuarantineFilter(reason="expired"))
            release_by_filter(connection, LEDGER, wish, OPERATOR)
        receiver.project()
        facts = {
            "sequence": "2210464508206756938",
            "stream_id": "room-1",
            "position": rows(database, "SELECT min(notification_id) FROM ledger_events")[0][0],
        }
        ids = [row[0] for row in rows(database, "SELECT id::text FROM quarantine")]
        assert len(ids) == 6
        seen = ""
        for path, method, _ in guarded(receiver.litestar):
            if method != "GET" or path == ENDLESS:
                continue
            for quarantine_id in ids if "quarantine_id" in path else ids[:1]:
                asked = path_of(path, facts | {"quarantine_id": quarantine_id})
                async with receiver.client(token="r-e-a-d") as client:
                    answer = await client.get(asked)
                expected = 404 if "rebuild_id" in path else 200  # nothing is being rebuilt
                assert answer.status_code == expected, (asked, answer.text)
                for secret in SECRETS:
                    assert secret not in answer.text, f"{asked} shows a secret"
                seen += answer.text
        assert seen.count("REDACTED") > 10, "the answers did hold secrets to redact"
        for quarantine_id in ids:
            async with receiver.client(token="a-d-m-i-n") as client:
                whole = (await client.get(f"/v1/quarantine/{quarantine_id}")).json()
            assert whole["body"].encode() in bodies
            assert SECRETS[0] in whole["body"]
        async with receiver.client(token="a-d-m-i-n") as client:
            one = (await client.get(f"/v1/deliveries/{facts['position']}")).json()
        assert one["body_text"].encode() == bodies[0]
        assert base64.b64decode(one["body_base64"]) == bodies[0]


async def test_every_page_but_that_of_signing_in_asks_who_looks(database: Database, clock: Clock) -> None:
    open_to_all = {"/sign-in", "/sign-out", "/language", "/zone", "/static/{name:str}"}
    async with running(database, api_tokens=TOKENS) as receiver:
        pages = [
            (route.path, handler)
            for route in receiver.litestar.routes
            if isinstance(route, HTTPRoute)
            and not route.path.startswith(("/v1/", "/metrics", "/health", "/schema"))
            for handler, _ in route.route_handler_map.values()
            if handler.fn is not None
        ]
        assert len({path for path, _ in pages}) > 8
        for path, handler in pages:
            names = {getattr(guard, "__name__", "") for guard in handler.resolve_guards()}
            assert "may_look" in names or path in open_to_all, f"{path} is open to everybody"
        async with receiver.client() as client:
            for path in ("/", "/sessions", "/streams", "/system", "/audit"):
                answer = await client.get(path)
                assert answer.status_code in (302, 303, 401), f"{path}: {answer.status_code}"


async def test_no_page_shows_a_secret(database: Database, clock: Clock) -> None:
    param = f"txSecret={SECRETS[0]}&txTime=5DEBEC80"
    shot = {
        "event_type": 200,
        "stream_id": "room-1",
        "create_time": NOW_S - 30,
        "pic_url": "/room-1-screenshot.jpg",
        "pic_full_url": f"http://cos.example.com/room-1.jpg?{param}",
    }
    async with running(database) as receiver:
        await receiver.deliver(signed(push(1, NOW_S - 60, stream_param=param, user_ip=param), NOW_S + 60))
        await receiver.deliver(signed(shot | {"stream_param": param}, NOW_S + 60))
        await receiver.deliver(signed(push(1, NOW_S - 60, stream_param=param), NOW_S + 60))
        receiver.project()
        position = rows(database, "SELECT min(notification_id) FROM ledger_events")[0][0]
        for path in (
            "/",
            "/sessions",
            "/sessions/2210464508206756938",
            "/streams",
            "/streams/room-1",
            "/audit",
            f"/deliveries/{position}",
            "/system",
        ):
            async with receiver.client() as client:
                answer = await client.get(path)
            assert answer.status_code == 200, (path, answer.text[:300])
            assert SECRETS[0] not in answer.text, f"{path} shows a secret"


async def test_a_stored_token_works_until_it_is_revoked_and_its_text_is_nowhere(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(auth, "REMEMBERED_S", 0.0)
    caplog.set_level(logging.DEBUG)
    store = ["--database-url", database.dsn]
    async with running(database) as receiver:

        async def status(token: str | None) -> int:
            async with receiver.client(token=token) as client:
                return (await client.get("/v1/sessions")).status_code

        assert await status(None) == 200, "without any token everybody may read"
        secret = (
            await asyncio.to_thread(CliRunner().invoke, cli, ["token", "create", "dashboard", *store])
        ).output.strip()
        assert len(secret) > 40
        assert [await status(token) for token in (None, "wrong", secret)] == [401, 401, 200]
        async with receiver.client(token=secret) as client:
            forbidden = await client.post(
                "/v1/quarantine/release", json={"reason": "x", "filter": {"stream_id": "nobody"}}
            )
        assert forbidden.status_code == 403
        listed = await asyncio.to_thread(CliRunner().invoke, cli, ["token", "list", "--json", *store])
        assert [each["name"] for each in json.loads(listed.output)["items"]] == ["dashboard"]
        dump = str(rows(database, "SELECT * FROM api_tokens")) + str(
            rows(database, "SELECT encode(state, 'escape') FROM ledger_events")
        )
        assert secret not in dump + listed.output + caplog.text
        with connect(database, application_name="test") as connection:
            create_token(connection, LEDGER, "ops", "admin", OPERATOR)
        await asyncio.to_thread(CliRunner().invoke, cli, ["token", "revoke", "dashboard", *store])
        assert await status(secret) == 401
    with connect(database, application_name="test") as connection:
        with pytest.raises(TokenNameTaken):
            create_token(connection, LEDGER, "dashboard", "read", OPERATOR)
        for name in ("", " a", "cli:root", "anonymous", "a\0", "a" * 101):
            with pytest.raises(TokenNameInvalid):
                create_token(connection, LEDGER, name, "admin", OPERATOR)
        with pytest.raises(TokenUnknown):
            revoke_token(connection, LEDGER, "nobody", OPERATOR)
        assert revoke_token(connection, LEDGER, "ops", OPERATOR)
        assert not revoke_token(connection, LEDGER, "ops", OPERATOR)
    acts = rows(database, "SELECT count(*) FROM ledger_events WHERE originator_id = '~admin'")
    assert acts == [(4,)]
    conserved(database)


@pytest.mark.parametrize(
    ("address", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {}, 200),
        ("127.0.0.1", {"Origin": "http://localhost:8470"}, 200),
        ("203.0.113.9", {}, 403),
        ("127.0.0.1", {"Origin": "https://elsewhere.example"}, 403),
        ("127.0.0.1", {"Origin": "null"}, 403),
        ("127.0.0.1", {"Host": "rebound.example:8470"}, 403),
        ("127.0.0.1", {"X-Forwarded-For": "203.0.113.9"}, 403),
        ("127.0.0.1", {"X-Real-IP": "203.0.113.9"}, 403),
        ("127.0.0.1", {"Forwarded": "for=203.0.113.9"}, 403),
        ("127.0.0.1", {"Via": "1.1 proxy"}, 403),
    ],
)
async def test_without_tokens_only_this_machine_administers_and_no_web_page_through_it(
    database: Database, clock: Clock, address: str, headers: dict[str, str], status: int
) -> None:
    async with running(database) as receiver, receiver.client(address, **headers) as client:
        assert (await client.get("/v1/sessions")).status_code == 200
        wish = {"reason": "x", "filter": {"stream_id": "nobody"}}
        assert (await client.post("/v1/quarantine/release", json=wish)).status_code == status


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"reason": ""},
        {"reason": " "},
        {"reason": 7},
        {"reason": "x" * 501},
        {"reason": "x", "by": "somebody else"},
        {"reason": "a NUL \0 that PostgreSQL cannot hold"},
    ],
)
async def test_a_release_without_a_proper_reason_is_refused(
    database: Database, clock: Clock, body: dict[str, Any]
) -> None:
    async with running(database) as receiver, receiver.client() as client:
        one = await client.post("/v1/quarantine/01a20bc0-5bc5-72a1-8b81-25cf27daed35/release", json=body)
        many = await client.post("/v1/quarantine/release", json=body | {"filter": {"stream_id": "nobody"}})
        assert [one.status_code, many.status_code] == [400, 400]


@pytest.mark.parametrize("chosen", [{}, {"stream_id": "a\0b"}, {"from": "yesterday"}, {"reason": "dislike"}])
async def test_a_release_that_names_nothing_or_nothing_that_can_be_releases_nothing(
    database: Database, clock: Clock, chosen: dict[str, str]
) -> None:
    async with running(database) as receiver, receiver.client() as client:
        await receiver.deliver(signed(push(1, NOW_S), NOW_S + 60, "a forger's"))
        answer = await client.post("/v1/quarantine/release", json={"reason": "x", "filter": chosen})
    assert answer.status_code == 400, answer.text
    assert rows(database, "SELECT count(*) FROM ledger_events") == [(0,)]


async def test_the_quarantine_is_listed_by_filter_page_by_page(database: Database, clock: Clock) -> None:
    async with running(database) as receiver:
        for number in range(5):
            clock.now_s = NOW_S + number
            await receiver.deliver(signed(push(0, NOW_S, str(number)), NOW_S - 1))
        clock.now_s = NOW_S + 5
        await receiver.deliver(b"no JSON")
        async with receiver.client() as client:

            async def sequences(**filters: str | int) -> list[str | None]:
                found: list[str | None] = []
                cursor: str | None = None
                while True:
                    asked = dict(filters) | ({"cursor": cursor} if cursor else {})
                    page = (await client.get("/v1/quarantine", params=asked)).json()
                    found += [each["sequence"] for each in page["items"]]
                    cursor = page["next_cursor"]
                    if cursor is None:
                        return found

            assert await sequences(limit=2) == [None, "4", "3", "2", "1", "0"]
            assert await sequences(reason="expired", limit=2) == ["4", "3", "2", "1", "0"]
            assert await sequences(**{"from": NOW_S + 1, "to": NOW_S + 3}) == ["2", "1"]
            assert await sequences(stream_id="nobody") == []
            assert await sequences(released="true") == []
            for asked in ({"reason": "dislike"}, {"cursor": "x"}, {"from": "yesterday"}, {"limit": 501}):
                assert (await client.get("/v1/quarantine", params=asked)).status_code == 400, asked
            unknown = await client.get("/v1/quarantine/01a20bc0-5bc5-72a1-8b81-25cf27daed35")
            assert unknown.status_code == 404


def test_beyond_loopback_a_token_of_the_settings_or_the_store_is_asked_for(database: Database) -> None:
    public = Settings(host="0.0.0.0")
    with pytest.raises(UnsafeCombination, match="token create"):
        refuse_unguarded(public, database)
    refuse_unguarded(Settings(host="0.0.0.0", insecure=True), database)
    refuse_unguarded(Settings(host="0.0.0.0", api_tokens=Secret("a:read:b")), database)
    refuse_unguarded(Settings(), database)
    with connect(database, application_name="test") as connection:
        create_token(connection, LEDGER, "ops", "admin", OPERATOR)
        refuse_unguarded(public, database)
        revoke_token(connection, LEDGER, "ops", OPERATOR)
    with pytest.raises(UnsafeCombination):
        refuse_unguarded(public, database)


@pytest.mark.parametrize(
    ("host", "path", "statuses"),
    [
        ("127.0.0.1", "/v1/sessions", [401, 200]),
        ("127.0.0.1", "/streams", [303, 200]),
        ("0.0.0.0", "/v1/sessions", [401, 401]),
        ("0.0.0.0", "/streams", [303, 303]),
    ],
)
async def test_revoking_the_last_token_opens_no_server_that_others_can_reach(
    database: Database,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    path: str,
    statuses: list[int],
) -> None:
    monkeypatch.setattr(auth, "REMEMBERED_S", 0.0)
    async with running(database, host=host) as receiver:
        with connect(database, application_name="test") as connection:
            create_token(connection, LEDGER, "only", "read", OPERATOR)
            async with receiver.client("203.0.113.9") as client:
                before = (await client.get(path)).status_code
                assert revoke_token(connection, LEDGER, "only", OPERATOR)
                assert [before, (await client.get(path)).status_code] == statuses


async def test_the_metrics_add_up_to_what_was_received(database: Database, clock: Clock) -> None:
    async with running(database) as receiver:
        await receiver.deliver(signed(push(1, NOW_S), NOW_S + 60))
        await receiver.deliver(signed(push(0, NOW_S), NOW_S - 60))
        await receiver.deliver(b"no JSON")
        await receiver.deliver(b"{}", path="/callbacks/tencent/guess")
        await receiver.deliver(b"no JSON")  # takes the count before it with it
        with connect(database, application_name="test") as connection:
            connection.execute("INSERT INTO projections (name) VALUES ('sessions')")
        async with receiver.client() as client:
            answer = await client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        text = answer.text
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
    outcomes = {name: float(value) for name, value in samples.items() if "deliveries_total" in name}
    assert sum(outcomes.values()) == float(samples["streamledger_received_total"]) == 5
    assert outcomes['streamledger_deliveries_total{outcome="refused",reason="path_token"}'] == 1
    assert samples['streamledger_quarantine_rows{budget="signed"}'] == "1.0"
    assert samples["streamledger_queue_length"] == "0.0"
    for kept in ("ledger", "quarantine"):
        assert float(samples[f'streamledger_last_delivery_timestamp_seconds{{kept="{kept}"}}']) == NOW_S
    assert samples['streamledger_projection_lag_positions{projection="sessions"}'] == "1.0"
    assert float(samples['streamledger_projection_lag_seconds{projection="sessions"}']) > 0
    assert samples['streamledger_projection_parked{projection="sessions"}'] == "0.0"
    assert samples["streamledger_embedded_restarts_total"] == "0.0"
    assert float(samples['streamledger_answer_seconds_count{answer="acknowledged"}']) >= 2
    assert float(samples["streamledger_commit_seconds_count"]) >= 2
    states = {name: value for name, value in samples.items() if name.startswith("streamledger_sessions{")}
    assert set(states.values()) == {"0.0"}
    assert len(states) == 4
    assert samples[f'streamledger_build_info{{version="{__version__}"}}'] == "1.0"
    types = dict(line.split()[2:] for line in text.splitlines() if line.startswith("# TYPE"))
    documented = {
        name + suffix
        for name, kind in types.items()
        for suffix in (("_bucket", "_count", "_sum") if kind == "histogram" else ("",))
    }
    assert {name.partition("{")[0] for name in samples} <= documented


async def test_the_latest_delivery_is_told_though_an_event_that_cannot_be_read_came_after_it(
    database: Database, clock: Clock
) -> None:
    async with running(database) as receiver:
        await receiver.deliver(signed(push(1, NOW_S), NOW_S + 60))
        with connect(database, application_name="test") as connection:
            later = ForeignEvent(
                originator_id="room-1",
                delivery_id=uuid.uuid4(),
                name="push-started.v99",
                state=b"?",
            )
            LEDGER.receive(connection, Batch(events=[later]), AMPLE)
        async with receiver.client() as client:
            told = (await client.get("/metrics")).text
    (value,) = re.findall(r'last_delivery_timestamp_seconds{kept="ledger"} (\S+)', told)
    assert float(value) == NOW_S
    assert "streamledger_ledger_position 2.0" in told


async def test_a_changed_key_file_is_taken_up_without_a_restart(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(key_ring, "LOOK_S", 0.01)
    file = tmp_path / "keys.toml"
    file.write_text('[[keys]]\nname = "old"\nkey = "k-old"\n')
    start = push(1, NOW_S)
    async with running(
        database, callback_keys=None, callback_keys_file=file, refused_per_minute_max=0
    ) as receiver:
        assert (await receiver.deliver(signed(start, NOW_S + 60, "k-old"))).status_code == 200
        assert (await receiver.deliver(signed(start, NOW_S + 60, "k-new"))).status_code == 403
        file.write_text('[[keys]]\nname = "the new one"\nkey = "k-new"\n')
        async with asyncio.timeout(10):
            while (await receiver.deliver(signed(start, NOW_S + 60, "k-new"))).status_code != 200:
                pass  # the file is looked at meanwhile
        assert (await receiver.deliver(signed(start, NOW_S + 60, "k-old"))).status_code == 403
        async with receiver.client() as client:
            events = (await client.get("/v1/events")).json()["items"]
        assert [event["key"] for event in events] == ["old", "the new one"]
