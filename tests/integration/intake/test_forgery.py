"""The matrix of forgery: every case, what it is answered, where it is kept; the table of docs/security.md."""

import asyncio
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from streamledger import bootstrap
from streamledger.ledger import reader
from streamledger.postgres.connection import Database, connect
from streamledger.postgres.embedded import EmbeddedServer
from streamledger.web import holding
from tests.integration.intake.receiver import (
    CALLBACKS,
    KEY,
    NOW_S,
    Clock,
    clock,
    conserved,
    counters,
    push,
    rows,
    running,
    signed,
)

__all__ = ["clock"]

PAPER = Path(__file__).parents[3] / "docs" / "security.md"
T = NOW_S + 600
KEYS = f"main:{KEY},short:key1,long:key11"
"""`long` is `short` with a digit behind it: MD5(key + t) cannot tell where one ends and the other begins."""

START = push(1, NOW_S - 1)
GENUINE: dict[str, Any] = json.loads(signed(START, T))


class Case(msgspec.Struct, frozen=True):
    """One row of the table."""

    name: str
    body: bytes
    status: int
    kept: str
    """ledger, quarantine: REASON, or counted: OUTCOME"""
    path: str = CALLBACKS
    settings: dict[str, Any] = {}


def altered(**fields: Any) -> bytes:
    """The genuine delivery with other fields; ... leaves one out."""
    return json.dumps(
        {name: value for name, value in (GENUINE | fields).items() if value is not ...}
    ).encode()


def raw(name: str, text: str) -> bytes:
    """The genuine delivery with a field's value as it stands."""
    return json.dumps(GENUINE | {name: "@"}).replace('"@"', text).encode()


def sign_of(key: str, t: int | str) -> str:
    """The signature that a key gives t."""
    return hashlib.md5(f"{key}{t}".encode(), usedforsecurity=False).hexdigest()


TEXT = str(T)
FULL_WIDTH = TEXT.translate(
    {ord("0") + digit: ord("\N{FULLWIDTH DIGIT ZERO}") + digit for digit in range(10)}
)
TOKEN = {"callback_token": "path-token"}
BY_TOKEN = CALLBACKS + "/path-token"
SECOND = {**TOKEN, "callback_token_required": True}

CASES = [
    Case("right key, `t` ahead", altered(), 200, "ledger"),
    Case("`t` as text, signed", altered(t=TEXT), 200, "ledger"),
    Case("right `sign`, another body", altered(stream_id="room-2", event_time=NOW_S - 60), 200, "ledger"),
    Case("unknown event_type, signed", altered(event_type=999), 200, "ledger"),
    Case("no stream_id, signed", altered(stream_id=...), 200, "ledger"),
    Case("right `sign`, `t` passed", signed(START, NOW_S - 1), 200, "quarantine: expired"),
    Case("right `sign`, `t` a day ahead", signed(START, NOW_S + 86_400), 200, "quarantine: too_far_ahead"),
    Case("wrong `sign`", altered(sign="0" * 32), 403, "quarantine: bad_signature"),
    Case("`sign` of another key", signed(START, T, "another-key"), 403, "quarantine: bad_signature"),
    Case("`sign` of another `t`", altered(t=T + 1), 403, "quarantine: bad_signature"),
    Case("`sign` in upper case", altered(sign=GENUINE["sign"].upper()), 403, "quarantine: bad_signature"),
    Case("`sign` cut short", altered(sign=GENUINE["sign"][:16]), 403, "quarantine: bad_signature"),
    Case("`sign` a list", altered(sign=[GENUINE["sign"]]), 403, "quarantine: bad_signature"),
    Case("`sign` missing", altered(sign=...), 403, "quarantine: unsigned"),
    Case("`t` a float", raw("t", f"{T}.5"), 403, "quarantine: bad_signature"),
    Case("`t` negative", altered(t=-5), 403, "quarantine: bad_signature"),
    Case("`t` 1e30", raw("t", "1e30"), 403, "quarantine: bad_signature"),
    Case("`t` in full-width digits", altered(t=FULL_WIDTH), 403, "quarantine: bad_signature"),
    Case("`t` a list", altered(t=[T]), 403, "quarantine: bad_signature"),
    Case("`t` null", altered(t=None), 403, "quarantine: unsigned"),
    Case("`t` missing", altered(t=...), 403, "quarantine: unsigned"),
    Case("neither `t` nor `sign`", altered(t=..., sign=...), 403, "quarantine: unsigned"),
    Case(
        "neither, with the path token",
        altered(t=..., sign=...),
        200,
        "ledger",
        CALLBACKS + "/path-token",
        TOKEN,
    ),
    Case(
        "wrong `sign`, with the path token",
        altered(sign="0" * 32),
        403,
        "quarantine: bad_signature",
        CALLBACKS + "/path-token",
        TOKEN,
    ),
    Case("right key, the path token required and there", altered(), 200, "ledger", BY_TOKEN, SECOND),
    Case(
        "right key, the path token required and absent",
        altered(),
        404,
        "counted: path_token",
        CALLBACKS,
        SECOND,
    ),
    Case(
        "neither, the path token required and there",
        altered(t=..., sign=...),
        403,
        "quarantine: unsigned",
        BY_TOKEN,
        SECOND,
    ),
    Case("wrong path token", altered(), 404, "counted: path_token", CALLBACKS + "/guess", TOKEN),
    Case("a path token where none is set", altered(), 404, "counted: path_token", CALLBACKS + "/guess"),
    Case(
        "a digit of `t` moved into the key",
        altered(t=int(TEXT[1:]), sign=sign_of("key1", T)),
        200,
        "quarantine: expired",
    ),
    Case(
        "a digit of the key moved into `t`",
        altered(t=int("1" + TEXT), sign=sign_of("key11", T)),
        200,
        "quarantine: too_far_ahead",
    ),
    Case(
        "a `t` with a zero in front, signed",
        altered(t="0" + TEXT, sign=sign_of(KEY, "0" + TEXT)),
        403,
        "quarantine: bad_signature",
    ),
    Case(
        "`t` twice, the last one signed",
        altered().replace(b"{", b'{"t": 1, ', 1),
        200,
        "ledger",
    ),
    Case(
        "`t` twice, the first one signed",
        altered()[:-1] + f', "t": {T + 60}}}'.encode(),
        403,
        "quarantine: bad_signature",
    ),
    Case(
        "`sign` twice, the last one wrong",
        altered()[:-1] + b', "sign": "00"}',
        403,
        "quarantine: bad_signature",
    ),
    Case("a comment and a trailing comma, signed", altered()[:-1] + b", } // mended", 200, "ledger"),
    Case("an array", b"[" + altered() + b"]", 400, "quarantine: malformed"),
    Case("cut off", altered()[:-40], 400, "quarantine: malformed"),
    Case("empty", b"", 400, "quarantine: malformed"),
    Case("no event_type", altered(event_type=...), 400, "quarantine: malformed"),
    Case(
        "over the body limit",
        altered(errmsg="x" * 2048),
        413,
        "counted: body_too_large",
        CALLBACKS,
        {"body_bytes_max": 1024},
    ),
    Case(
        "from another network",
        altered(),
        403,
        "counted: address",
        CALLBACKS,
        {"callback_networks": "198.51.100.0/24"},
    ),
]


