"""`as_of`, `known_at` and explain over HTTP and on the command line: the same shapes, and what is refused."""

from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from litestar.testing import TestClient

from streamledger.cli.main import cli
from streamledger.domain.events import Delivery
from streamledger.domain.instants import instant_ms
from streamledger.postgres.connection import Database
from tests.moments import STARTS_AT_MS, append_all, connect_to

SEQUENCE = "2210464508206756938"
STARTED_S = STARTS_AT_MS // 1000


def delivered(number: int, event_type: int, **fields: object) -> Delivery:
    body = {"event_type": event_type, "stream_id": "room", **fields}
    return Delivery(
        body=msgspec.json.encode(body),
        received_at_us=(STARTS_AT_MS + number * 10_000) * 1000,
        source_ip="192.0.2.1",
    )


HISTORY = [
    delivered(1, 1, sequence=SEQUENCE, event_time=STARTED_S, stream_param="txSecret=kept-apart"),
    delivered(2, 200, create_time=STARTED_S + 10, pic_url="/a.jpg"),
    delivered(3, 200, create_time=STARTED_S + 20, pic_url="/b.jpg"),
    delivered(4, 200, create_time=STARTED_S + 20, pic_url="/b.jpg"),
    delivered(6, 0, sequence=SEQUENCE, event_time=STARTED_S + 50, push_duration="50000", errcode=1),
]


@pytest.fixture(autouse=True)
def positions(database: Database) -> list[int]:
    with connect_to(database) as connection:
        return [append_all(connection, database, [delivery]) for delivery in HISTORY]


def get(client: TestClient[Any], path: str, **parameters: object) -> dict[str, Any]:
    response = client.get(f"/v1/sessions/{path}", params={name: str(v) for name, v in parameters.items()})
    return {"status_code": response.status_code, **response.json()}


def test_known_at_a_position_the_stop_is_not_known_and_copies_have_not_come(
    client: TestClient[Any], positions: list[int]
) -> None:
    then = get(client, SEQUENCE, known_at=positions[2])
    assert (then["state"], then["stop"], then["screenshots"]["count"]) == ("suspect", None, 2)
    timeline = get(client, f"{SEQUENCE}/timeline", known_at=positions[2])["items"]
    assert [(entry["kind"], entry["deliveries"]) for entry in timeline] == [
        ("push_started", 1),
        ("screenshot", 1),
        ("screenshot", 1),
    ]
    now = get(client, f"{SEQUENCE}/timeline")["items"]
    assert [entry["deliveries"] for entry in now] == [1, 1, 2, 1]


def test_known_at_a_time_goes_by_receipt(client: TestClient[Any], positions: list[int]) -> None:
    by_position = get(client, SEQUENCE, known_at=positions[3], as_of=STARTED_S + 60)
    assert by_position["state"] == "live"
    assert (
        get(client, SEQUENCE, known_at=instant_ms(STARTS_AT_MS + 45_000), as_of=STARTED_S + 60) == by_position
    )


def test_as_of_a_time_the_push_still_runs_until_then(client: TestClient[Any]) -> None:
    then = get(client, SEQUENCE, as_of=instant_ms(STARTS_AT_MS + 15_000))
    assert (then["state"], then["duration_ms"], then["duration_source"]) == ("live", 15_000, "running")
    assert then["screenshots"]["latest_at"] == instant_ms(STARTS_AT_MS + 10_000)
    pictures = get(client, f"{SEQUENCE}/screenshots", as_of=instant_ms(STARTS_AT_MS + 15_000))["items"]
    assert len(pictures) == 1
    assert get(client, f"{SEQUENCE}/recordings", as_of=instant_ms(STARTS_AT_MS + 15_000))["items"] == []


def test_at_the_head_of_the_ledger_the_answer_is_that_about_now(
    client: TestClient[Any], positions: list[int]
) -> None:
    assert get(client, SEQUENCE, known_at=positions[-1]) == get(client, SEQUENCE)
    assert get(client, SEQUENCE, known_at=2**62) == get(client, SEQUENCE)
    assert get(client, SEQUENCE, known_at="2100-01-01T00:00:00+08:00") == get(client, SEQUENCE)


@pytest.mark.parametrize("path", [SEQUENCE, f"{SEQUENCE}/timeline", f"{SEQUENCE}/explain"])
@pytest.mark.parametrize(
    "moment", [{"known_at": 0}, {"as_of": "2020-01-01T00:00:00Z"}, {"known_at": "2020-01-01T00:00:00Z"}]
)
def test_what_was_not_known_then_is_not_found_and_says_so(
    client: TestClient[Any], path: str, moment: dict[str, object]
) -> None:
    problem = get(client, path, **moment)
    assert problem["status_code"] == 404
    assert "was not known at the moment asked for" in problem["detail"]
    asked = {"known_at": "position 0"} if moment == {"known_at": 0} else moment
    assert problem["moment"] == " ".join(f"{name.replace('_', ' ')} {told}" for name, told in asked.items())


