"""No certainty against a witness: intervals of recordings, places, stream_params, and where writing began."""

from collections.abc import Iterator

import pytest

from tests.acceptance.serving import Service
from tests.acceptance.truth.room import Bodies, Room, Scenario, play, told_in


def another_stream_param_inside_the_only_push(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1000
    media = [room.shot(t + 50, stream_param="u=b"), room.file("f", t + 10, t + 90, stream_param="u=b")]
    yield [room.start("a", t, stream_param="u=a"), *media, room.stop("a", t + 100)]
    assert room.confidences("a", "screenshots") == room.confidences("a", "recordings") == ["probable"]
    assert any("differs" in why for why in room.media("a", "screenshots")[0]["attribution"]["because"])


def a_file_of_the_first_push_closed_while_the_second_ran(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1000
    file = room.file("f", t + 301, t + 400, start_time=t + 1, stream_param="k=1")
    yield [
        room.start("one", t, stream_param="k=1"),
        room.stop("one", t + 100, stream_param="k=1"),
        room.start("two", t + 290, stream_param="k=2"),
        file,
        room.stop("two", t + 600, stream_param="k=2"),
    ]
    assert room.confidences("one", "recordings") == ["probable"]
    assert room.confidences("two", "recordings") == []


def the_same_without_any_stream_param(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1000
    file = room.file("f", t + 301, t + 400, start_time=t + 1)
    one, two = [room.start("one", t), room.stop("one", t + 100)], [room.start("two", t + 290)]
    yield [*one, *two, file, room.stop("two", t + 600)]
    assert room.confidences("one", "recordings") == ["probable"]
    assert "certain" not in room.confidences("two", "recordings")


def a_duration_of_zero_is_the_whole(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1000
    file = room.file("f", t + 1, t + 140, duration=0)
    yield [room.start("a", t), room.stop("a", t + 100), file]
    (entry,) = room.media("a", "recordings")
    assert entry["attribution"]["confidence"] == "probable"
    assert room.session("a")["recordings"]["recorded_ms"] == 99_000


def a_duration_longer_than_the_writing(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 5000
    file = room.file("f", t + 1100, t + 3952, duration=4434)
    before = [room.start("before", t), room.stop("before", t + 1000)]
    yield [*before, room.start("a", t + 1095), file, room.stop("a", t + 3960)]
    assert room.confidences("before", "recordings") == []
    assert room.confidences("a", "recordings") == ["certain"]


def a_duration_with_a_fraction(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1000
    file = room.file("f", t + 10, t + 80, duration=69.403)
    yield [room.start("a", t), file, room.stop("a", t + 100)]
    session = room.session("a")
    assert (session["recordings"]["files_ms"], session["anomalies"]) == (69_403, [])
    assert room.media("a", "recordings")[0]["detail"]["duration_ms"] == 69_403


def the_short_last_part_of_a_resumed_file(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1000
    pushes = [("a", 0, 100), ("b", 110, 200), ("c", 203, 206)]
    told = [
        each
        for name, begin, end in pushes
        for each in (room.start(name, t + begin), room.stop(name, t + end))
    ]
    yield [*told, room.file("f", t, t + 206)]
    for name in "abc":
        assert room.confidences(name, "recordings") == ["probable"], name
    recorded = [room.session(name)["recordings"]["recorded_ms"] for name in "abc"]
    assert recorded == [100_000, 90_000, 3_000]


def hosts_are_one_without_case_and_default_port(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1000
    shots = [
        room.shot(t + 10 * n, app=app)
        for n, app in enumerate(("push.example.com", "PUSH.example.com", "push.example.com:1935"), start=1)
    ]
    yield [
        room.start("a", t, app="Push.Example.com"),
        *shots,
        room.stop("a", t + 100, app="push.example.com"),
    ]
    assert room.confidences("a", "screenshots") == ["certain"] * 3
    assert (room.unattributed(), room.anomalies("a")) == (0, [])


def an_address_and_a_domain_with_an_equal_stream_param(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1000
    pushed = {"app": "192.0.2.9", "stream_param": "k=1"}
    file = room.file("f", t + 10, t + 90, app="push.example.com", stream_param="k=1")
    stranger = room.shot(t + 20, app="push.example.com", stream_param="k=2")
    yield [room.start("a", t, **pushed), file, stranger, room.stop("a", t + 100, **pushed)]
    assert room.confidences("a", "recordings") == ["probable"]
    assert room.unattributed() == 1


def the_reach_of_a_stop_alone_ends_at_a_closed_push(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 5000
    closed = [room.start("closed", t), room.stop("closed", t + 1000)]
    yield [*closed, room.shot(t + 500), room.shot(t + 1500), room.stop("alone", t + 2000)]
    assert room.confidences("closed", "screenshots") == ["certain"]
    assert room.confidences("alone", "screenshots") == ["probable"]


def a_file_that_began_with_the_first_of_two_that_began_together(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1000
    yield [room.start("main", t), room.start("backup", t + 4), room.file("f", t, t + 600)]
    assert room.confidences("main", "recordings") == ["probable"]
    assert room.confidences("backup", "recordings") == []
    (entry,) = room.media("main", "recordings")
    assert entry["attribution"]["alternatives"] == [room.seq("backup")]


def the_same_stream_param_on_all_tells_nothing(room: Room) -> Iterator[Bodies]:
    t, same = room.now_s - 1000, {"stream_param": "k=1"}
    one = [room.start("one", t, **same), room.stop("one", t + 100, **same)]
    two = [room.start("two", t + 290, **same), room.stop("two", t + 600, **same)]
    yield [*one, *two, room.file("f", t + 301, t + 400, start_time=t + 1, **same)]
    assert room.confidences("one", "recordings") == ["probable"]
    assert room.confidences("two", "recordings") == []


def a_file_that_began_with_the_first_of_two_with_one_stream_param(room: Room) -> Iterator[Bodies]:
    t, same = room.now_s - 1000, {"stream_param": "k=1"}
    starts = [room.start("main", t, **same), room.start("backup", t + 4, **same)]
    yield [*starts, room.file("f", t, t + 600, **same)]
    assert room.confidences("main", "recordings") == ["probable"]
    assert room.confidences("backup", "recordings") == []


def a_file_of_a_main_push_whose_backup_came_and_went(room: Room) -> Iterator[Bodies]:
    t, backup = room.now_s - 2000, {"stream_param": "u=b"}
    told = [room.start("backup", t + 600, **backup), room.stop("backup", t + 700, **backup)]
    file = room.file("f", t + 500, t + 1000, stream_param="u=m")
    yield [room.start("main", t, stream_param="u=m"), *told, file]
    assert room.confidences("main", "recordings") == ["probable"]
    assert room.media("backup", "recordings") == []
    (entry,) = room.media("main", "recordings")
    assert entry["attribution"]["alternatives"] == [room.seq("backup")]


def a_witness_alone_names_no_others(room: Room) -> Iterator[Bodies]:
    t, same = room.now_s - 2000, {"stream_param": "k=1"}
    file = room.file("f", t + 150, t + 190, start_time=t + 90, **same)
    yield [room.start("a", t, **same), room.stop("a", t + 100, **same), file]
    (entry,) = room.media("a", "recordings")
    assert entry["attribution"]["codes"] == ["stream_param"]  # and not "several": there is no other


@pytest.mark.parametrize("scenario", told_in(globals()), ids=lambda scenario: scenario.__name__)
def test_attribution_goes_by_time_and_by_its_witnesses(service: Service, scenario: Scenario) -> None:
    play(service, scenario)
