"""To which push a recording or screenshot belongs: the cases of ADR 0008, one by one."""

from typing import Any

import pytest

from streamledger.domain import attribution
from streamledger.domain import session as fold
from streamledger.domain.attributed import ALTERNATIVES_MAX, REASONS, Attribution, Item
from streamledger.domain.notification import Kind, Notification, Push, PushError
from streamledger.domain.session import (
    OPEN_BESIDE_NEWER_MS,
    OPEN_END_MS,
    Bounds,
    SessionState,
    bounds_of,
)
from streamledger.domain.succession import settle
from tests.oracle.spans import spans_of

HOUR_S = 3600


def push(
    sequence: str,
    start_s: int | None,
    stop_s: int | None = None,
    *,
    duration_s: int | None = None,
    signs_s: tuple[int, ...] = (),
    app: str | None = None,
    param: str | None = None,
    errcode: int | None = None,
) -> SessionState:
    """The state of a push of which these are reported; times in seconds."""
    state = SessionState(stream_id="room", sequence=sequence)
    shared: dict[str, Any] = {"stream_id": "room", "sequence": sequence, "app": app, "stream_param": param}
    if start_s is not None:
        state = fold.take(state, _told(1, Kind.PUSH_STARTED, start_s, Push(), shared), 1)
    if stop_s is not None:
        stopped = Push(push_duration_ms=None if duration_s is None else duration_s * 1000, errcode=errcode)
        state = fold.take(state, _told(0, Kind.PUSH_STOPPED, stop_s, stopped, shared), 2)
    for sign_s in signs_s:
        state = fold.take(state, _told(321, Kind.PUSH_ERROR, sign_s, PushError(), shared), 3)
    return state


def _told(event_type: int, kind: Kind, at_s: int, detail: Any, shared: dict[str, Any]) -> Notification:
    return Notification(
        event_type=event_type,
        kind=kind,
        key="k",
        at_ms=at_s * 1000,
        until_ms=None,
        content=f"{event_type}-{at_s}",
        detail=detail,
        **shared,
    )


def newer_ms(state: SessionState, others: list[SessionState]) -> int:
    """When the next push at its place began."""
    found = []
    for each in [state, *(other for other in others if other is not state)]:
        found.append(Bounds(sequence=each.sequence))
        bounds_of(found[-1], each, lambda said: said)
    settle(found)
    return found[0].newer_ms


def judge(
    pushes: list[SessionState], at_s: int, until_s: int | None = None, **item: Any
) -> tuple[Attribution, ...]:
    """The decision about an item."""
    until_ms = (at_s if until_s is None else until_s) * 1000
    return attribution.decide(Item(at_ms=at_s * 1000, until_ms=until_ms, **item), spans_of(pushes))


def said(decided: tuple[Attribution, ...]) -> list[tuple[str, str]]:
    return [(each.sequence, each.confidence.value) for each in decided]


def test_a_screenshot_inside_the_only_push_is_certain() -> None:
    decided = judge([push("a", 100, 200)], 150)
    assert said(decided) == [("a", "certain")]
    assert decided[0].because == ("inside", "only_candidate")


def test_a_screenshot_within_the_slack_of_the_only_push_is_probable() -> None:
    assert said(judge([push("a", 100, 200)], 205)) == [("a", "probable")]
    assert judge([push("a", 100, 200)], 206) == ()


def test_a_lost_stop_does_not_claim_what_a_newer_push_holds() -> None:
    lost, newer = push("lost", 100), push("newer", 1000, 2000)
    decided = judge([lost, newer], 1500)
    assert said(decided) == [("newer", "probable")]
    assert decided[0].alternatives == ("lost",)
    assert said(judge([lost, newer], 500)) == [("lost", "certain")]


def test_half_a_day_after_a_newer_push_began_a_lost_stop_is_no_alternative_any_more() -> None:
    later_s = 1000 + 13 * HOUR_S
    pushes = [push("lost", 100), push("newer", 1000, 2000), push("today", later_s, later_s + 100)]
    assert said(judge(pushes, later_s + 50)) == [("today", "certain")]


def test_a_push_error_shows_that_an_older_push_still_runs_beside_the_newer_one() -> None:
    main, backup = push("main", 100, signs_s=(1800,)), push("backup", 1000)
    assert said(judge([main, backup], 1500)) == [("main", "ambiguous")]
    assert said(judge([main, backup], 2500)) == [("backup", "probable")]


def test_what_no_push_holds_goes_to_the_latest_one_without_a_stop_however_late() -> None:
    main, backup = push("main", 100), push("backup", 1000, 2000)
    decided = judge([main, backup], 1000 + 20 * HOUR_S)
    assert said(decided) == [("main", "probable")]
    assert decided[0].because == ("last_open", "stop_missing")
    assert judge([main, backup], 90) == ()


