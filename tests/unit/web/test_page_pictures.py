"""The geometry of the pictures: axes, lanes, bars, and what a session's picture is made of."""

from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streamledger.domain.answers import (
    AttributionAnswer,
    DeliveryTotals,
    RecordingTotals,
    ScreenshotTotals,
    Session,
    TimelineEntry,
)
from streamledger.domain.delivery_answers import AuditDay
from streamledger.domain.instants import MS_MAX, instant_ms
from streamledger.readmodel.moments.growth import EntryDelivery
from streamledger.web.pages import band as band_module
from streamledger.web.pages.axis import TICKS_MAX, axis_over
from streamledger.web.pages.band import LANES_MAX, band_of
from streamledger.web.pages.plots import HEIGHT, STACKED_TOP, days_of, plot_of, plots_of
from streamledger.web.pages.session_picture import LEFT, RIGHT, picture_of

T0 = 1_713_731_478_000
NOW = T0 + 3_600_000

SESSION = Session(
    sequence="1",
    stream_id="room-1",
    app=None,
    appname=None,
    state="ended",
    state_reasons=[],
    started_at=instant_ms(T0),
    start_source="reported",
    ended_at=instant_ms(T0 + 600_000),
    duration_ms=600_000,
    duration_source="reported",
    stop=None,
    node=None,
    user_ip=None,
    stream_param=None,
    width=None,
    height=None,
    recordings=RecordingTotals(),
    screenshots=ScreenshotTotals(),
    deliveries=DeliveryTotals(),
    anomalies=[],
    position=9,
)


def session(begin_s: int | None, end_s: int | None, state: str = "ended", sequence: str = "1") -> Session:
    return msgspec.structs.replace(
        SESSION,
        sequence=sequence,
        state=state,
        started_at=None if begin_s is None else instant_ms(T0 + begin_s * 1000),
        ended_at=None if end_s is None else instant_ms(T0 + end_s * 1000),
    )


def entry(kind: str, at_s: int, until_s: int | None = None, **more: Any) -> TimelineEntry:
    given = {
        "position": at_s,
        "delay_ms": 1000,
        "deliveries": 1,
        "detail": {},
        "attribution": None,
        **more,
    }
    return TimelineEntry(
        at=instant_ms(T0 + at_s * 1000),
        until=None if until_s is None else instant_ms(T0 + until_s * 1000),
        kind=kind,
        received_at=instant_ms(T0),
        conflicts=0,
        **given,
    )


@given(st.integers(0, MS_MAX), st.integers(0, MS_MAX))
def test_an_axis_has_few_ticks_in_order_and_keeps_every_instant_within(first: int, second: int) -> None:
    axis = axis_over(min(first, second), max(first, second), 10, 990)
    ticks = axis.ticks()
    assert len(ticks) <= TICKS_MAX + 1
    assert all(left.x < right.x for left, right in pairwise(ticks))
    assert all(10 <= axis.x(ms) <= 990 for ms in (first, second, 0, MS_MAX))
    assert axis.x(min(first, second)) <= axis.x(max(first, second))


def test_ticks_are_round_and_name_the_day_when_several_pass() -> None:
    labels = [tick.label for tick in axis_over(T0, T0 + 4 * 3_600_000, 0, 1000).ticks()]
    assert labels == ["04-21 21:00", "22:00", "23:00", "04-22 00:00"]


def test_sessions_that_overlap_lie_in_lanes_and_others_in_one() -> None:
    band = band_of([session(0, 100, sequence="a"), session(50, 150, sequence="b"), session(200, 300)], NOW)
    assert band is not None
    assert [bar.lane for bar in band.bars] == [0, 1, 0]
    assert band.lanes == 2


def test_however_many_overlap_the_lanes_have_an_end() -> None:
    band = band_of([session(0, 100, sequence=str(number)) for number in range(40)], NOW)
    assert band is not None
    assert band.lanes == LANES_MAX
    assert len(band.bars) == 40


def test_a_session_without_a_stop_reaches_to_now_and_one_without_a_start_is_a_mark() -> None:
    band = band_of([session(0, None, "live"), session(None, 60, sequence="2")], T0 + 120_000)
    assert band is not None
    live, mark = band.bars
    assert live.width > 0.95 * (band_module.RIGHT - band_module.LEFT)
    assert mark.width == 3.0
    assert band_of([session(None, None)], NOW) is None


