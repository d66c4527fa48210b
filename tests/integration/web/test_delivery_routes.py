"""The routes about deliveries, over HTTP: shapes, filters, problems."""

from typing import Any

import pytest
from litestar.testing import TestClient

from streamledger.postgres.connection import Database, connect
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.projections.runner import catch_up
from tests.received import BEGAN_S, SCHEMA, STRANGER, TENCENT, keep, received, set_aside, signed, started

DAY_S = 86400
CAPTURED = signed(started("room", "77", stream_param="txSecret=kept-apart"), BEGAN_S + 600)


@pytest.fixture(autouse=True)
def positions(database: Database) -> list[int]:
    """A start, its retry, and a replay of it after a day; an expired copy is set aside."""
    with connect(database, application_name="test") as connection:
        found = keep(
            connection,
            [
                received(CAPTURED, BEGAN_S + 1),
                received(CAPTURED, BEGAN_S + 61.5),
                received(CAPTURED, BEGAN_S + DAY_S, source_ip=STRANGER),
            ],
            [set_aside(CAPTURED, BEGAN_S + 3600)],
        )
        catch_up(connection, SCHEMA, PROJECTIONS)
    return found


def test_a_list_has_the_shape_of_the_contract(client: TestClient[Any], positions: list[int]) -> None:
    answer = client.get("/v1/deliveries", params={"class": "retry", "min_position": positions[-1]})
    assert answer.status_code == 200
    assert answer.json() == {
        "items": [
            {
                "position": positions[1],
                "class": "retry",
                "try": 1,
                "first_position": positions[0],
                "stream_id": "room",
                "sequence": "77",
                "event_type": 1,
                "received_at": "2025-11-24T16:01:01.500Z",
                "source_ip": TENCENT,
                "key": "main",
                "evidence": {
                    "because": ["on_schedule"],
                    "since_first_s": 60.5,
                    "grid": {"era": "today", "interval_s": 60, "retry": 1, "distance_s": 0.5},
                    "address": "same",
                    "t": "same",
                    "bytes": "same",
                    "signed_after_s": 0,
                },
                "in_words": f"1 min after the first, position {positions[0]};"
                " retry 1 of the 60 s schedule (today), 0.5 s late; the same bytes",
            }
        ],
        "next_cursor": None,
    }


def test_every_filter_narrows(client: TestClient[Any], positions: list[int]) -> None:
    def found(**given: Any) -> list[int]:
        return [int(each["position"]) for each in client.get("/v1/deliveries", params=given).json()["items"]]

    assert found() == positions[::-1]
    assert found(source_ip=STRANGER) == [positions[2]]
    assert found(stream_id="elsewhere") == []
    assert found(sequence="77", limit=1) == [positions[2]]
    assert found(key="other") == []
    assert found(**{"from": BEGAN_S + 60, "to": "2025-11-24T16:02:00Z"}) == [positions[1]]


def test_one_delivery_stands_beside_all_others_and_shows_no_secret(
    client: TestClient[Any], positions: list[int]
) -> None:
    answer = client.get(f"/v1/deliveries/{positions[2]}")
    detail = answer.json()
    assert detail["delivery"]["class"] == "replay"
    assert detail["notification"] == {
        "kind": "push_started",
        "key": "77",
        "first_position": positions[0],
        "deliveries": 3,
        "contents": 1,
    }
    assert [each["delivery"]["class"] for each in detail["same_notification"]] == ["first", "retry", "replay"]
    assert [each["reason"] for each in detail["set_aside"]] == ["expired"]
    assert detail["body"]["stream_param"] == "txSecret=REDACTED"
    assert detail["body"]["sign"] == "REDACTED"
    assert "kept-apart" not in answer.text


def test_a_sessions_deliveries_and_the_audit_are_answered(client: TestClient[Any]) -> None:
    of_session = client.get("/v1/sessions/77/deliveries").json()["items"]
    assert [each["class"] for each in of_session] == ["first", "retry", "replay"]
    report = client.get("/v1/audit", params={"from": BEGAN_S, "to": BEGAN_S + 1}).json()
    assert [(day["day"], day["received"], day["expired"]) for day in report["days"]] == [("2025-11-24", 3, 1)]
    assert [each["class"] for each in report["suspicious"]] == ["expired"]
    only = client.get("/v1/audit", params={"from": BEGAN_S, "to": BEGAN_S + 2 * DAY_S, "class": "replay"})
    assert [each["class"] for each in only.json()["suspicious"]] == ["replay"]
    assert client.get("/v1/audit", params={"limit": 0}).json()["suspicious"] == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/deliveries?class=nonsense", 400),
        ("/v1/deliveries?cursor=nonsense", 400),
        ("/v1/deliveries?from=yesterday", 400),
        ("/v1/deliveries?limit=501", 400),
        ("/v1/deliveries/999999", 404),
        ("/v1/deliveries/x", 404),
        ("/v1/sessions/78/deliveries", 404),
        ("/v1/audit?class=replay,nonsense", 400),
        ("/v1/audit?from=0&to=1764000000", 400),
        ("/v1/audit?from=1764000000&to=0", 400),
    ],
)
def test_what_cannot_be_answered_is_a_problem(client: TestClient[Any], path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
