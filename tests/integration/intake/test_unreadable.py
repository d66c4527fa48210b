"""An event that this version cannot decode, or whose body cannot be read, is shown as that, everywhere."""

import base64
from typing import Any

import pytest

from streamledger.postgres.connection import Database, connect
from streamledger.readmodel.feed.feed import FeedFilter, Subscription
from streamledger.web.events import event_stream
from tests.integration.intake.receiver import NOW_S, Clock, clock, push, running, signed
from tests.integration.intake.test_access import TOKENS

__all__ = ["clock"]


def damage(database: Database, position: int, name: str, state: bytes) -> None:
    """Put what no version has written in the place of an event."""
    with connect(database, application_name="test") as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "UPDATE ledger_events SET topic = %s, state = %s WHERE notification_id = %s",
            (name, state, position),
        )


@pytest.mark.parametrize(
    ("name", "state"),
    [("push-flown.v9", b"\x80"), ("push-stopped.v1", b"\xc1damaged"), ("screenshot-created.v1", b"\x80")],
)
async def test_an_event_that_cannot_be_decoded_is_shown_as_such_and_stops_nothing(
    database: Database, clock: Clock, name: str, state: bytes
) -> None:
    async with running(database, api_tokens=TOKENS) as receiver:
        for number in range(3):
            await receiver.deliver(signed(push(1, NOW_S - 9, sequence=str(number)), NOW_S + 60))
        receiver.project()
        damage(database, 2, name, state)
        async with (
            receiver.client(token="r-e-a-d") as reader,
            receiver.client(token="a-d-m-i-n") as admin,
        ):
            listed = (await reader.get("/v1/events")).json()["items"]
            assert [item["position"] for item in listed] == [1, 2, 3]
            assert listed[1]["name"] == name
            assert (
                "cannot be decoded" in listed[1]["unreadable"] or "does not know" in listed[1]["unreadable"]
            )
            assert (listed[1]["bytes"], listed[1]["stored_base64"]) == (len(state), None)
            assert listed[0]["unreadable"] is None
            whole = (await admin.get("/v1/events")).json()["items"][1]
            assert base64.b64decode(whole["stored_base64"]) == state
            entry = (await reader.get("/v1/sessions/1/timeline")).json()["items"][0]
            assert entry["detail"] == {"not_shown": "unreadable"}
            answer = await reader.get("/v1/deliveries/2")
            assert (answer.status_code, answer.json()["name"]) == (409, name)
            for path in ("/v1/sessions/1", "/v1/sessions/1/explain", "/v1/sessions/1?known_at=3"):
                assert (await reader.get(path)).status_code in (200, 404), path
        fed = b""
        tail: Any = receiver.litestar.state.tail
        subscription = Subscription(FeedFilter(), 0)
        async for part in event_stream(tail, subscription):
            fed += part
            if b"id: 3\n" in fed:
                break
        assert b'"position":2,' in fed
        assert f'"name":"{name}"'.encode() in fed
