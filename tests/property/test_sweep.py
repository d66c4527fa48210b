"""Media laid beside spans, the short way for most of them, are judged as by all spans of the stream."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamledger.domain.attributed import SLACK_MS, Confidence, Item
from streamledger.domain.attribution import PLAIN, decide
from streamledger.domain.events import Delivery
from streamledger.domain.session import OPEN_END_MS, Span
from streamledger.readmodel.fold.entries import entry_of_plain
from streamledger.readmodel.fold.facts import PlainMedia
from streamledger.readmodel.fold.lines import copy_line
from streamledger.readmodel.fold.nothing import timeline_lines
from streamledger.readmodel.fold.pushes import Pushes
from streamledger.readmodel.fold.rows import SessionRow
from streamledger.readmodel.fold.sweep import FEW, item_of_plain, lay, lay_plain, place, surely_in
from streamledger.readmodel.fold.view import Laid
from streamledger.readmodel.fold.witness import witness_of

TIMES = st.integers(0, 60).map(lambda each: each * 2_500)
PLACES = st.sampled_from([None, None, "a", "b"])
PARAMS = st.sampled_from([None, None, "m", "n"])


@st.composite
def sessions(draw: st.DrawFn) -> SessionRow:
    """Bounds as they may come of any history, and some that come of none."""
    from_ms = draw(TIMES)
    ended = draw(st.booleans())
    bounded = ended or draw(st.booleans())
    until_ms = from_ms + draw(TIMES) if bounded else OPEN_END_MS
    sure_from_ms = draw(st.sampled_from([from_ms, from_ms + 5_000]))
    param = draw(PARAMS)
    if draw(st.integers(0, 9)) == 0:  # no time is known of it
        until_ms, param = from_ms - 1, None
    return SessionRow(
        stream_id="room",
        sequence=str(draw(st.integers(1, 10**6))),
        sort_ms=from_ms,
        span_from_ms=from_ms,
        span_until_ms=until_ms,
        sure_from_ms=sure_from_ms,
        sure_until_ms=min(until_ms, from_ms + draw(TIMES)),
        witness_until_ms=-1 if ended or param is None else draw(st.one_of(TIMES, st.just(OPEN_END_MS))),
        ended=ended,
        start_known=draw(st.booleans()),
        app=draw(PLACES),
        appname=draw(st.sampled_from([None, None, None, "live"])),
        witness=witness_of(param),
    )


streams = st.lists(sessions(), max_size=4 * FEW, unique_by=lambda row: row.sequence)


@st.composite
def media(draw: st.DrawFn, *, alike: bool = False) -> PlainMedia:
    """A plain screenshot or recording; those that are alike tell nothing but their time."""
    at_ms = draw(TIMES)
    is_moment = draw(st.booleans())
    writing_ms = None if is_moment else draw(st.none() | st.just(max(0, at_ms - draw(TIMES))))
    return PlainMedia(
        position=draw(st.integers(1, 2**40)),
        delivery=Delivery(body=b"{}", received_at_us=0),
        received_us=draw(st.integers(0, 2**50)),
        t=None,
        stream_id="room",
        kind="screenshot" if is_moment else "recording",
        key=str(at_ms),
        at_ms=at_ms,
        until_ms=at_ms if is_moment else at_ms + draw(TIMES),
        app=None if alike else draw(PLACES),
        appname=None if alike else draw(st.sampled_from([None, None, "live", "vod"])),
        stream_param=None if alike else draw(PARAMS),
        writing_ms=writing_ms,
        began_ms=at_ms if writing_ms is None else writing_ms,
        duration_ms=None if is_moment else draw(st.none() | st.integers(0, 99_000)),
        file_bytes=None if is_moment else draw(st.none() | st.integers(0, 2**40)),
        task=None if is_moment else draw(st.sampled_from([None, "task"])),
    )


def spans_of(rows: list[SessionRow]) -> list[Span]:
    return [row.span() for row in rows]


@given(streams, st.lists(media(), max_size=12), st.sampled_from([0, SLACK_MS, 20_000]))
def test_beside_what_is_laid_there_a_decision_is_that_over_all_spans(
    rows: list[SessionRow], found: list[PlainMedia], slack_ms: int
) -> None:
    items = [item_of_plain(each) for each in found]
    for item, beside in lay(items, Pushes(rows).placed(), 2 * max(slack_ms, SLACK_MS)):
        assert isinstance(item, Item)
        decided = decide(item, beside.candidates(item, slack_ms), slack_ms)
        assert decided == decide(item, spans_of(rows), slack_ms)


@given(streams, st.lists(media(), max_size=12) | st.lists(media(alike=True), max_size=24))
def test_the_short_way_says_what_the_rules_say(rows: list[SessionRow], found: list[PlainMedia]) -> None:
    laid = list(lay_plain(found, Pushes(rows).placed()))
    assert sorted(each.position for media, *_ in laid for each in media) == sorted(
        each.position for each in found
    )
    for together, sequence, beside in laid:
        assert sequence is not None or len(together) == 1
        for each in together:
            decided = decide(item_of_plain(each), spans_of(rows))
            assert sequence is not None or decided == decide(
                item_of_plain(each), beside.candidates(item_of_plain(each), SLACK_MS)
            )
            if sequence is not None:
                (only,) = decided
                assert (only.sequence, only.confidence, only.because) == (
                    sequence,
                    Confidence.CERTAIN,
                    PLAIN,
                )


@given(streams, st.lists(media(), max_size=12))
def test_what_is_surely_in_a_push_says_the_same_of_all_that_it_holds_for(
    rows: list[SessionRow], found: list[PlainMedia]
) -> None:
    for each, beside in lay(found, Pushes(rows).placed()):
        sure = surely_in(each, beside)
        if sure is None:
            continue
        ends = [
            end
            for span in beside.near
            for end in (
                span.from_ms,
                span.until_ms,
                span.sure_from_ms,
                span.sure_until_ms,
                span.witness_until_ms,
            )
        ]
        for at_ms in {end + by for end in (*ends, sure.until_ms) for by in (-1, 0, 1)}:
            if each.began_ms <= at_ms <= sure.until_ms:
                other = msgspec.structs.replace(
                    each, at_ms=at_ms, until_ms=at_ms, began_ms=at_ms, writing_ms=None
                )
                its = surely_in(other, beside)
                assert its is not None
                assert its.sequence == sure.sequence


def _push(sequence: str, from_ms: int, until_ms: int, **more: Any) -> SessionRow:
    return SessionRow(
        stream_id="room",
        sequence=sequence,
        **{
            "sort_ms": from_ms,
            "span_from_ms": from_ms,
            "span_until_ms": until_ms,
            "sure_from_ms": from_ms,
            "sure_until_ms": until_ms,
            "witness_until_ms": -1,
            "ended": True,
            "start_known": True,
            **more,
        },
    )


def _plain(at_ms: int, until_ms: int | None = None, began_ms: int | None = None) -> PlainMedia:
    return PlainMedia(
        position=at_ms,
        received_us=0,
        kind="screenshot" if until_ms is None else "recording",
        stream_id="room",
        key=str(at_ms),
        at_ms=at_ms,
        until_ms=at_ms if until_ms is None else until_ms,
        began_ms=at_ms if began_ms is None else began_ms,
        app=None,
        appname=None,
        stream_param="m",
        t=None,
        writing_ms=began_ms,
    )


def _surely_laid(rows: list[SessionRow], found: list[PlainMedia]) -> list[list[int]]:
    """The times of those that lie in one push surely, by the stretches in which that was seen at once."""
    laid = lay_plain(found, Pushes(rows).placed())
    return [[each.at_ms for each in media] for media, sequence, _ in laid if sequence is not None]


_FAR = [_push(str(10 + number), 10**9 * (number + 1), 10**9 * (number + 2)) for number in range(FEW)]


@pytest.mark.parametrize(
    ("others", "gap"),
    [
        ([_push("2", 50_000, 60_000)], (50_000 - SLACK_MS, 60_000 + SLACK_MS)),
        ([_push("2", 50_000, 60_000), *_FAR], (50_000 - SLACK_MS, 60_000 + SLACK_MS)),
        (
            [_push("2", 5_000, 10_000, ended=False, witness=witness_of("m"), witness_until_ms=70_000)],
            (5_000 - SLACK_MS, 70_000 + SLACK_MS),
        ),
        (
            [_push("2", 5_000, 10_000, ended=False, witness=witness_of("n"), witness_until_ms=70_000)],
            (5_000 - SLACK_MS, 10_000 + SLACK_MS),
        ),
    ],
    ids=["another", "one of many", "while its stream_param is possible", "that of others is not"],
)
def test_where_one_is_sure_ends_where_another_push_comes_near(
    others: list[SessionRow], gap: tuple[int, int]
) -> None:
    pushes = [_push("1", 0, 100_000, witness=witness_of("m")), *others]
    found = [_plain(at_ms) for at_ms in range(0, 100_000, 500)]
    stretches = _surely_laid(pushes, found)
    assert [at_ms for stretch in stretches for at_ms in stretch] == [
        each.at_ms for each in found if not gap[0] <= each.at_ms <= gap[1]
    ]
    assert len(stretches) <= 4


@pytest.mark.parametrize("other", [{"app": "b"}, {"appname": "vod"}, {"stream_param": "n"}])
def test_what_is_sure_of_one_is_not_of_what_names_another_place_or_stream_param(
    other: dict[str, str],
) -> None:
    push = _push("1", 0, 100_000, app="a", appname="live", witness=witness_of("m"))
    named = {"app": "a", "appname": "live", "stream_param": "m"}
    found = [
        msgspec.structs.replace(_plain(at_ms), **(named | other if at_ms == 30_000 else named))
        for at_ms in range(10_000, 60_000, 10_000)
    ]
    assert _surely_laid([push], found) == [[10_000, 20_000], [40_000, 50_000]]


def test_what_ends_after_a_push_is_sure_is_not_surely_in_it() -> None:
    push = _push("1", 0, 100_000, sure_until_ms=80_000, witness=witness_of("m"))
    found = [_plain(70_000), _plain(75_000, 80_001), _plain(80_000), _plain(80_001)]
    assert _surely_laid([push], found) == [[70_000], [80_000]]


def test_of_a_file_that_was_written_before_a_push_is_sure_nothing_follows_for_others() -> None:
    push = _push("1", 0, 100_000, sure_from_ms=30_000, witness=witness_of("m"))
    found = [_plain(40_000, 45_000, 20_000), _plain(25_000), _plain(50_000), _plain(55_000)]
    assert _surely_laid([push], found) == [[40_000], [50_000, 55_000]]


@given(media(), st.text(st.characters(categories=["L", "N"]), max_size=5))
def test_the_line_of_what_surely_lies_in_a_push_is_that_of_its_row(each: PlainMedia, sequence: str) -> None:
    row = msgspec.structs.replace(entry_of_plain(each), sequence=sequence)
    assert timeline_lines([Laid([each], sequence)]) == [copy_line(row)]
    rows = place(row, (), None)
    assert timeline_lines([Laid([each], "", rows)]) == [copy_line(rows[0])]
