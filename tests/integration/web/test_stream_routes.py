"""The routes about streams, over HTTP: who is live with an ETag, broadcasts, lists, problems."""

from typing import Any

import pytest
from litestar.testing import TestClient

from streamledger.bootstrap import now_us
from streamledger.postgres.connection import Database, connect
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.projections.runner import catch_up
from tests.deliveries import SCHEMA, new_event, push_started, push_stopped, screenshot, signed, store


def told(database: Database, *bodies: dict[str, Any]) -> None:
    now_s = now_us() // 1_000_000
    with connect(database, application_name="test") as connection:
        store(connection, [new_event(signed(body, now_s + 600), received_s=now_s) for body in bodies])
        catch_up(connection, SCHEMA, PROJECTIONS)


def test_a_poll_for_presence_is_answered_304_until_somebody_comes_or_goes(
    database: Database, client: TestClient[Any]
) -> None:
    now_s = now_us() // 1_000_000
    told(database, push_started("room", "1", now_s - 100))
    first = client.get("/v1/streams", params={"presence": "live"})
    assert [item["stream_id"] for item in first.json()["items"]] == ["room"]
    held = {"If-None-Match": first.headers["etag"]}
    told(database, screenshot("room", now_s - 50))
    again = client.get("/v1/streams", params={"presence": "live"}, headers=held)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    told(database, push_stopped("room", "1", now_s))
    gone = client.get("/v1/streams", params={"presence": "live"}, headers=held)
    assert (gone.status_code, gone.json()["items"]) == (200, [])
    assert "etag" not in client.get("/v1/streams", headers=held).headers


def test_broadcasts_and_lists_answer_in_the_shape_of_the_documents(
    database: Database, client: TestClient[Any]
) -> None:
    now_s = now_us() // 1_000_000
    told(
        database,
        push_started("room", "1", now_s - 300),
        push_stopped("room", "1", now_s - 200, push_duration="100000"),
        push_started("room", "2", now_s - 170),
        screenshot("room", now_s - 900),
        {"event_type": 314, "stream_id": "room", "task_id": "7", "callback_event": "TaskStart"},
    )
    (broadcast,) = client.get("/v1/streams/room/broadcasts").json()["items"]
    assert [part["sequence"] for part in broadcast["parts"]] == ["1", "2"]
    assert (broadcast["state"], broadcast["ended_at"], broadcast["reconnects"]) == ("live", None, 1)
    assert [gap["duration_ms"] for gap in broadcast["gaps"]] == [30_000]
    apart = client.get("/v1/streams/room/broadcasts", params={"window_s": 29}).json()["items"]
    assert [each["parts"][0]["sequence"] for each in apart] == ["2", "1"]
    (lost,) = client.get("/v1/streams/room/unattributed").json()["items"]
    assert (lost["kind"], lost["stream_id"], lost["event_type"]) == ("screenshot", "room", 200)
    assert client.get("/v1/unattributed").json()["items"] == [lost]
    (relay,) = client.get("/v1/streams/room/notifications").json()["items"]
    assert (relay["kind"], relay["detail"]["callback_event"]) == ("other", "TaskStart")


@pytest.mark.parametrize("listing", ["broadcasts", "unattributed", "notifications"])
def test_a_stream_that_nobody_named_is_not_found(client: TestClient[Any], listing: str) -> None:
    answer = client.get(f"/v1/streams/nobody/{listing}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("/v1/streams/room/broadcasts", {"window_s": -1}),
        ("/v1/streams/room/broadcasts", {"window_s": 86_401}),
        ("/v1/streams/room/broadcasts", {"cursor": "x"}),
        ("/v1/unattributed", {"cursor": "x"}),
        ("/v1/streams", {"presence": "maybe"}),
    ],
)
def test_a_parameter_that_does_not_fit_is_a_problem(
    database: Database, client: TestClient[Any], path: str, wrong: dict[str, Any]
) -> None:
    told(database, push_started("room", "1", now_us() // 1_000_000))
    assert client.get(path, params=wrong).status_code == 400


def test_a_name_with_a_slash_is_reached_escaped_and_not(database: Database, client: TestClient[Any]) -> None:
    now_s = now_us() // 1_000_000
    told(database, push_started("24/7", "1", now_s - 100), push_started("a/broadcasts", "2", now_s - 100))
    for path in ("/v1/streams/24%2F7", "/v1/streams/24%2f7", "/v1/streams/24/7"):
        assert client.get(path).json()["stream_id"] == "24/7"
    for path in ("/v1/streams/24%2F7/broadcasts", "/v1/streams/24/7/broadcasts"):
        assert len(client.get(path).json()["items"]) == 1
    assert client.get("/v1/streams/a%2Fbroadcasts").json()["stream_id"] == "a/broadcasts"
    assert client.get("/v1/streams/24%2F8").status_code == 404
    assert client.get("/streams/24%2F7").status_code == 200