@pytest.mark.parametrize("moment", [{"known_at": "soon"}, {"as_of": "soon"}, {"known_at": "9" * 20}])
def test_a_moment_that_cannot_be_read_is_refused(client: TestClient[Any], moment: dict[str, object]) -> None:
    problem = get(client, SEQUENCE, **moment)
    assert problem["status_code"] == 400
    assert problem["name"] in moment


def test_what_if_attribution_granted_more_slack_a_late_picture_would_be_found(
    client: TestClient[Any], database: Database, positions: list[int]
) -> None:
    late = delivered(7, 200, create_time=STARTED_S + 80, pic_url="/late.jpg")
    with connect_to(database) as connection:
        position = append_all(connection, database, [late])
    assert get(client, SEQUENCE, slack_s=5) == get(client, SEQUENCE)
    assert get(client, SEQUENCE)["screenshots"]["count"] == 2
    assert get(client, SEQUENCE, slack_s=29)["screenshots"]["count"] == 2
    what_if = get(client, SEQUENCE, slack_s=30)
    assert what_if["screenshots"] == {
        "count": 3,
        "latest_url": "/late.jpg",
        "latest_at": instant_ms((STARTED_S + 80) * 1000),
    }
    for page in ("timeline", "screenshots"):
        found = get(client, f"{SEQUENCE}/{page}", slack_s=30)["items"]
        assert [entry["position"] for entry in found if entry["detail"].get("pic_url") == "/late.jpg"] == [
            position
        ]
    explained = get(client, f"{SEQUENCE}/explain", slack_s=30)["attributions"]["items"][-1]
    assert [rule["code"] for rule in explained["because"]] == ["near", "only_candidate"]
    assert [(each["outcome"], each["distance_ms"]) for each in explained["candidates"]] == [
        ("chosen", 30_000)
    ]
    assert get(client, SEQUENCE, slack_s=30, known_at=positions[-1]) == get(
        client, SEQUENCE, known_at=positions[-1]
    )
    assert client.get("/v1/streams/room/unattributed").json()["items"][0]["position"] == position


@pytest.mark.parametrize("slack_s", [-1, 3601, "x", "1.5"])
def test_a_slack_that_is_no_whole_number_of_seconds_up_to_an_hour_is_refused(
    client: TestClient[Any], slack_s: object
) -> None:
    problem = get(client, SEQUENCE, slack_s=slack_s)
    assert problem["status_code"] == 400
    assert problem["errors"][0]["name"] == "slack_s"


def test_an_explanation_names_positions_and_pages_through_attributions(
    client: TestClient[Any], positions: list[int]
) -> None:
    explained = get(client, f"{SEQUENCE}/explain", limit=1)
    fields = {field["field"]: field for field in explained["fields"]}
    assert fields["started_at"]["positions"] == [positions[0]]
    assert fields["stop"]["positions"] == [positions[4]]
    assert "kept-apart" not in msgspec.json.encode(explained).decode()
    first = explained["attributions"]["items"]
    cursor = explained["attributions"]["next_cursor"]
    second = get(client, f"{SEQUENCE}/explain", limit=1, cursor=cursor)["attributions"]
    pictures = [each["key"].rpartition("|")[2] for each in [*first, *second["items"]]]
    assert pictures == ["/a.jpg", "/b.jpg"]
    assert second["next_cursor"] is None
    assert [each["outcome"] for each in first[0]["candidates"]] == ["chosen"]


def test_an_explanation_of_the_past_knows_no_more_than_was_known(
    client: TestClient[Any], positions: list[int]
) -> None:
    explained = get(client, f"{SEQUENCE}/explain", known_at=positions[1])
    assert {field["field"]: field["rule"]["code"] for field in explained["fields"]}["state"] == "no_stop"
    assert len(explained["attributions"]["items"]) == 1


def test_the_command_line_answers_the_same(database: Database, positions: list[int]) -> None:
    def run(*arguments: str) -> Any:
        result = CliRunner().invoke(cli, [*arguments, "--database-url", database.dsn, "--json"])
        assert result.exit_code == 0, result.output
        return msgspec.json.decode(result.output)

    assert run("session", SEQUENCE)["state"] == "ended"
    known_at = ("--known-at", str(positions[2]))
    assert run("session", SEQUENCE, *known_at)["stop"] is None
    assert len(run("timeline", SEQUENCE, *known_at)["items"]) == 3
    assert len(run("timeline", SEQUENCE, "--as-of", str(STARTED_S + 15))["items"]) == 2
    assert len(run("timeline", SEQUENCE, "--slack-s", "0")["items"]) == 4
    assert run("session", SEQUENCE, "--slack-s", "60") == run("session", SEQUENCE)
    refused = CliRunner().invoke(cli, ["session", SEQUENCE, "--slack-s", "3601"])
    assert refused.exit_code == 2
    assert run("explain", SEQUENCE, *known_at, "--slack-s", "9")["session"]["screenshots"]["count"] == 2
    shown = CliRunner().invoke(cli, ["explain", SEQUENCE, "--database-url", database.dsn])
    assert "earliest_start: " in shown.output
