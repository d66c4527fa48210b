"""Lists walked by cursor, parameters that do not fit, what is unknown, and the description of it all."""

import time
from collections.abc import Callable
from urllib.parse import quote

import pytest

from tests.acceptance.serving import Service
from tests.deliveries import push_started, push_stopped, screenshot

NOW_S = int(time.time())
NewSequence = Callable[[], str]


@pytest.mark.parametrize("limit", [1, 3, 7, 500])
@pytest.mark.parametrize("order", ["desc", "asc"])
def test_the_cursor_walks_a_list_of_sessions_completely_and_in_order(
    service: Service, new_sequence: NewSequence, limit: int, order: str
) -> None:
    stream_id = f"walk-{limit}-{order}"
    # Two sessions start in each second: the order goes on below the time.
    expected = [(NOW_S - number // 2, new_sequence()) for number in range(10)]
    for at_s, sequence in expected:
        service.deliver(push_started(stream_id, sequence, at_s))
    pages = service.pages("/v1/sessions", stream_id=stream_id, limit=limit, order=order)
    assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    found = [session["sequence"] for page in pages for session in page]
    assert found == [sequence for _, sequence in sorted(expected, reverse=order == "desc")]


def test_the_cursor_walks_timelines_and_screenshots_completely(
    service: Service, new_sequence: NewSequence
) -> None:
    sequence = new_sequence()
    service.deliver(push_started("pictures", sequence, NOW_S))
    for number in range(11):
        service.deliver(screenshot("pictures", NOW_S + number // 2, pic_url=f"/{number}.jpg"))
    service.deliver(push_stopped("pictures", sequence, NOW_S + 60))
    for limit in (1, 4, 13, 50):
        pages = service.pages(f"/v1/sessions/{sequence}/timeline", limit=limit)
        entries = [entry for page in pages for entry in page]
        assert len(entries) == len({entry["position"] for entry in entries}) == 13
        assert [entry["at"] for entry in entries] == sorted(entry["at"] for entry in entries)
        pictures = [page for page in service.pages(f"/v1/sessions/{sequence}/screenshots", limit=limit)]
        assert sum(len(page) for page in pictures) == 11


def test_the_cursor_walks_streams_and_those_that_are_live(
    service: Service, new_sequence: NewSequence
) -> None:
    names = [f"~walk-{number}" for number in range(7)]
    for number, name in enumerate(names):
        sequence = new_sequence()
        service.deliver(push_started(name, sequence, NOW_S))
        if number % 2:
            service.deliver(push_stopped(name, sequence, NOW_S + 1))
    service.read(f"/v1/sessions/{sequence}")
    found = [stream["stream_id"] for page in service.pages("/v1/streams", limit=3) for stream in page]
    assert [name for name in found if name in names] == names
    assert len(found) == len(set(found))
    live = [each for page in service.pages("/v1/streams", limit=2, presence="live") for each in page]
    assert [each["stream_id"] for each in live if each["stream_id"] in names] == names[::2]
    assert {each["presence"] for each in live} <= {"live", "suspect"}


def test_sessions_are_found_by_state_and_by_time_of_start(
    service: Service, new_sequence: NewSequence
) -> None:
    live, ended, silent = (new_sequence() for _ in range(3))
    service.deliver(push_started("states", live, NOW_S))
    service.deliver(push_started("states", ended, NOW_S - 100))
    service.deliver(push_stopped("states", ended, NOW_S - 50))
    service.deliver(push_started("states-silent", silent, NOW_S - 90_000))

    def found(**wanted: object) -> list[str]:
        items = service.read("/v1/sessions", limit=500, **wanted)["items"]
        return [each["sequence"] for each in items if each["sequence"] in (live, ended, silent)]

    assert found(state="live") == [live]
    assert found(state="ended") == [ended]
    assert found(state="suspect") == [silent]
    assert found(started_from=NOW_S - 100, started_to=NOW_S) == [ended]
    assert found(stream_id="states") == [live, ended]
    assert service.read(f"/v1/sessions/{silent}")["state_reasons"] == ["unheard"]


WRONG = [
    "/v1/sessions?cursor=x",
    "/v1/sessions?cursor=%00",
    "/v1/sessions?cursor=W10",
    "/v1/sessions?cursor=WyJzdHJlYW1zIiwiYSJd",
    "/v1/sessions?cursor=WyJzZXNzaW9ucy1kZXNjIiwiYSIsImIiLCJjIl0",
    "/v1/sessions?cursor=WyJzZXNzaW9ucy1kZXNjIiwxZTk5OSwiYiIsImMiXQ",
    "/v1/sessions?cursor=%F0%9F%98%80",
    "/v1/sessions?limit=0",
    "/v1/sessions?limit=501",
    "/v1/sessions?limit=-1",
    "/v1/sessions?limit=many",
    "/v1/sessions?limit=" + "9" * 5000,
    "/v1/sessions?state=paused",
    "/v1/sessions?order=up",
    "/v1/sessions?started_from=yesterday",
    "/v1/sessions?started_from=2025-11-24T00:00:00",
    "/v1/sessions?started_from=99999-11-24T00:00:00Z",
    "/v1/sessions?stream_id=%00",
    "/v1/sessions?stream_id=" + "x" * 300,
    "/v1/sessions?min_position=-1",
    "/v1/sessions?min_position=18446744073709551616",
    "/v1/streams?cursor=x",
    "/v1/streams?presence=offline",
    "/v1/events?after=-1",
    "/v1/events?after=9223372036854775808",
    "/v1/events?limit=501",
    "/v1/sessions/%00",
    "/v1/sessions/%00/timeline",
    "/v1/streams/%00",
    "/v1/streams/a%00b",
]
UNKNOWN = [
    "/v1/sessions/404404404",
    "/v1/sessions/404404404/timeline",
    "/v1/sessions/404404404/recordings",
    "/v1/sessions/404404404/screenshots",
    "/v1/sessions/" + "9" * 2000,
    "/v1/sessions/%F0%9F%98%80",
    "/v1/sessions/%ED%A0%80",
    "/v1/sessions/%FF%FE",
    "/v1/sessions/..%2F..%2Fetc%2Fpasswd",
    "/v1/streams/nobody",
    "/v1/streams/" + quote("' OR 1=1 --"),
    "/v1/nothing",
    "/nothing",
]


@pytest.mark.parametrize("path", WRONG)
def test_a_parameter_that_does_not_fit_is_a_400_that_says_what_was_expected(
    service: Service, path: str
) -> None:
    answer = service.get(path)
    assert answer.status == 400, answer
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == 400
    assert problem["detail"]


@pytest.mark.parametrize("path", UNKNOWN)
def test_what_nobody_has_told_of_is_a_404(service: Service, path: str) -> None:
    answer = service.get(path)
    assert answer.status == 404, answer
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_method_that_a_path_does_not_have_is_a_405_that_names_those_it_has(service: Service) -> None:
    answer = service.request("DELETE", "/v1/sessions")
    assert (answer.status, answer.headers["content-type"]) == (405, "application/problem+json")
    assert "GET" in answer.headers["allow"]


def test_a_cursor_belongs_to_its_list(service: Service, new_sequence: NewSequence) -> None:
    for _ in range(3):
        service.deliver(push_started("cursors", new_sequence(), NOW_S))
    page = service.read("/v1/sessions", stream_id="cursors", limit=1)
    for path in ("/v1/streams", "/v1/sessions?order=asc"):
        joined = "&" if "?" in path else "?"
        assert service.get(f"{path}{joined}cursor={page['next_cursor']}").status == 400


def test_a_position_that_is_not_reached_is_waited_for_and_then_said(service: Service) -> None:
    answer = service.get("/v1/sessions", min_position=2**62)
    assert answer.status == 409
    assert answer.json()["min_position"] == 2**62


def test_positions_are_numbers_and_sequences_are_text(service: Service, new_sequence: NewSequence) -> None:
    sequence = new_sequence()
    position = service.deliver(push_started("numbers", sequence, NOW_S)).position
    assert service.read(f"/v1/sessions/{sequence}")["position"] == position
    (entry,) = service.read(f"/v1/sessions/{sequence}/timeline")["items"]
    (event, *_) = service.read("/v1/events", after=position - 1 if position else 0)["items"]
    (delivery,) = service.read("/v1/deliveries", sequence=sequence)["items"]
    assert entry["position"] == event["position"] == delivery["position"] == position
    assert delivery["first_position"] == position
    assert event["sequence"] == delivery["sequence"] == sequence
    for projection in service.read("/v1/projections")["items"]:
        assert projection["position"] <= projection["head"]
        assert projection["lag_events"] >= 0


def test_the_events_follow_each_other_to_the_head(service: Service, new_sequence: NewSequence) -> None:
    positions = [service.deliver(push_started("follow", new_sequence(), NOW_S)).position for _ in range(5)]
    assert positions[0] is not None
    after, found = positions[0] - 1, []
    while items := service.read("/v1/events", after=after, limit=2)["items"]:
        found += [item["position"] for item in items]
        after = found[-1]
    assert found[:5] == positions
    (sessions, *_) = [each for each in service.read("/v1/projections")["items"] if each["name"] == "sessions"]
    assert sessions["head"] == found[-1]


def test_the_description_names_every_route(service: Service) -> None:
    for path in ("/schema", "/schema/openapi.json"):
        answer = service.get(path)
        assert answer.status == 200
        described = answer.json()
        assert described["openapi"].startswith("3.")
        assert {
            "/v1/sessions",
            "/v1/sessions/{sequence}",
            "/v1/sessions/{sequence}/timeline",
            "/v1/sessions/{sequence}/recordings",
            "/v1/sessions/{sequence}/screenshots",
            "/v1/streams",
            "/v1/streams/{stream_id}",
            "/v1/events",
            "/v1/projections",
            "/health/live",
            "/health/ready",
        } <= set(described["paths"])


def test_health_says_that_deliveries_can_be_kept(service: Service) -> None:
    assert service.get("/health/live").json() == {"status": "live"}
    assert service.get("/health/ready").json()["status"] == "ready"
