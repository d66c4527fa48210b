"""No accusation without evidence: what speaks against a push that still runs, and what does not."""

from collections.abc import Iterator

import pytest

from tests.acceptance.serving import Service
from tests.acceptance.truth.room import Bodies, Room, Scenario, play, told_in

HOUR = 3600


def only_pushes_are_configured(room: Room) -> Iterator[Bodies]:
    yield [room.start("a", room.now_s - 2 * HOUR)]
    session = room.session("a")
    assert (session["state"], session["state_reasons"]) == ("live", [])
    assert room.stream()["presence"] == "live"


def pushes_and_recorders_reports_are_configured(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 2 * HOUR
    yield [
        room.start("a", t),
        room.status(t, "start_succeeded", "A"),
        room.status(t + 3, "start_succeeded", "B"),
    ]
    session = room.session("a")
    assert (session["state"], session["state_reasons"]) == ("live", [])


def a_recorder_reports_again_and_then_nothing_comes(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 8 * HOUR
    reports = [room.status(t + at, "start_succeeded", task) for at, task in ((1, "A"), (HOUR, "B"))]
    yield [room.start("a", t), *reports]
    assert room.session("a")["state_reasons"] == ["silence"]


def never_heard_of_for_a_day(room: Room) -> Iterator[Bodies]:
    yield [room.start("a", room.now_s - 25 * HOUR)]
    session = room.session("a")
    assert (session["state"], session["state_reasons"]) == ("suspect", ["unheard"])
    assert (session["duration_ms"], session["duration_source"]) == (0, "last_sign")
    assert room.stream()["presence"] == "suspect"


def the_next_hourly_file_is_still_being_written(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 3 * HOUR - 3000
    yield [room.start("a", t), *(room.file(f"f{n}", t + n * HOUR, t + (n + 1) * HOUR) for n in range(3))]
    assert room.session("a")["state"] == "live"


def one_short_file_alone(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1200
    yield [room.start("a", t), room.file("f", t, t + 60)]
    assert room.session("a")["state"] == "live"


def one_of_two_tasks_has_ended(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1200
    began = [room.status(t + 1, "start_succeeded", task) for task in "AB"]
    yield [room.start("a", t), *began, room.status(t + 60, "ended", "A")]
    assert room.session("a")["state"] == "live"


def all_tasks_have_ended(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1200
    ended = [room.status(t + 60, "ended", task) for task in "AB"]
    yield [room.start("a", t), *ended]
    assert room.session("a")["state_reasons"] == ["recording_ended"]


def a_fragment_after_a_file_of_half_an_hour(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 2400
    yield [room.start("a", t), room.file("f1", t, t + 1800), room.file("f2", t + 1800, t + 1810)]
    assert room.session("a")["state"] == "live"


def a_task_of_somebodys_own_ended(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 2000
    shared = {"task_id": "own"}
    files = [room.file(f"f{n}", t + 60 * n, t + 60 * n + 60, **shared) for n in range(2)]
    yield [room.start("a", t, stream_param="u=1"), *files]
    assert room.session("a")["state"] == "live"


def a_rival_that_was_refused(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1200
    yield [room.start("a", t), room.start("b", t + 300), room.stop("b", t + 301, errcode=18)]
    session = room.session("a")
    assert (session["state"], session["state_reasons"]) == ("live", [])


def a_newer_push_and_no_sign_since(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1200
    yield [room.start("a", t), room.start("b", t + 300), room.stop("b", t + 400)]
    assert room.session("a")["state_reasons"] == ["newer_push"]


def a_backup_that_began_with_it(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1200
    yield [room.start("main", t), room.start("backup", t + 4)]
    assert [room.session(name)["state"] for name in ("main", "backup")] == ["live", "live"]


def a_push_after_the_backup_that_began_with_it(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1200
    yield [room.start("main", t), room.start("backup", t + 4), room.start("next", t + 300)]
    states = {name: room.session(name)["state_reasons"] for name in ("main", "backup", "next")}
    assert states == {"main": ["newer_push"], "backup": ["newer_push"], "next": []}
    past = room.service.read(f"/v1/sessions/{room.seq('main')}", as_of=t + 299)
    assert (past["state"], past["state_reasons"]) == ("live", [])


def silent_beyond_its_own_rhythm(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 3 * HOUR
    yield [room.start("a", t), *(room.shot(t + 10 * n) for n in range(1, 6))]
    session = room.session("a")
    assert session["state_reasons"] == ["silence"]
    assert (session["duration_ms"], session["duration_source"]) == (50_000, "last_sign")
    (broadcast,) = room.service.read(f"/v1/streams/{room.stream_id}/broadcasts")["items"]
    assert broadcast["on_air_ms"] == 50_000


def silent_within_its_own_rhythm(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 5 * HOUR
    yield [room.start("a", t), room.shot(t + HOUR + 1800), room.shot(t + 3 * HOUR)]
    assert room.session("a")["state"] == "live"


def silent_after_a_file_and_half_an_hour(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 4 * HOUR
    yield [room.start("a", t), room.file("f", t, t + HOUR), room.shot(t + HOUR + 1800)]
    for after_s, reasons in ((2 * HOUR, []), (2 * HOUR + 1, ["silence"])):
        past = room.service.read(f"/v1/sessions/{room.seq('a')}", as_of=t + HOUR + 1800 + after_s)
        assert past["state_reasons"] == reasons
    assert room.session("a")["state_reasons"] == ["silence"]


def live_among_many_newer_ones(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 2 * HOUR
    newer: Bodies = [room.start(f"n{n}", t + 60 + n) for n in range(120)]
    yield [room.start("main", t), *newer, room.error("main", room.now_s - 5)]
    assert room.session("main")["state"] == "live"
    stream = room.stream()
    assert (stream["presence"], stream["open_sessions_count"]) == ("live", 121)
    assert len(stream["open_sessions"]) < 121
    named = room.service.pages("/v1/streams", presence="live", limit=500)
    assert room.stream_id in {each["stream_id"] for page in named for each in page}


def a_type_that_is_not_modelled_makes_nobody_live(room: Room) -> Iterator[Bodies]:
    yield [{"event_type": 999, "stream_id": room.stream_id, "sequence": room.seq("a"), "x": 1}]
    assert room.session("a")["state"] == "suspect"
    assert room.stream()["presence"] != "live"


@pytest.mark.parametrize("scenario", told_in(globals()), ids=lambda scenario: scenario.__name__)
def test_presence_is_told_by_what_would_have_come(service: Service, scenario: Scenario) -> None:
    play(service, scenario)
