"""What is the same fact, what it is called, when it can have happened, and what totals and counts say."""

import json
from collections.abc import Iterator

import pytest

from streamledger.domain.instants import instant_ms
from tests.acceptance.serving import Service, signed_now
from tests.acceptance.truth.room import Bodies, Room, Scenario, play, told_in

DAY = 86_400


def one_file_name_for_every_screenshot(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1000
    yield [room.start("a", t), *(room.shot(t + 10 * n, pic_url="/live.jpg") for n in range(1, 6))]
    assert room.session("a")["screenshots"]["count"] == 5
    assert all(each["conflicts"] == 0 for each in room.media("a", "screenshots"))


def the_same_file_name_a_day_later(room: Room) -> Iterator[Bodies]:
    t = room.now_s - DAY - 1000
    first = [room.start("a", t), room.shot(t + 10, pic_url="/s.jpg"), room.stop("a", t + 100)]
    then = [
        room.start("b", t + DAY),
        room.shot(t + DAY + 10, pic_url="/s.jpg"),
        room.stop("b", t + DAY + 100),
    ]
    yield [*first, *then]
    for name in "ab":
        assert room.session(name)["screenshots"]["count"] == 1


def one_name_under_two_push_domains(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1000
    apps = ("one.example", "two.example")
    starts = [room.start(app, t, app=app) for app in apps]
    yield [*starts, *(room.shot(t + 10, app=app, pic_url="/s.jpg") for app in apps)]
    assert [room.session(app)["screenshots"]["count"] for app in apps] == [1, 1]


def contents_that_mean_the_same(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1000
    starts = [
        room.start("a", t),
        room.start("a", t, event_time=str(t)),
        room.start("a", t, width=None, errmsg=""),
    ]
    stops = [room.stop("a", t + 60, push_duration="60000"), room.stop("a", t + 60, push_duration=60_000)]
    yield [*starts, *stops]
    assert room.anomalies("a") == []
    entries = room.service.read(f"/v1/sessions/{room.seq('a')}/timeline")["items"]
    assert [entry["conflicts"] for entry in entries] == [0, 0]
    fields = room.service.read(f"/v1/sessions/{room.seq('a')}/explain")["fields"]
    assert [each["field"] for each in fields if each["overruled"]] == []


def times_that_cannot_be_overrule_nothing(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1000
    cannot_be = [0, 946_684_800, t + 10 * 365 * DAY, room.now_s + 3600]
    yield [room.start("a", t), *(room.start("a", at_s) for at_s in cannot_be), room.stop("a", t + 100)]
    session = room.session("a")
    assert session["started_at"] == instant(t)
    assert [each["code"] for each in session["anomalies"]] == ["start_conflict", "unreadable_field"]
    (broadcast,) = room.service.read(f"/v1/streams/{room.stream_id}/broadcasts")["items"]
    assert broadcast["on_air_ms"] == 100_000


def a_stop_ten_years_ahead(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1000
    yield [room.start("a", t), room.stop("a", t + 100), room.stop("a", t + 10 * 365 * DAY)]
    assert room.session("a")["ended_at"] == instant(t + 100)


def a_duration_that_cannot_be_infers_no_start(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1000
    yield [room.stop("a", t, push_duration=str(30 * 365 * DAY * 1000)), room.shot(t - 100)]
    session = room.session("a")
    assert (session["started_at"], session["ended_at"]) == (None, instant(t))
    assert room.confidences("a", "screenshots") == ["probable"]
    (broadcast,) = room.service.read(f"/v1/streams/{room.stream_id}/broadcasts")["items"]
    assert broadcast["on_air_ms"] == 0


def a_stop_whose_time_cannot_be_is_told_by_its_duration(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1000
    shots = [room.shot(t + 50), room.shot(t + 300)]
    yield [room.start("a", t), room.stop("a", 0, push_duration="100000"), *shots]
    assert (room.session("a")["duration_ms"], room.confidences("a", "screenshots")) == (100_000, ["certain"])
    (broadcast,) = room.service.read(f"/v1/streams/{room.stream_id}/broadcasts")["items"]
    assert broadcast["on_air_ms"] == 100_000


def a_time_in_milliseconds(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1000
    yield [room.start("a", t, event_time=t * 1000 + 250), room.stop("a", t + 100)]
    session = room.session("a")
    assert session["started_at"] == instant(t).replace("Z", ".250Z")
    assert session["anomalies"] == []


def three_formats_of_one_interval(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1000
    files = [room.file(each, t + 5, t + 595, file_format=each) for each in ("flv", "hls", "mp4")]
    yield [room.start("a", t), *files, room.stop("a", t + 600)]
    totals = room.session("a")["recordings"]
    assert (totals["count"], totals["recorded_ms"], totals["files_ms"]) == (3, 590_000, 1_770_000)


def many_different_stops(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1000
    yield [room.start("a", t), *(room.stop("a", t + 60 + n) for n in range(12))]
    (anomaly,) = (each for each in room.session("a")["anomalies"] if each["code"] == "stop_conflict")
    assert anomaly["detail"] == "at least 8 different stops were delivered"
    entries = room.service.read(f"/v1/sessions/{room.seq('a')}/timeline")["items"]
    assert [(each["conflicts"], each["conflicts_at_least"]) for each in entries] == [(0, False), (8, True)]


def a_sequence_that_comes_again_after_its_stop(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1000
    yield [room.start("a", t), room.stop("a", t + 100), room.start("a", t + 300)]
    assert room.anomalies("a") == ["start_after_stop", "start_conflict"]
    assert room.session("a")["state"] == "ended"


def a_channel_alone_names_the_stream(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1000
    told = [room.start("a", t), room.shot(t + 10), room.stop("a", t + 100)]
    yield [
        {name: value for name, value in each.items() if name != "stream_id"} | {"channel_id": room.stream_id}
        for each in told
    ]
    assert room.session("a")["screenshots"]["count"] == 1
    assert room.stream()["sessions"] == 1


def two_names_in_gb18030(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1000
    names = [f"{room.stream_id}-直播{last}" for last in "间乗"]
    told: Bodies = []
    for number, name in enumerate(names):
        shared = {"stream_id": name, "channel_id": name}
        bodies = [room.start(name, t) | shared, room.shot(t + 10 + number) | shared]
        told += [
            json.dumps(json.loads(signed_now(each)), ensure_ascii=False).encode("gb18030") for each in bodies
        ]
    yield told
    for name in names:
        room.stream_id = name
        stream = room.stream()
        assert (stream["stream_id"], stream["sessions"], stream["screenshots"]) == (name, 1, 1)


def names_that_differ_in_what_cannot_be_read(room: Room) -> Iterator[Bodies]:
    start, stream_id = signed_now(room.start("a", room.now_s - 1000)), room.stream_id
    sent = [b"\xff", rb"\\xff", rb"\ud800", rb"\udc00", rb"\ufffd"]
    yield [start.replace(stream_id.encode(), stream_id.encode() + each) for each in sent]
    for kept in (r"�\xff", r"\xff", r"�\ud800", r"�\udc00", "�"):
        room.stream_id = stream_id + kept
        assert (room.stream()["stream_id"], room.stream()["sessions"]) == (room.stream_id, 1)


def inside_an_inferred_push(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1000
    yield [room.stop("a", t + 600, push_duration="600000")]
    path = f"/v1/sessions/{room.seq('a')}"
    past = room.service.read(path, as_of=t + 300)
    assert (past["state"], past["started_at"], past["start_source"]) == ("live", instant(t), "inferred")
    assert (past["duration_ms"], past["ended_at"]) == (300_000, None)
    assert room.service.get(path, as_of=t - 1).status == 404
    assert room.service.get(path, as_of=room.now_s + 365 * DAY).status == 400


def instant(at_s: int) -> str:
    return instant_ms(at_s * 1000)


def a_name_that_holds_a_secret(room: Room) -> Iterator[Bodies]:
    t, secret = room.now_s - 1000, "0a1b2c3d4e5f"
    whole = f"{room.stream_id}?txSecret={secret}&txTime=5F"
    other = whole.replace(secret, "5f4e3d2c1b0a")
    told = [room.start("a", t), room.shot(t + 10), room.stop("a", t + 100)]
    yield [*(each | {"stream_id": whole} for each in told), room.start("b", t) | {"stream_id": other}]
    sessions = {room.service.read(f"/v1/sessions/{room.seq(name)}")["stream_id"]: name for name in ("a", "b")}
    assert len(sessions) == 2
    for shown, name in sessions.items():
        assert (secret in shown, "REDACTED" in shown) == (False, True)
        for asked in (shown, {"a": whole, "b": other}[name]):
            room.stream_id = asked
            assert room.stream()["stream_id"] == shown
            (session,) = room.service.read("/v1/sessions", stream_id=asked)["items"]
            assert session["sequence"] == room.seq(name)
            listed = room.service.read("/v1/deliveries", stream_id=asked)["items"]
            assert {each["stream_id"] for each in listed} == {shown}
    events = room.service.read("/v1/events", after=max(0, room.service.last_position - 10))["items"]
    assert secret not in json.dumps(events)
    assert {event["notification"]["stream_id"] for event in events[-2:]} <= sessions.keys()


def what_had_to_be_mended_is_noted(room: Room) -> Iterator[Bodies]:
    t = room.now_s - 1000
    start = room.start("a", t, event_time=t * 1000)
    del start["stream_id"]
    yield [start | {"channel_id": room.stream_id}]
    (first, *_) = reversed(room.service.read(f"/v1/sessions/{room.seq('a')}/deliveries")["items"])
    told = room.service.read(f"/v1/deliveries/{first['position']}")
    assert told["mended"] == ["channel_id", "milliseconds"]


def texts_of_a_session_are_bounded(room: Room) -> Iterator[Bodies]:
    t, param = room.now_s - 1000, "k=" + "x" * 9000
    shots = [room.shot(t + 10, stream_param=param), room.shot(t + 20, stream_param=param + "y")]
    yield [room.start("a", t, stream_param=param, errmsg="e" * 9000), *shots, room.stop("a", t + 100)]
    assert room.confidences("a", "screenshots") == ["certain", "probable"]


@pytest.mark.parametrize("scenario", told_in(globals()), ids=lambda scenario: scenario.__name__)
def test_facts_are_what_they_mean(service: Service, scenario: Scenario) -> None:
    play(service, scenario)
