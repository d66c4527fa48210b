"""How pushes of a stream bound each other: the rule Bounded, case by case."""

import pytest

from streamledger.domain.session import (
    OPEN_BESIDE_NEWER_MS,
    OPEN_END_MS,
    OPEN_LATER_MAX,
    UNKNOWN_START_LOOKBACK_MS,
    Bounds,
    SessionState,
    bounds_of,
)
from streamledger.domain.succession import settle
from tests.unit.domain.test_attribution import judge, push, said


def settled(*pushes: SessionState) -> dict[str, Bounds]:
    """The bounds of a stream's pushes, by sequence."""
    found = [Bounds(sequence=each.sequence) for each in pushes]
    for bounds, state in zip(found, pushes, strict=True):
        bounds_of(bounds, state, lambda said: said)
    settle(found)
    return {bounds.sequence: bounds for bounds in found}


def later(count: int, **more: object) -> list[SessionState]:
    """So many pushes without a stop, one each 1000 s, the first at 1000."""
    return [push(f"later{number}", number * 1000, **more) for number in range(1, count + 1)]  # type: ignore[arg-type]  # as push's


def test_the_eighth_later_push_without_a_stop_ends_the_possibility_of_one_without_a_stop() -> None:
    lost = settled(push("lost", 100), *later(OPEN_LATER_MAX))["lost"]
    assert (lost.newer_ms, lost.sure_until_ms) == (1_000_000, 1_000_000)
    assert lost.span_until_ms == lost.reach_ms == OPEN_LATER_MAX * 1_000_000
    one_less = settled(push("lost", 100), *later(OPEN_LATER_MAX - 1))["lost"]
    assert one_less.span_until_ms == 1_000_000 + OPEN_BESIDE_NEWER_MS
    assert one_less.reach_ms == OPEN_END_MS


def test_only_pushes_that_began_after_its_latest_sign_count() -> None:
    signed = settled(push("lost", 100, signs_s=(1500,)), *later(OPEN_LATER_MAX))["lost"]
    assert (signed.reach_ms, signed.sure_until_ms) == (OPEN_END_MS, 1_500_000)
    ninth = settled(push("lost", 100, signs_s=(1500,)), *later(OPEN_LATER_MAX + 1))["lost"]
    assert ninth.span_until_ms == (OPEN_LATER_MAX + 1) * 1_000_000


def test_pushes_with_a_stop_do_not_count() -> None:
    stopped = [push(f"done{number}", number * 1000, number * 1000 + 9) for number in range(1, 30)]
    lost = settled(push("lost", 100), *stopped)["lost"]
    assert lost.reach_ms == OPEN_END_MS
    assert lost.span_until_ms == 1_000_000 + OPEN_BESIDE_NEWER_MS


def test_pushes_at_another_place_or_of_unknown_start_do_not_count() -> None:
    elsewhere = later(OPEN_LATER_MAX, app="other.example")
    lost = settled(push("lost", 100, app="here.example"), *elsewhere)["lost"]
    assert (lost.newer_ms, lost.span_until_ms) == (OPEN_END_MS, OPEN_END_MS)
    unknown = [push(f"u{number}", None, signs_s=(number * 1000,)) for number in range(1, 30)]
    assert settled(push("lost", 100), *unknown)["lost"].span_until_ms == OPEN_END_MS


def test_an_equal_stream_param_keeps_a_push_possible_for_what_bears_it() -> None:
    pushes = [push("lost", 100, param="m"), *later(OPEN_LATER_MAX + 4, param="b")]
    at_s = (OPEN_LATER_MAX + 3) * 1000 + 50
    assert settled(*pushes)["lost"].span_until_ms < at_s * 1000
    assert said(judge(pushes, at_s, stream_param="m")) == [("lost", "probable")]
    (without,) = judge(pushes, at_s)
    assert "lost" not in (without.sequence, *without.alternatives)
    days_later_s = 10 * OPEN_BESIDE_NEWER_MS // 1000
    assert said(judge(pushes, days_later_s, stream_param="m")) == [("lost", "probable")]


@pytest.mark.parametrize(("bearing", "until_ms"), [(OPEN_LATER_MAX - 1, OPEN_END_MS), (OPEN_LATER_MAX, None)])
def test_it_does_so_while_fewer_than_eight_later_ones_bear_the_same(
    bearing: int, until_ms: int | None
) -> None:
    lost = settled(push("lost", 100, param="m"), *later(bearing, param="m"))["lost"]
    assert lost.witness_until_ms == (until_ms or OPEN_LATER_MAX * 1_000_000)


def test_without_a_stream_param_or_with_a_stop_nothing_is_kept() -> None:
    found = settled(push("plain", 100), push("done", 200, 300, param="m"))
    assert {each.witness_until_ms for each in found.values()} == {-1}


def test_the_reach_of_an_unknown_start_ends_at_a_closed_push_of_its_place() -> None:
    stop_s = 50_000
    alone = settled(push("stop", None, stop_s))["stop"]
    assert alone.span_from_ms == stop_s * 1000 - UNKNOWN_START_LOOKBACK_MS
    before = push("before", 20_000, 30_000)
    assert settled(before, push("stop", None, stop_s))["stop"].span_from_ms == 30_000_000
    latest = push("latest", 31_000, 32_000)
    assert settled(before, latest, push("stop", None, stop_s))["stop"].span_from_ms == 32_000_000


@pytest.mark.parametrize(
    "other",
    [
        push("open", 20_000),
        push("longer", 20_000, 60_000),
        push("elsewhere", 20_000, 30_000, app="other.example"),
        push("behind its first sign", 20_000, 46_000),
    ],
    ids=lambda state: str(state.sequence),
)
def test_it_does_not_end_at_any_other(other: SessionState) -> None:
    own = push("stop", None, 50_000, signs_s=(45_000,), app="here.example")
    assert settled(own, other)["stop"].span_from_ms == 50_000_000 - UNKNOWN_START_LOOKBACK_MS