def test_a_sessions_picture_has_a_lane_for_each_format_and_only_for_what_there_is() -> None:
    certain = AttributionAnswer(confidence="certain", because=[])
    entries = [
        entry("push_started", 0),
        entry("recording", 0, 300, detail={"file_format": "hls"}, attribution=certain),
        entry("recording", 300, 600, detail={"file_format": "hls"}),
        entry("recording", 0, 600, detail={"file_format": "mp4"}),
        entry("screenshot", 30, detail={"pic_full_url": "https://a.example.com/1.jpg"}),
        entry("screenshot", 60, detail={"pic_url": "/2.jpg"}),
        entry("push_stopped", 600),
    ]
    picture = picture_of(SESSION, entries, NOW)
    assert picture is not None
    assert [(lane.name, lane.fact) for lane in picture.lanes] == [
        ("lane_push", ""),
        ("lane_recording", "hls"),
        ("lane_recording", "mp4"),
        ("lane_screenshots", ""),
        ("lane_deliveries", ""),
    ]
    assert len(picture.blocks) == 3
    assert [mark.image for mark in picture.screenshots] == ["https://a.example.com/1.jpg", None]
    assert picture.now_x is None
    assert len(picture.deliveries) == 7
    assert all(LEFT <= mark.x <= RIGHT for mark in picture.deliveries)


def test_deliveries_are_marked_by_how_they_came_and_late_ones_stand_higher() -> None:
    entries = [
        entry("screenshot", 0),
        entry("screenshot", 1, deliveries=2),
        entry("screenshot", 2, delay_ms=61_000),
        entry("screenshot", 3, delay_ms=-4000),
    ]
    judged = [(0, 0, "first", 1), (0, 100, "late_retry", 61), (1, 1, "first", 2), (1, 101, "retry", 62)]
    judged += [(2, 2, "first", 63), (2, 102, "replay", 63), (9, 9, "retry", 70)]
    delivered = [
        EntryDelivery(
            entry_position=of, position=position, judged_as=judged_as, received_ms=T0 + received_s * 1000
        )
        for of, position, judged_as, received_s in judged
    ]
    picture = picture_of(SESSION, entries, NOW, delivered)
    assert picture is not None
    manners = [dot.manner for dot in picture.deliveries]
    assert manners == ["first", "late", "first", "repeated", "late", "odd", "first"]
    assert [dot.delay_ms for dot in picture.deliveries] == [1000, 61_000, 1000, 61_000, 61_000, 61_000, -4000]
    first, late, *_, early = (dot.y for dot in picture.deliveries)
    assert late < first < early


def test_a_session_of_which_nothing_has_a_time_has_no_picture() -> None:
    assert picture_of(session(None, None), [], NOW) is None


def test_a_plot_never_hides_a_count_and_never_leaves_its_box() -> None:
    plot = plot_of("pushes", [0, 1, 1000])
    assert (plot.total, plot.most) == (1001, 1000)
    assert [bar.height for bar in plot.bars] == [1.5, HEIGHT]
    assert all(bar.y + bar.height == HEIGHT for bar in plot.bars)


def test_kinds_of_one_group_are_summed() -> None:
    plots = plots_of({"push_started": [1, 0], "push_stopped": [1, 1], "other": [0, 3]}, 2)
    assert [(plot.name, plot.total) for plot in plots] == [
        ("pushes", 3),
        ("recordings", 0),
        ("screenshots", 0),
        ("errors", 3),
    ]


def test_a_history_knows_where_two_were_on_the_air_and_where_none_was() -> None:
    sessions = [session(0, 100), session(50, 80, sequence="2"), session(60, 70, sequence="3")]
    band = band_of([*sessions, session(200, 300, sequence="4")], NOW)
    assert band is not None
    assert [(each.from_ms - T0, each.until_ms - T0) for each in band.overlaps] == [(50_000, 80_000)]
    assert [(each.from_ms - T0, each.until_ms - T0) for each in band.gaps] == [(100_000, 200_000)]


def test_a_suspect_session_shows_from_where_on_it_may_have_been_over() -> None:
    silent = msgspec.structs.replace(session(0, None, "suspect"), state="suspect")
    picture = picture_of(silent, [entry("screenshot", 60)], T0 + 600_000)
    assert picture is not None
    assert picture.unsure is not None
    assert picture.push is not None
    x, width = picture.unsure
    assert x == picture.screenshots[0].x
    assert abs(x + width - picture.push[0] - picture.push[2]) < 0.2
    live = picture_of(session(0, None, "live"), [entry("screenshot", 60)], T0 + 600_000)
    assert live is not None
    assert live.unsure is None


def test_a_frame_keeps_the_axis_of_pictures_of_other_moments() -> None:
    framed = picture_of(session(0, 10), [], NOW, (), (T0, T0 + 600_000))
    assert framed is not None
    assert (framed.from_ms, framed.until_ms) == (T0, T0 + 600_000)
    assert framed.push is not None
    assert framed.push[2] < 30


def test_days_are_drawn_to_one_scale_and_what_was_set_aside_stands_on_what_was_believed() -> None:
    days = [AuditDay(day="2024-04-21", received=100, believed=60), AuditDay(day="2024-04-22")]
    full, empty = days_of(days)
    assert (full.count, full.aside) == (100, 40)
    assert full.aside_y + full.aside_height == full.kept_y
    assert full.aside_y >= STACKED_TOP
    assert (empty.kept_height, empty.aside_height) == (0, 0)
