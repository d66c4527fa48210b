"""Odd histories, several troubles at once: refusals, reconnects, names, times and templates."""

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.acceptance.serving import Service, signed_now
from tests.acceptance.truth.room import ORDERS, Bodies, Room, Scenario, play, told_in
from tests.deliveries import push_started, push_stopped, recording, screenshot

HOUR = 3600
YEARS = 10 * 365 * 86_400


def refused(room: Room, name: str, at_s: int, errcode: int = 18, **more: Any) -> Bodies:
    return [room.start(name, at_s, **more), room.stop(name, at_s + 1, errcode=errcode, **more)]


def a_refused_rival_and_then_a_newer_push(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1200
    yield [
        room.start("a", t),
        *refused(room, "r", t + 300),
        *refused(room, "s", t + 400, 19),
        room.start("b", t + 600),
        room.stop("b", t + 700),
    ]
    assert room.session("a")["state_reasons"] == ["newer_push"]
    assert room.session("r")["stop"]["class"] == "refused"


def a_refused_rival_and_a_newer_push_of_a_moment_ago(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1200
    yield [room.start("a", t), *refused(room, "r", t + 300), room.start("b", room.now_s - 20)]
    assert room.session("a")["state"] == "live"  # the refused one is no evidence, the newer one is too new


def a_newer_push_between_refusals(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1200
    newer = [room.start("b", t + 300), room.stop("b", t + 400)]
    yield [room.start("a", t), *newer, *refused(room, "r", t + 299), *refused(room, "s", t + 500)]
    assert room.session("a")["state_reasons"] == ["newer_push"]


def a_push_that_stood_beside_a_newer_one_is_not_replaced_by_the_next(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1200
    yield [
        room.start("a", t),
        room.start("b", t + 300),
        room.error("a", t + 350),
        room.stop("b", t + 400),
        room.start("c", t + 600),
        room.stop("c", t + 700),
    ]
    assert (room.session("a")["state"], room.session("a")["state_reasons"]) == ("live", [])


def refusals_hold_no_media(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1200
    shots = [room.shot(t + at_s) for at_s in (100, 300, 301, 400, 500)]
    media = [*shots, room.file("f", t, t + 600)]
    stop_alone = room.stop("s", t + 400, errcode=19)
    yield [room.start("a", t), *refused(room, "r", t + 300), stop_alone, *media]
    assert room.confidences("a", "screenshots") == ["certain"] * 5
    assert room.confidences("a", "recordings") == ["certain"]
    for name in "rs":
        assert room.media(name, "screenshots") == room.media(name, "recordings") == []


def a_refusal_just_after_the_end(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1200
    rival = refused(room, "r", t + 102, stream_param="u=2")
    yield [
        room.start("a", t, stream_param="u=1"),
        room.stop("a", t + 100, stream_param="u=1"),
        *rival,
        room.shot(t + 102),
        room.shot(t + 103, stream_param="u=2"),
    ]
    assert [each["at"] for each in room.media("a", "screenshots")] == [_instant(t + 102)]
    assert room.confidences("r", "screenshots") == ["probable"]  # its own witness names it


def a_push_that_was_refused_after_a_while_alone(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1200
    yield [
        room.start("r", t),
        room.shot(t + 50),
        room.file("f", t, t + 90),
        room.stop("r", t + 100, errcode=19),
    ]
    assert room.session("r")["screenshots"]["count"] == room.session("r")["recordings"]["count"] == 1


def a_push_that_ran_and_was_cut_with_the_code_of_a_refusal(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1200
    yield [
        room.start("a", t),
        room.start("r", t + 100),
        room.shot(t + 150),
        room.stop("r", t + 200, errcode=19),
    ]
    held = room.confidences("a", "screenshots") + room.confidences("r", "screenshots")
    assert held == ["ambiguous"]  # it ran for a hundred seconds, whatever its end


def a_refusal_whose_stop_alone_came(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1200
    yield [
        room.start("a", t),
        room.stop("r", t + 300, errcode=18, push_duration="400"),
        room.shot(t + 100),
        room.shot(t + 500),
    ]
    assert room.session("a")["state"] == "live"
    assert room.confidences("a", "screenshots") == ["certain", "certain"]


def files_over_a_reconnect(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1200
    yield [
        room.start("a", t, stream_param="u=1"),
        room.stop("a", t + 100, stream_param="u=1"),
        room.start("b", t + 130, stream_param="u=2"),
        room.stop("b", t + 300, stream_param="u=2"),
        room.file("both", t, t + 300),
        room.file("first", t + 20, t + 90, stream_param="u=1"),
        room.file("second", t + 140, t + 290, stream_param="u=2"),
    ]
    assert [each["detail"]["file_id"] for each in room.media("a", "recordings")] == ["both", "first"]
    assert [each["detail"]["file_id"] for each in room.media("b", "recordings")] == ["both", "second"]
    assert room.confidences("a", "recordings") == ["probable", "certain"]
    assert room.confidences("b", "recordings") == ["probable", "certain"]
    assert room.session("a")["recordings"]["recorded_ms"] == 100_000
    assert room.session("b")["recordings"]["recorded_ms"] == 170_000


def a_late_start_gives_back_what_the_other_push_held(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1200
    shots = [room.shot(t + at_s) for at_s in (50, 250)]
    yield [room.start("a", t), *shots, room.stop("a", t + 100), room.start("b", t + 200)]
    assert room.confidences("a", "screenshots") == room.confidences("b", "screenshots") == ["certain"]


def task_files_with_fractions(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1200
    own = [
        room.file(f"own{n}", t + 60 * n, t + 60 * n + 60, task_id="own", duration=59.4, start_time=t + 60 * n)
        for n in range(3)
    ]
    yield [room.start("a", t, stream_param="u=1"), *own]
    session = room.session("a")
    assert (session["state"], session["anomalies"]) == ("live", [])
    assert session["recordings"]["files_ms"] == 3 * 59_400
    assert room.confidences("a", "recordings") == ["certain"] * 3


def fractions_as_text(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1200
    yield [
        room.start("a", t),
        room.file("f", t + 10, t + 70, duration="59.5", file_size="12"),
        room.stop("a", t + 100, push_duration="100000"),
    ]
    session = room.session("a")
    assert (session["recordings"]["files_ms"], session["anomalies"]) == (59_500, [])
    assert room.confidences("a", "recordings") == ["certain"]


def one_screenshot_name_on_two_domains(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1200
    one, two = {"app": "one.example.com"}, {"app": "Two.example.com:1935"}
    shots = [
        room.shot(t + at_s, pic_url="/constant.jpg", appname="live", **place)
        for at_s in (50, 60)
        for place in (one, two)
    ]
    yield [
        room.start("a", t, **one),
        room.start("b", t + 1, **two),
        *shots,
        room.stop("a", t + 100, **one),
        room.stop("b", t + 101, **two),
    ]
    assert room.confidences("a", "screenshots") == room.confidences("b", "screenshots") == ["certain"] * 2
    assert room.stream()["screenshots"] == 4


def milliseconds_everywhere(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1200
    ms = 1000
    yield [
        room.start("a", t * ms),
        room.shot(t * ms + 50 * ms),
        room.file("f", t, t + 60, start_time=t * ms, end_time=(t + 60) * ms, duration=60),
        room.stop("a", (t + 100) * ms, push_duration="100000"),
    ]
    session = room.session("a")
    assert (session["duration_ms"], session["duration_source"], session["anomalies"]) == (
        100_000,
        "reported",
        [],
    )
    assert room.confidences("a", "screenshots") == room.confidences("a", "recordings") == ["certain"]
    assert session["recordings"]["recorded_ms"] == 60_000


def everything_ten_years_ahead(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1200
    yield [
        room.start("a", t),
        room.start("a", t + YEARS, width=1),
        room.error("a", t + YEARS),
        room.shot(t + YEARS),
        room.file("f", t + YEARS, t + YEARS + 60),
        room.status(t + YEARS, "ended", "A"),
        room.start("b", t + YEARS),
    ]
    session = room.session("a")
    assert (session["state"], session["started_at"]) == ("live", _instant(t))
    assert "start_conflict" in room.anomalies("a")
    assert (session["recordings"]["count"], session["screenshots"]["count"]) == (0, 0)
    assert room.unattributed() == 3
    assert room.session("b")["started_at"] is None
    assert room.stream()["presence"] == "live"


def ten_years_ahead_in_milliseconds(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1200
    yield [room.start("a", t), room.stop("a", (t + YEARS) * 1000), room.shot((t + YEARS) * 1000)]
    session = room.session("a")
    assert (session["state"], session["ended_at"]) == ("ended", None)
    assert room.unattributed() == 1


def media_with_the_witness_of_one_of_two(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1200
    one, two = {"stream_param": "u=1"}, {"stream_param": "u=2"}
    yield [
        room.start("a", t, **one),
        room.start("b", t + 60, **two),
        room.shot(t + 100, **one),
        room.shot(t + 110, **two),
        room.file("f", t + 70, t + 130, **two),
        room.shot(t + 120, stream_param="u=3"),
        room.shot(t + 130),
        room.stop("a", t + 200, **one),
        room.stop("b", t + 210, **two),
    ]
    told = {
        each["at"]: each["attribution"]["confidence"]
        for name in "ab"
        for each in room.media(name, "screenshots")
    }
    assert "certain" not in (told[_instant(t + 120)], told[_instant(t + 130)])
    assert _instant(t + 100) in {each["at"] for each in room.media("a", "screenshots")}
    assert _instant(t + 110) in {each["at"] for each in room.media("b", "screenshots")}
    assert [each["detail"]["file_id"] for each in room.media("b", "recordings")] == ["f"]


def an_open_push_whose_witness_comes_after_a_newer_one(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1200
    yield [
        room.start("a", t, stream_param="u=1"),
        room.start("b", t + 100, stream_param="u=2"),
        room.stop("b", t + 200, stream_param="u=2"),
        room.shot(room.now_s - 20, stream_param="u=1"),
    ]
    assert room.session("a")["state"] == "live"
    assert len(room.media("a", "screenshots")) == 1


def _instant(at_s: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))


@pytest.mark.parametrize("scenario", told_in(globals()), ids=lambda scenario: scenario.__name__)
def test_an_odd_history_is_told_by_the_rules(service: Service, scenario: Scenario) -> None:
    play(service, scenario)


NAMES = ("a/b", "/a", "a//b", "../v1/x", "a%2Fb", "a?b#c", "a b+c", "直播/一", ".", "a;b=c&d")


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_is_found_by_its_name_whatever_stands_in_it(service: Service, name: str) -> None:
    for number, (order, arrange) in enumerate(ORDERS.items()):
        stream_id = f"{name}{number}" if name != "." else "." * (number + 1)
        sequence = str(2**62 + 1000 * NAMES.index(name) + number)  # the service is shared
        t = int(time.time()) - 600
        told: Bodies = [
            push_started(stream_id, sequence, t),
            screenshot(stream_id, t + 50, pic_url="/constant.jpg"),
            recording(stream_id, f"file/{sequence}", t + 60),
            push_stopped(stream_id, sequence, t + 100),
        ]
        for body in arrange(told):
            assert not isinstance(body, bytes)
            assert service.post(signed_now(body)).status == 200
        session = service.read(f"/v1/sessions/{sequence}")
        assert (session["stream_id"], session["state"]) == (stream_id, "ended"), order
        counted = (session["recordings"]["count"], session["screenshots"]["count"])
        assert counted == (1, 1), order
        stream = service.read(f"/v1/streams/{quote(stream_id, safe='')}")
        assert (stream["stream_id"], stream["sessions"]) == (stream_id, 1), order
        (broadcast,) = service.read(f"/v1/streams/{quote(stream_id, safe='')}/broadcasts")["items"]
        assert broadcast["recordings"]["count"] == 1
        (listed,) = service.read("/v1/sessions", stream_id=stream_id)["items"]
        assert listed["sequence"] == sequence
