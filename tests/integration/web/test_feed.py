"""The feed over HTTP, from a real ledger: resuming, filters, and its place in the interface."""

import json
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import httpx
import pytest

from streamledger.ledger.acts import Actor
from streamledger.operations.tokens import create_token, revoke_token
from streamledger.postgres.connection import Database, connect
from streamledger.settings import Secret, Settings
from streamledger.web import auth
from tests.acceptance.page.server import serving
from tests.deliveries import LEDGER

DEADLINE_S = 20.0


@pytest.fixture
def url(database: Database) -> Iterator[str]:
    with serving(database) as address:
        wait_until_ready(address)
        yield address


def wait_until_ready(address: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(address + "/health/ready").is_success:
                return
        except httpx.TransportError:
            continue
    pytest.fail("the server did not become ready")


def deliver(address: str, event_type: int, stream_id: str, sequence: str) -> int:
    """Deliver a notification; its position."""
    body = {"event_type": event_type, "stream_id": stream_id, "sequence": sequence, "event_time": 1713731478}
    answer = httpx.post(address + "/callbacks/tencent", json=body)
    assert answer.json() == {"code": 0}
    return int(answer.headers["streamledger-position"])


def events(response: httpx.Response) -> Iterator[dict[str, Any]]:
    """The events of a response with their ids; comments and bare ids are passed over."""
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif not line:
            if "data" in fields:
                yield {"id": int(fields["id"]), **json.loads(fields["data"])}
            fields = {}


def test_events_are_read_from_a_position_and_then_as_they_come(url: str) -> None:
    first = deliver(url, 1, "room-1", "1")
    second = deliver(url, 0, "room-1", "1")
    with httpx.stream("GET", url + "/v1/events/live?after=0", timeout=DEADLINE_S) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        found = events(response)
        assert [event["id"] for event in islice(found, 2)] == [first, second]
        third = deliver(url, 1, "room-2", "2")
        event = next(found)
    assert event["id"] == third
    assert (event["name"], event["stream_id"], event["sequence"]) == ("push-started.v1", "room-2", "2")


def test_a_browser_that_reconnects_goes_on_behind_its_last_event(url: str) -> None:
    positions = [deliver(url, 1, "room-1", str(number)) for number in range(4)]
    headers = {"Last-Event-ID": str(positions[1])}
    with httpx.stream("GET", url + "/v1/events/live?after=0", headers=headers) as response:
        assert [event["id"] for event in islice(events(response), 2)] == positions[2:]


def test_without_a_position_only_what_comes_now_is_given(url: str) -> None:
    deliver(url, 1, "room-1", "1")
    with httpx.stream("GET", url + "/v1/events/live", timeout=DEADLINE_S) as response:
        lines = response.iter_lines()
        assert next(lines) == ": heartbeat"  # connected, and its place is taken
        later = deliver(url, 0, "room-1", "1")
        assert f"id: {later}" in (next(lines) for _ in range(4))


def test_one_stream_and_one_kind_can_be_chosen(url: str) -> None:
    for stream_id in ("room-1", "room-2"):
        for event_type in (1, 0):
            deliver(url, event_type, stream_id, "7")
    query = "/v1/events/live?after=0&stream_id=room-2&kind=push_stopped&kind=screenshot"
    with httpx.stream("GET", url + query, timeout=DEADLINE_S) as response:
        found = events(response)
        assert next(found)["name"] == "push-stopped.v1"
        deliver(url, 1, "room-2", "8")
        last = deliver(url, 0, "room-2", "8")
        assert next(found)["id"] == last


@pytest.mark.parametrize("last_id", ["x", "-1", "9" * 30])
def test_an_id_that_is_no_position_is_told(url: str, last_id: str) -> None:
    answer = httpx.get(url + "/v1/events/live", headers={"Last-Event-ID": last_id})
    assert answer.status_code == 400
    assert "Last-Event-ID" in answer.json()["detail"]


def test_the_feed_needs_a_token_where_queries_do_and_has_an_end(database: Database) -> None:
    with serving(database, Settings(api_tokens=Secret("me:read:secret"), readers_max=1)) as address:
        wait_until_ready(address)
        assert httpx.get(address + "/v1/events/live").status_code == 401
        bearer = {"Authorization": "Bearer secret"}
        with httpx.stream("GET", address + "/v1/events/live", headers=bearer) as response:
            parts = response.iter_bytes()
            assert next(parts).startswith(b": heartbeat")
            again = httpx.get(address + "/v1/events/live", headers=bearer)
            assert again.status_code == 503
            assert again.headers["retry-after"] == "1"


def test_an_open_feed_ends_before_the_next_event_once_its_token_is_revoked(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "REMEMBERED_S", 0.0)
    actor = Actor(by="operator", reason="test", at_us=1)
    with serving(database, Settings()) as address, connect(database, application_name="test") as connection:
        create_token(connection, LEDGER, "another", "read", actor)
        bearer = {"Authorization": f"Bearer {create_token(connection, LEDGER, 'me', 'read', actor)}"}
        query = address + "/v1/events/live?after=0&stream_id=room-1"
        with httpx.stream("GET", query, headers=bearer, timeout=DEADLINE_S) as response:
            parts = response.iter_bytes()
            assert next(parts).startswith(b": heartbeat")
            shown = deliver(address, 1, "room-1", "1")
            assert b"id: %d\n" % shown in next(parts)
            assert revoke_token(connection, LEDGER, "me", actor)
            deliver(address, 0, "room-1", "1")
            assert next(parts, b"its end") == b"its end"


def test_reading_ones_own_write_does_not_wait_for_long(url: str) -> None:
    position = deliver(url, 1, "room-1", "77")
    answer = httpx.get(url + f"/v1/sessions/77?min_position={position}")
    assert answer.status_code == 200
