"""Stable names: what was ever stored is read by this version, and old names are brought up to today's."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamledger.domain.beliefs import BeliefShown, HeadersShown, belief_of
from streamledger.domain.events import (
    ADMIN_ACTED,
    Belief,
    Delivery,
    ForeignEvent,
    Release,
    RequestHeaders,
    event_name,
)
from streamledger.domain.kinds import ROW_BY_EVENT_TYPE
from streamledger.ledger import mapper, reader
from streamledger.ledger.mapper import CURRENT_NAMES, EventNameUnknown, EventUnreadable
from streamledger.postgres.connection import Database, connect
from tests.deliveries import any_event, store

as_stored = msgspec.msgpack.encode
GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "events"
STATES = {path.stem: path.read_bytes() for path in sorted(GOLDEN.glob("*.msgpack"))}


class Expected(msgspec.Struct, kw_only=True):
    """What must be read, with names; the stored form is an array."""

    body: bytes
    received_at_us: int
    source_ip: str = ""
    believed: BeliefShown
    mended: tuple[str, ...] = ()
    headers: HeadersShown = HeadersShown()

    @property
    def delivery(self) -> Delivery:
        facts = {name: getattr(self, name) for name in ("body", "received_at_us", "source_ip", "mended")}
        headers = RequestHeaders(**msgspec.structs.asdict(self.headers))
        return Delivery(**facts, believed=belief_of(self.believed), headers=headers)


READ = {
    name: expected.delivery
    for name, expected in msgspec.json.decode(
        (GOLDEN / "expected.json").read_bytes(), type=dict[str, Expected]
    ).items()
}


def test_every_name_has_a_stored_example_and_every_example_is_known() -> None:
    assert set(STATES) == set(READ)
    assert set(STATES) >= CURRENT_NAMES
    assert set(STATES) <= CURRENT_NAMES | mapper.UPCASTERS.keys()
    assert {event_name(number) for number in (*ROW_BY_EVENT_TYPE, 5)} | {ADMIN_ACTED} == CURRENT_NAMES


@pytest.mark.parametrize("name", sorted(STATES))
def test_a_stored_example_is_read_as_it_was_meant(name: str) -> None:
    current, delivery = mapper.decode(name, STATES[name])
    assert current in CURRENT_NAMES
    assert delivery == READ[name]


@pytest.mark.parametrize("name", sorted(CURRENT_NAMES & STATES.keys()))
def test_what_is_stored_today_is_what_was_stored_then(name: str) -> None:
    assert mapper.encode(READ[name]) == STATES[name]


def test_the_mappers_table_knows_a_class_for_each_name_and_each_type_has_the_class_of_its_name() -> None:
    for number in (*ROW_BY_EVENT_TYPE, 9999):
        assert mapper.NAME_BY_CLASS[mapper.event_class(number)] == event_name(number)
    assert len(mapper.NAME_BY_CLASS) == len(CURRENT_NAMES)


def test_an_ordinary_event_takes_little_more_than_its_body() -> None:
    delivery = READ["push-started.v1"]
    assert len(mapper.encode(delivery)) - len(delivery.body) <= 64


def test_fields_that_a_later_version_adds_are_no_obstacle() -> None:
    fields = [*msgspec.msgpack.decode(STATES["push-started.v1"]), "fair"]
    assert mapper.decode("push-started.v1", msgspec.msgpack.encode(fields))[1] == READ["push-started.v1"]


@pytest.fixture
def older_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two invented steps: v00 had the body as text, v0 had the receipt in seconds."""

    def from_v00(fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return "push-began.v0", {"body": fields["text"].encode(), "received_at_s": fields["at"]}

    def from_v0(fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return "push-started.v1", [fields["body"], fields["received_at_s"] * 1_000_000]

    monkeypatch.setitem(mapper.UPCASTERS, "push-began.v00", from_v00)
    monkeypatch.setitem(mapper.UPCASTERS, "push-began.v0", from_v0)


@pytest.mark.usefixtures("older_names")
def test_events_under_older_names_are_read_as_todays_and_their_rows_stay(database: Database) -> None:
    first = any_event()
    older = [
        ForeignEvent(
            originator_id="room",
            name="push-began.v00",
            state=msgspec.msgpack.encode({"text": '{"event_type":1}', "at": 7}),
        ),
        ForeignEvent(
            originator_id="room",
            name="push-began.v0",
            state=msgspec.msgpack.encode({"body": b'{"event_type":1}', "received_at_s": 7}),
        ),
    ]
    with connect(database, application_name="test") as connection:
        store(connection, [first, *older])
        events = reader.read_after(connection, 0, 10)
        names = connection.execute("SELECT topic FROM ledger_events ORDER BY notification_id").fetchall()
    assert [event.name for event in events] == ["push-stopped.v1", "push-started.v1", "push-started.v1"]
    expected = Delivery(body=b'{"event_type":1}', received_at_us=7_000_000)
    assert [event.delivery for event in events[1:]] == [expected, expected]
    assert names == [("push-stopped.v1",), ("push-began.v00",), ("push-began.v0",)]


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
    delivery = Delivery(body=b"{}", received_at_us=1, believed=Belief("release", release=release))
    assert mapper.decode("push-stopped.v1", mapper.encode(delivery))[1] == delivery
