"""Plain media are judged and counted as the ordinary rules judge and count them."""

from typing import Any

import pytest

from streamledger.domain.events import Delivery, event_name
from streamledger.readmodel.fold.facts import Event, Fact, PlainMedia, as_fact, read_event
from tests.oracle.memory_view import MemoryView
from tests.received import BEGAN_S, screenshot, signed, started, stopped


def event(position: int, body: dict[str, Any]) -> Event:
    delivery = Delivery(body=signed(body, BEGAN_S), received_at_us=(BEGAN_S + position) * 1_000_000)
    return read_event(position, event_name(body["event_type"]), "room", delivery)


def recording(from_s: int, until_s: int, **more: Any) -> dict[str, Any]:
    """Event type 100."""
    times = {"start_time": BEGAN_S + from_s, "end_time": BEGAN_S + until_s}
    return {"event_type": 100, "stream_id": "room", "file_id": f"{from_s}", **times, **more}


def both_ways(*bodies: dict[str, Any]) -> MemoryView:
    """The tables of these bodies; asserts that they are the same where none is taken for plain."""
    events = [event(position, body) for position, body in enumerate(bodies, 1)]
    plain, beside = MemoryView(), MemoryView()
    plain.take_in(events)
    beside.take_in([as_fact(each) for each in events])
    assert sorted(map(repr, plain.all_rows())) == sorted(map(repr, beside.all_rows()))
    return plain


def pushes(*stretches: tuple[int, int], **more: Any) -> list[dict[str, Any]]:
    return [
        body | more
        for number, (from_s, until_s) in enumerate(stretches, 7)
        for body in (
            started("room", str(number), BEGAN_S + from_s),
            stopped("room", str(number), BEGAN_S + until_s),
        )
    ]


@pytest.mark.parametrize("media", [screenshot("room", BEGAN_S + 30), recording(20, 40)])
@pytest.mark.parametrize(
    ("app", "appname", "sequence"),
    [("a.example", "live", "7"), (None, None, "7"), ("b.example", "live", ""), ("a.example", "vod", "")],
)
def test_the_place_is_looked_at_in_the_lane_too(
    media: dict[str, Any], app: str | None, appname: str | None, sequence: str
) -> None:
    place = {"app": app, "appname": appname} if app else {}
    assert isinstance(event(1, media | place), PlainMedia)
    tables = both_ways(*pushes((0, 60), app="a.example", appname="live"), media | place)
    rows = tables.timeline_rows.values()
    assert [row.sequence for row in rows if not row.kind.startswith("push")] == [sequence]


def test_a_recording_over_two_pushes_has_a_row_and_a_part_in_each() -> None:
    file = recording(10, 190, duration=180, file_size=4000)
    assert isinstance(event(1, file), PlainMedia)
    tables = both_ways(*pushes((0, 90), (100, 200)), file, recording(20, 80, file_size=500))
    rows = [row for row in tables.timeline_rows.values() if row.kind == "recording"]
    assert sorted((row.sequence, row.key) for row in rows) == [("7", "10"), ("7", "20"), ("8", "10")]
    totals = {
        row.sequence: (row.recordings, row.files_ms, row.recording_bytes)
        for row in tables.session_rows.values()
    }
    assert totals == {"7": (2, 240_000, 4500), "8": (1, 180_000, 4000)}


@pytest.mark.parametrize(("from_s", "until_s"), [(-20, 40), (20, 80), (-20, 80), (58, 64), (70, 90)])
def test_a_recording_that_sticks_out_of_its_only_push_is_not_certain(from_s: int, until_s: int) -> None:
    tables = both_ways(*pushes((0, 60)), recording(from_s, until_s))
    (row,) = (row for row in tables.timeline_rows.values() if row.kind == "recording")
    assert not row.sequence or row.confidence in ("probable", "ambiguous")


def test_a_recording_that_came_twice_is_beside_the_lane() -> None:
    tables = both_ways(*pushes((0, 60)), recording(20, 40), recording(20, 40), recording(5, 15))
    assert {row.key: row.deliveries for row in tables.timeline_rows.values() if row.kind == "recording"} == {
        "20": 2,
        "5": 1,
    }


@pytest.mark.parametrize(
    "odd",
    [
        {"end_time": BEGAN_S + 10},
        {"start_time": str(BEGAN_S)},
        {"file_id": " 20"},
        {"file_id": "20\x7f"},
        {"video_url": " a"},
        {"sequence": "7"},
    ],
)
def test_an_odd_recording_is_not_for_the_lane(odd: dict[str, Any]) -> None:
    assert isinstance(event(1, recording(20, 40) | odd), Fact)
    both_ways(*pushes((0, 60)), recording(20, 40) | odd)