class Kept(msgspec.Struct, frozen=True):
    """What became of one case."""

    status: int
    content: bytes
    position: bool
    events: int
    quarantined: list[tuple[str, bytes]]
    counted: dict[str, int]
    facts: int


@pytest.fixture(scope="module")
def kept(postgres_server: EmbeddedServer, template_database: str) -> Iterator[dict[str, Kept]]:
    """Every case delivered, one after another, into one database; what each of them added to it."""
    name = sql.Identifier("forgery_matrix")
    with psycopg.connect(postgres_server.dsn, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(name, sql.Identifier(template_database))
        )
    database = Database(make_conninfo(postgres_server.dsn, dbname="forgery_matrix"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "now_us", Clock())
        found = asyncio.run(_deliver_all(database))
    conserved(database)
    yield found
    with psycopg.connect(postgres_server.dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


async def _deliver_all(database: Database) -> dict[str, Kept]:
    found = {}
    for case in CASES:
        events = _one(database, "SELECT count(*) FROM ledger_events")
        facts = _one(database, "SELECT coalesce(sum(deliveries), 0)::int8 FROM timeline")
        before = counters(database)
        earlier = {row[0] for row in rows(database, "SELECT id FROM quarantine")}
        async with running(database, callback_keys=KEYS, **case.settings) as receiver:
            answer = await receiver.deliver(case.body, path=case.path)
        receiver.project()  # after the shutdown: what was only counted is in the store by then
        found[case.name] = Kept(
            answer.status_code,
            answer.content,
            "streamledger-position" in answer.headers,
            _one(database, "SELECT count(*) FROM ledger_events") - events,
            [
                (reason, body)
                for id_, reason, body in rows(database, "SELECT id, reason, body FROM quarantine")
                if id_ not in earlier
            ],
            {
                outcome: count - before.get(outcome, 0)
                for outcome, count in counters(database).items()
                if count != before.get(outcome, 0)
            },
            _one(database, "SELECT coalesce(sum(deliveries), 0)::int8 FROM timeline") - facts,
        )
    return found


def _one(database: Database, query: str) -> int:
    return int(rows(database, query)[0][0])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_case_is_answered_and_kept_as_the_table_says(case: Case, kept: dict[str, Kept]) -> None:
    became = kept[case.name]
    kind, _, reason = case.kept.partition(": ")
    believed = kind == "ledger"
    assert became.status == case.status, became.content
    assert (became.content == b'{"code":0}') == (case.status == 200)
    assert became.position == believed
    assert became.events == believed
    assert became.facts == believed
    assert became.quarantined == ([(reason, case.body)] if kind == "quarantine" else [])
    outcome = {"ledger": "ledger", "quarantine": f"quarantine:{reason}", "counted": f"refused:{reason}"}
    assert became.counted == {"received": 1, outcome[kind]: 1}


def test_the_table_of_the_paper_is_the_matrix() -> None:
    lines = re.findall(r"^\| (.+?) \| (\d{3}) \| (.+?) \|$", PAPER.read_text(encoding="utf-8"), re.MULTILINE)
    assert lines == [(case.name, str(case.status), case.kept) for case in CASES]


async def test_a_flood_from_one_address_is_kept_up_to_a_limit_and_counted_beyond_it(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "HOLD_S", 0.0)
    async with running(database, refused_per_minute_max=5) as receiver:
        forged = altered(sign="0" * 32)
        statuses = [(await receiver.deliver(forged)).status_code for _ in range(8)]
        assert statuses == [403] * 5 + [429] * 3
        refused = await receiver.deliver(b"no JSON")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "12")
        assert (await receiver.deliver(altered())).status_code == 200, "genuine ones are still taken"
        expired = await receiver.deliver(signed(START, NOW_S - 1))
        assert expired.status_code == 200, "and so are signed ones that have expired"
        assert (await receiver.deliver(forged, "203.0.113.11")).status_code == 403
        clock.now_s += 12
        assert (await receiver.deliver(forged)).status_code == 403, "the bucket fills again"
    assert counters(database) == {
        "received": 13,
        "ledger": 1,
        "quarantine:bad_signature": 7,
        "quarantine:expired": 1,
        "refused:rate_limited": 4,
    }
    conserved(database)


@pytest.mark.parametrize(
    ("settings", "reason", "body", "beyond"),
    [
        ({"quarantine_refused_rows_max": 2}, "bad_signature", lambda: altered(sign="0" * 32), 403),
        ({"quarantine_refused_bytes_max": 1000}, "bad_signature", lambda: altered(sign="0" * 32), 403),
        ({"quarantine_signed_rows_max": 2}, "expired", lambda: signed(START, NOW_S - 1), 503),
    ],
)
async def test_beyond_the_caps_deliveries_are_counted_and_never_acknowledged(
    database: Database,
    clock: Clock,
    settings: dict[str, int],
    reason: str,
    body: Callable[[], bytes],
    beyond: int,
) -> None:
    async with running(database, **settings) as receiver:
        statuses = [(await receiver.deliver(body())).status_code for _ in range(5)]
    held = rows(database, "SELECT count(*), sum(bytes) FROM quarantine")[0]
    assert 0 < held[0] < 5
    assert statuses[held[0] :] == [beyond] * (5 - held[0])
    assert counters(database)[f"refused:{reason}"] == 5 - held[0]
    assert held[1] <= settings.get("quarantine_refused_bytes_max", held[1])
    conserved(database)


async def test_behind_a_trusted_proxy_the_senders_own_address_counts_and_elsewhere_the_header_does_not(
    database: Database, clock: Clock
) -> None:
    networks = {"callback_networks": "198.51.100.0/24", "trusted_proxies": "10.0.0.0/8"}
    async with running(database, **networks) as receiver:

        async def status(address: str, forwarded: str) -> int:
            answer = await receiver.deliver(altered(), address, **{"X-Forwarded-For": forwarded})
            return answer.status_code

        assert await status("10.0.0.1", "198.51.100.7") == 200
        assert await status("10.0.0.1", "198.51.100.7, 10.0.0.2") == 200
        assert await status("10.0.0.1", "198.51.100.7:5123") == 200
        assert await status("10.0.0.1", "198.51.100.7, 203.0.113.1") == 403, "only its right end is true"
        assert await status("10.0.0.1", "198.51.100.7, nonsense") == 403
        assert await status("203.0.113.1", "198.51.100.7") == 403, "anybody can write a header"
        assert await status("198.51.100.9", "") == 200
    with connect(database, application_name="test") as connection:
        assert {event.delivery.source_ip for event in reader.read_all(connection)} == {
            "198.51.100.7",
            "198.51.100.9",
        }
    assert counters(database)["refused:address"] == 3
    conserved(database)


async def test_who_floods_waits_for_each_refusal_and_only_so_many_are_held_at_once(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[asyncio.Event] = []

    async def hold(_: float) -> None:
        held.append(asyncio.Event())
        await held[-1].wait()

    async with running(database, refused_per_minute_max=1) as receiver:
        forged = altered(sign="0" * 32)
        assert (await receiver.deliver(forged)).status_code == 403
        monkeypatch.setattr(holding, "HELD_MAX", 2)
        monkeypatch.setattr(holding, "sleep", hold)
        waiting = [asyncio.ensure_future(receiver.deliver(forged)) for _ in range(3)]
        first = await next(asyncio.as_completed(waiting))
        assert first.status_code == 429, "the third found no room to be held"
        assert len(held) == 2
        assert (await receiver.deliver(altered())).status_code == 200, "nobody else waits"
        for each in held:
            each.set()
        assert [(await each).status_code for each in waiting] == [429] * 3
        monkeypatch.undo()