def test_a_stop_that_comes_late_takes_the_claim_back() -> None:
    assert said(judge([push("a", 100, 900), push("b", 1000, 2000)], 1500)) == [("b", "certain")]


def test_main_and_backup_that_both_ran_are_ambiguous_unless_the_stream_param_tells() -> None:
    pushes = [push("main", 100, 500, param="m"), push("backup", 110, 500, param="b")]
    assert said(judge(pushes, 300)) == [("main", "ambiguous")]
    decided = judge(pushes, 300, stream_param="b")
    assert said(decided) == [("backup", "probable")]
    assert "stream_param" in decided[0].because
    assert said(judge(pushes, 110, 490)) == [("main", "ambiguous")]
    assert said(judge(pushes, 110, 490, stream_param="b")) == [("backup", "probable")]


def test_a_resumed_file_belongs_to_all_three_pushes_that_it_spans() -> None:
    pushes = [push("a", 100, 200), push("b", 210, 300), push("c", 305, 400)]
    decided = judge(pushes, 98, 403)
    assert said(decided) == [("a", "probable"), ("b", "probable"), ("c", "probable")]
    assert all("several" in each.because for each in decided)


def test_a_file_whose_times_are_off_at_both_ends_belongs_to_the_push_between_its_neighbours() -> None:
    pushes = [push("a", 100, 200), push("b", 201, 300), push("c", 301, 400)]
    assert said(judge(pushes, 197, 304)) == [("b", "certain")]


def test_a_short_push_beside_a_long_one_is_only_an_alternative_for_a_long_file() -> None:
    decided = judge([push("main", 100, 500), push("short", 300, 310)], 100, 500)
    assert said(decided) == [("main", "probable")]
    assert decided[0].alternatives == ("short",)


def test_where_two_pushes_share_a_second_nothing_tells_them_apart() -> None:
    decided = judge([push("a", 100, 200), push("b", 200, 300)], 200)
    assert said(decided) == [("a", "ambiguous")]
    assert decided[0].alternatives == ("b",)


def test_near_the_change_from_one_push_to_the_next_a_screenshot_is_only_probable() -> None:
    decided = judge([push("a", 100, 200), push("b", 202, 300)], 204)
    assert said(decided) == [("b", "probable")]
    assert decided[0].alternatives == ("a",)
    assert said(judge([push("a", 100, 200), push("b", 202, 300)], 206)) == [("b", "certain")]


def test_a_push_at_another_domain_is_no_candidate_and_no_newer_push() -> None:
    here, there = push("here", 100, app="a.example"), push("there", 1000, app="b.example")
    assert said(judge([here, there], 1500, app="a.example")) == [("here", "certain")]
    assert said(judge([here, there], 1500, app="b.example")) == [("there", "certain")]


def test_a_push_of_unknown_start_reaches_back_half_a_day_but_gives_way_to_one_that_surely_ran() -> None:
    stop_only = push("stop", None, 50_000)
    assert said(judge([stop_only], 50_000 - 12 * HOUR_S)) == [("stop", "probable")]
    known = push("known", 49_000, 50_100)
    decided = judge([stop_only, known], 49_200)
    assert said(decided) == [("known", "probable")]
    assert decided[0].alternatives == ("stop",)


def test_the_reach_of_an_unknown_start_ends_where_a_push_at_its_place_had_ended() -> None:
    stop_only, closed = push("stop", None, 50_000, app="a"), push("closed", 48_000, 49_000, app="a")
    assert said(judge([stop_only, closed], 48_500)) == [("closed", "certain")]
    assert said(judge([stop_only, closed], 49_500)) == [("stop", "probable")]
    elsewhere = push("closed", 48_000, 49_000, app="b")
    assert said(judge([stop_only, elsewhere], 47_000)) == [("stop", "probable")]
    refused = push("closed", 48_000, 49_000, app="a", errcode=18)
    assert said(judge([stop_only, refused], 47_000)) == [("stop", "probable")]


def test_a_rival_that_was_refused_is_no_newer_push() -> None:
    running, refused = push("main", 100), push("rival", 400, 401, errcode=18)
    assert newer_ms(running, [running, refused]) == OPEN_END_MS
    assert newer_ms(running, [running, push("rival", 400, 401)]) == 400_000
    assert said(judge([running, refused], 5000)) == [("main", "certain")]


def test_nothing_is_certain_against_a_stream_param() -> None:
    for decided in (
        judge([push("a", 100, 200, param="u=a")], 150, stream_param="u=b"),
        judge([push("a", 100, 200, param="u=a")], 110, 190, stream_param="u=b"),
    ):
        assert said(decided) == [("a", "probable")]
        assert decided[0].because[-1] == "other_param"
    assert said(judge([push("a", 100, 200)], 150, stream_param="u=b")) == [("a", "certain")]


