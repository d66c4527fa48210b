"""Stable names: what was ever stored is read by this version, and old names are brought up to today's."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamledger.domain.events import ADMIN_ACTED, NAME_BY_EVENT_TYPE, Delivery, Release, event_name
from streamledger.ledger import mapper, reader
from streamledger.ledger.append import NewEvent
from streamledger.ledger.mapper import CURRENT_NAMES, EventNameUnknown, EventUnreadable
from streamledger.postgres.connection import Database, connect
from tests.deliveries import any_event, store

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "events"
STATES = {path.stem: path.read_bytes() for path in sorted(GOLDEN.glob("*.msgpack"))}
READ = msgspec.json.decode((GOLDEN / "expected.json").read_bytes(), type=dict[str, Delivery])


def test_every_name_has_a_stored_example_and_every_example_is_known() -> None:
    assert set(STATES) == set(READ)
    assert set(STATES) >= CURRENT_NAMES
    assert set(STATES) <= CURRENT_NAMES | mapper.UPCASTERS.keys()
    assert {event_name(number) for number in (*NAME_BY_EVENT_TYPE, 321)} | {ADMIN_ACTED} == CURRENT_NAMES


@pytest.mark.parametrize("name", sorted(STATES))
def test_a_stored_example_is_read_as_it_was_meant(name: str) -> None:
    current, delivery = mapper.decode(name, STATES[name])
    assert current in CURRENT_NAMES
    assert delivery == READ[name]


@pytest.mark.parametrize("name", sorted(CURRENT_NAMES & STATES.keys()))
def test_what_is_stored_today_is_what_was_stored_then(name: str) -> None:
    assert mapper.encode(READ[name]) == STATES[name]


def test_fields_that_a_later_version_adds_are_no_obstacle() -> None:
    fields = msgspec.msgpack.decode(STATES["push-started.v1"]) | {"weather": "fair"}
    assert mapper.decode("push-started.v1", msgspec.msgpack.encode(fields))[1] == READ["push-started.v1"]


@pytest.fixture
def older_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two invented steps: v00 had the body as text, v0 had the receipt in seconds."""

    def from_v00(fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return "push-began.v0", {"body": fields["text"].encode(), "received_at_s": fields["at"]}

    def from_v0(fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return "push-started.v1", {
            "body": fields["body"],
            "received_at_us": fields["received_at_s"] * 1_000_000,
        }

    monkeypatch.setitem(mapper.UPCASTERS, "push-began.v00", from_v00)
    monkeypatch.setitem(mapper.UPCASTERS, "push-began.v0", from_v0)


@pytest.mark.usefixtures("older_names")
def test_events_under_older_names_are_read_as_todays_and_their_rows_stay(database: Database) -> None:
    first = any_event()
    older = [
        NewEvent(
            "room",
            "push-began.v00",
            msgspec.msgpack.encode({"text": '{"event_type":1}', "at": 7}),
            any_event().delivery_id,
        ),
        NewEvent(
            "room",
            "push-began.v0",
            msgspec.msgpack.encode({"body": b'{"event_type":1}', "received_at_s": 7}),
            any_event().delivery_id,
        ),
    ]
    with connect(database, application_name="test") as connection:
        store(connection, [first, *older])
        events = reader.read_after(connection, 0, 10)
        names = connection.execute("SELECT topic FROM ledger_events ORDER BY notification_id").fetchall()
    assert [event.name for event in events] == [first.name, "push-started.v1", "push-started.v1"]
    expected = Delivery(body=b'{"event_type":1}', received_at_us=7_000_000)
    assert [event.delivery for event in events[1:]] == [expected, expected]
    assert names == [(first.name,), ("push-began.v00",), ("push-began.v0",)]


def test_a_name_of_a_later_version_says_to_upgrade() -> None:
    with pytest.raises(EventNameUnknown, match=r"push-paused\.v1"):
        mapper.decode("push-paused.v1", STATES["push-started.v1"])


@pytest.mark.parametrize("state", [b"", b"\xc1", b"\x80", msgspec.msgpack.encode({"body": 5})])
def test_a_state_that_is_damaged_names_its_event(state: bytes) -> None:
    with pytest.raises(EventUnreadable, match=r"push-started\.v1"):
        mapper.decode("push-started.v1", state)


def test_a_released_delivery_keeps_the_decision_with_it() -> None:
    release = Release(
        quarantine_id="0190",
        quarantine_reason="expired",
        by="operator",
        reason="network was down",
        released_at_us=9,
    )
    delivery = Delivery(body=b"{}", received_at_us=1, release=release)
    assert mapper.decode("push-stopped.v1", mapper.encode(delivery))[1] == delivery
