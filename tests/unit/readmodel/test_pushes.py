"""Where media are judged again because pushes of their stream changed."""

from streamledger.domain.session import OPEN_END_MS, Span
from streamledger.readmodel.fold.pushes import MARGIN_MS, Interval, holders, intervals

EVERY_MS = 30_000


def _open(number: int, until_ms: int = OPEN_END_MS) -> Span:
    from_ms = number * EVERY_MS
    return Span(sequence=str(number), from_ms=from_ms, until_ms=until_ms, from_certain=True, open=True)


def _closed(name: str, from_ms: int, until_ms: int) -> Span:
    return Span(sequence=name, from_ms=from_ms, until_ms=until_ms, from_certain=True)


def test_pushes_that_come_one_after_the_other_ask_for_one_interval() -> None:
    before = {str(number): _open(number) for number in range(10)}
    after = before | {str(number): _open(number) for number in range(10, 40)}
    (interval,) = intervals("cam", before, after)
    assert interval == Interval("cam", 10 * EVERY_MS - MARGIN_MS, OPEN_END_MS)


def test_intervals_that_do_not_meet_stay_apart() -> None:
    after = {"a": _closed("a", 100_000, 200_000), "b": _closed("b", 900_000, 950_000)}
    assert intervals("cam", {}, after) == [
        Interval("cam", 100_000 - MARGIN_MS, 200_000 + MARGIN_MS),
        Interval("cam", 900_000 - MARGIN_MS, 950_000 + MARGIN_MS),
    ]


def test_a_push_that_has_just_come_holds_no_media_yet() -> None:
    before = {"old": _closed("old", 0, 100_000)}
    after = before | {"new": _closed("new", 50_000, 150_000)}
    (interval,) = intervals("cam", before, after)
    assert holders(interval, before, after) == {"old"}