def test_a_witness_that_names_one_possible_push_decides_against_the_times() -> None:
    pushes = [push("one", 0, 100, param="k=1"), push("two", 290, 600, param="k=2")]
    decided = judge(pushes, 301, 400, stream_param="k=1", writing_ms=1000)
    assert said(decided) == [("one", "probable")]
    assert (decided[0].because, decided[0].alternatives) == (("stream_param",), ("two",))


def test_where_the_writing_began_is_a_witness_when_no_stream_param_speaks() -> None:
    pushes = [push("one", 0, 100), push("two", 290, 600)]
    decided = judge(pushes, 301, 400, writing_ms=1000)
    assert said(decided) == [("one", "probable")]
    assert decided[0].because == ("began_here",)
    # More content than the first push lasted: the file was resumed, and its gaps left out.
    decided = judge(pushes, 200, 400, writing_ms=1000)
    assert said(decided) == [("one", "probable"), ("two", "probable")]
    assert all("several" in each.because for each in decided)
    known = [push("one", 0, 100, param="k=1"), push("two", 290, 600, param="k=2")]
    decided = judge(known, 301, 400, stream_param="k=2", writing_ms=1000)
    assert said(decided) == [("two", "probable")]
    assert "began_elsewhere" in decided[0].because
    assert said(judge(pushes, 301, 400, writing_ms=295_000)) == [("two", "certain")]


def test_hosts_are_one_without_case_and_default_port() -> None:
    assert said(judge([push("a", 100, 200, app="Push.Example.com")], 150, app="push.example.com:1935")) == [
        ("a", "certain")
    ]
    assert newer_ms(push("a", 1, app="P.example"), [push("b", 2, app="p.example:1935")]) == 2000


def test_an_address_and_an_equal_stream_param_make_a_place_probable() -> None:
    pushed = [push("a", 100, 200, app="192.0.2.9", param="k")]
    decided = judge(pushed, 150, app="push.example.com", stream_param="k")
    assert said(decided) == [("a", "probable")]
    assert decided[0].because[-1] == "address"
    assert judge(pushed, 150, app="push.example.com") == ()
    assert judge(pushed, 150, app="192.0.2.8", stream_param="k") == ()


def test_the_short_last_part_of_a_resumed_file_is_named() -> None:
    pushes = [push("a", 100, 200), push("b", 210, 300), push("c", 303, 306)]
    assert [each for each, _ in said(judge(pushes, 100, 306))] == ["a", "b", "c"]
    assert [each for each, _ in said(judge(pushes[:1] + pushes[2:], 100, 306))] == ["a", "c"]
    # A file that is a few seconds off is none of the next push.
    assert said(judge([push("a", 100, 200), push("b", 201, 204)], 100, 203)) == [("a", "certain")]


def test_a_stop_before_its_start_leaves_the_push_between_the_two() -> None:
    assert said(judge([push("a", 200, 197)], 199)) == [("a", "certain")]


def test_a_push_known_by_errors_alone_runs_from_the_first_of_them() -> None:
    decided = judge([push("a", None, signs_s=(500, 900))], 700)
    assert said(decided) == [("a", "probable")]
    assert "start_unknown" in decided[0].because
    assert judge([push("a", None, signs_s=(500, 900))], 400) == ()


def test_a_push_without_any_time_holds_nothing() -> None:
    assert judge([SessionState(stream_id="room", sequence="a")], 100) == ()
    assert judge([push("a", 100)], -(2**62)) == ()


def test_the_limit_beside_a_newer_push_counts_from_the_latest_sign() -> None:
    span = spans_of([push("a", 100, signs_s=(1500,)), push("b", 1000)])[0]
    assert (span.sure_until_ms, span.until_ms) == (1_500_000, 1_500_000 + OPEN_BESIDE_NEWER_MS)


def test_of_many_alternatives_the_first_are_named_and_all_are_counted() -> None:
    pushes = [push(f"p{number:02d}", 100, 500) for number in range(30)]
    (decided,) = judge(pushes, 300)
    assert decided.alternatives == tuple(f"p{number:02d}" for number in range(1, ALTERNATIVES_MAX + 1))
    assert decided.alternatives_total == 29
    (decided,) = judge(pushes[: ALTERNATIVES_MAX + 1], 110, 490)
    assert len(decided.alternatives) == decided.alternatives_total == ALTERNATIVES_MAX


@pytest.mark.parametrize("code", sorted(REASONS))
def test_every_reason_is_explained_in_a_sentence(code: str) -> None:
    assert len(REASONS[code].split()) > 3
