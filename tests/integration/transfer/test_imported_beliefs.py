"""What of an import is believed: no more than at the intake, and each event is marked by the import's act."""

import hashlib
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from streamledger.domain.events import (
    AdminAct,
    Belief,
    Delivery,
    LedgerEvent,
    RequestHeaders,
    is_notification,
)
from streamledger.ledger import reader
from streamledger.ledger.acts import Actor
from streamledger.operations.export_events import Wanted, export_events
from streamledger.operations.import_events import Imported, import_events
from streamledger.operations.imported_delivery import ImportRules
from streamledger.postgres.connection import Database, connect
from streamledger.tencent.signature import CallbackKey
from tests.deliveries import KEY, LEDGER, NOON_S, event_of, push_started, signed, store

VERSION_1 = Path(__file__).resolve().parents[2] / "golden" / "exports" / "version-1.ndjson"
NOW_US = (NOON_S + 86_400) * 1_000_000
ACTOR = Actor(by="cli:operator", reason="import", at_us=NOW_US)


def imported(connection: psycopg.Connection[Any], lines: list[bytes], **given: Any) -> Imported:
    plain = given.pop("plain", False)
    rules = ImportRules(**{"body_bytes_max": 2000, "now_us": NOW_US, **given})
    return import_events(
        connection, LEDGER, lines, plain=plain, rules=rules, actor=ACTOR, source="events.ndjson"
    )


def split(connection: psycopg.Connection[Any]) -> tuple[list[LedgerEvent], list[tuple[int, dict[str, Any]]]]:
    """The deliveries, and positions and facts of the imports' acts."""
    events = list(reader.read_all(connection))
    acts = [
        (each.position, json.loads(each.delivery.body)) for each in events if each.name == "admin-acted.v1"
    ]
    return [each for each in events if is_notification(each.name)], acts


def test_a_file_of_version_1_is_believed_as_far_as_its_signatures_go(database: Database) -> None:
    lines = VERSION_1.read_bytes().splitlines(keepends=True)
    with connect(database, application_name="test") as connection:
        done = imported(connection, lines, keys=[CallbackKey("today", "known")])
        events, acts = split(connection)
    assert (done.lines, done.stored, done.left_out, done.invalid) == (6, 4, 2, 0)
    assert [event.delivery.believed for event in events] == [
        Belief("key", "today", import_position=1, key_said="main"),
        Belief("key", "today", "grace", import_position=1, key_said="main"),
        Belief("import", import_position=1, key_said="old"),
        Belief("import", import_position=1),
    ]
    assert [event.delivery.key for event in events] == ["today", "today", None, None]
    assert events[3].delivery.mended == ("json5",)
    (begun, first), (_, last) = acts
    assert (begun, first["action"], first["by"]) == (1, "import-begun", "cli:operator")
    assert first["subject"] == {"source": "events.ndjson", "plain": False, "with_acts": False}
    assert last["action"] == "import-ended"
    assert last["subject"] == {
        "import_position": 1,
        "sha256": hashlib.sha256(VERSION_1.read_bytes()).hexdigest(),
        **{"lines": 6, "stored": 4, "known": 0, "differing": 0, "left_out": 2, "invalid": 0},
    }


def test_releases_and_acts_of_another_ledger_come_only_when_asked_for(database: Database) -> None:
    lines = VERSION_1.read_bytes().splitlines(keepends=True)
    with connect(database, application_name="test") as connection:
        done = imported(connection, lines, with_acts=True)
        assert (done.stored, done.left_out) == (6, 0)
        events, acts = split(connection)
    released = next(event.delivery for event in events if event.delivery.release)
    assert (released.believed.by, released.believed.late, released.t_passed) == ("release", "expired", True)
    assert (released.key, released.believed.key_said, released.believed.import_position) == (None, "main", 1)
    assert [act["action"] for _, act in acts] == ["import-begun", "quarantine-released", "import-ended"]


def test_what_is_exported_comes_back_with_its_headers_and_its_belief(database: Database) -> None:
    delivery = Delivery(
        body=signed(push_started("room", "7", NOON_S), NOON_S - 5),
        received_at_us=NOON_S * 1_000_000,
        source_ip="192.0.2.1",
        believed=Belief("key", "main", "away"),
        headers=RequestHeaders(user_agent="Go-http-client/1.1"),
    )
    lines: list[bytes] = []
    with connect(database, application_name="test") as connection:
        store(connection, [event_of(delivery)])
        export_events(connection, Wanted(), lines.append)
        shown = json.loads(lines[0])
        assert shown["believed"] == {"by": "key", "key": "main", "late": "away"}
        assert shown["headers"] == {"user_agent": "Go-http-client/1.1"}
        shown["delivery_id"] = "019ab5a0-0000-7000-8000-0000000000ff"
        imported(connection, [json.dumps(shown).encode()], keys=[CallbackKey("main", KEY)])
        events, _ = split(connection)
    assert events[0].delivery.believed == Belief("key", "main", "away")
    assert events[1].delivery.believed == Belief("key", "main", "away", import_position=2)
    assert events[1].delivery.headers == events[0].delivery.headers


LINE: dict[str, Any] = {
    "position": 1,
    "delivery_id": "019ab5a0-0000-7000-8000-0000000000aa",
    "name": "push-started.v1",
    "originator": "room",
    "received_at_us": NOON_S * 1_000_000,
    "source_ip": "192.0.2.1",
    "believed": {"by": "key", "key": "main"},
    "body": signed(push_started("room", "7", NOON_S), NOON_S + 600).decode(),
}
RELEASE = {
    "quarantine_id": "x", "quarantine_reason": "expired", "by": "mallory", "reason": "because",
    "released_at_us": NOON_S * 1_000_000,
}  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"received_at_us": 10**18}, "received_at_us"),
        ({"received_at_us": 5}, "received_at_us"),
        ({"body": json.dumps({"event_type": 1, "x": "y" * 3000})}, "more than 2000 bytes"),
        ({"body": "no JSON"}, "JSON"),
        ({"body": '{"stream_id":"room"}'}, "event_type"),
        ({"source_ip": "\x1b[2J"}, "source_ip"),
        ({"believed": {"by": "key", "key": "ma\x1b[2Jin"}}, "key"),
        ({"believed": {"by": "fiat"}}, "fiat"),
        ({"mended": ["\u202enosj"]}, "mended"),
        ({"headers": {"user_agent": "x" * 600}}, "headers"),
        ({"believed": {"by": "release", "release": RELEASE | {"by": "\x1b]0;x"}}}, "by"),
        ({"believed": {"by": "release", "release": RELEASE | {"released_at_us": 10**18}}}, "released_at_us"),
        ({"name": "admin-acted.v1", "originator": "~admin"}, "action"),
        ({"name": "x\x1b", "state_base64": "wQ==", "body": None}, "name"),
    ],
)
def test_the_limits_of_the_intake_are_those_of_an_import(
    database: Database, wrong: dict[str, Any], said: str
) -> None:
    lines = [json.dumps(LINE | wrong).encode(), json.dumps(LINE).encode()]
    with connect(database, application_name="test") as connection:
        done = imported(connection, lines, with_acts=True)
        events, _ = split(connection)
    assert (done.stored, done.invalid) == (1, 1), done.faults
    assert said in done.faults[0]
    assert len(events) == 1


def test_what_a_line_calls_itself_counts_for_nothing(database: Database) -> None:
    forged = LINE | {"name": "push-stopped.v1", "originator": "elsewhere"}
    with connect(database, application_name="test") as connection:
        unsigned = LINE | {"body": '{"event_type":1,"stream_id":"room"}', "delivery_id": str(uuid4())}
        lines = [json.dumps(line).encode() for line in (forged, unsigned)]
        imported(connection, lines, keys=[CallbackKey("main", "another")])
        events, _ = split(connection)
    for event in events:
        assert (event.name, event.originator_id) == ("push-started.v1", "room")
        assert event.delivery.believed == Belief("import", import_position=1, key_said="main")
    assert len(events) == 2


def test_bodies_of_a_plain_log_are_verified_too(database: Database) -> None:
    good = signed(push_started("room", "7", NOON_S), NOON_S + 600)
    late = signed(push_started("room", "8", NOON_S), NOON_S - 600)
    lines = [
        json.dumps({"body": body.decode(), "received_at": NOON_S}).encode()
        for body in (good, late, b'{"event_type":1}')
    ]
    with connect(database, application_name="test") as connection:
        imported(connection, lines, plain=True, keys=[CallbackKey("main", KEY)])
        events, _ = split(connection)
    assert [event.delivery.believed for event in events] == [
        Belief("key", "main", import_position=1),
        Belief("key", "main", "grace", import_position=1),
        Belief("import", import_position=1),
    ]


def test_the_body_of_an_act_is_one_that_can_be_shown(database: Database) -> None:
    with connect(database, application_name="test") as connection:
        position = LEDGER.act(connection, "token-created", ACTOR, {"name": "ops"})
        (event,) = reader.read_at(connection, [position])
    act = AdminAct(action="token-created", by="cli:operator", reason="import", subject={"name": "ops"})
    assert json.loads(event.delivery.body) == {name: getattr(act, name) for name in act.__struct_fields__}
