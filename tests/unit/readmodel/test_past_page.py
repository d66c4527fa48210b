"""Rows of a picture of the past, thinned: evenly in time, with what bounds the session."""

from itertools import pairwise

from streamledger.readmodel.fold.rows import TimelineRow
from streamledger.readmodel.moments.page import thinned


def row(at_ms: int, kind: str = "screenshot") -> TimelineRow:
    return TimelineRow(
        stream_id="room-1",
        kind=kind,
        key=str(at_ms),
        sequence="1",
        at_ms=at_ms,
        until_ms=at_ms,
        position=at_ms,
        received_ms=at_ms,
        deliveries=1,
        content="",
    )


def test_of_many_rows_about_as_many_as_wanted_are_kept_at_even_steps_the_first_and_the_last_among_them() -> (
    None
):
    kept = [each.at_ms for each in thinned([row(at_ms) for at_ms in range(1000)], 50)]
    assert (kept[0], kept[-1]) == (0, 999)
    assert 45 <= len(kept) <= 51
    assert max(after - before for before, after in pairwise(kept)) <= 2 * 1000 / 50


def test_few_rows_are_all_kept_and_so_is_where_the_push_starts_and_stops() -> None:
    rows = [row(at_ms) for at_ms in range(60)]
    assert thinned(rows, 50, all_max=60) == rows
    many = [
        row(5, "push_started"),
        *(row(at_ms, "recording") for at_ms in range(500)),
        row(7, "push_stopped"),
    ]
    kinds = [each.kind for each in thinned(many, 10)]
    assert {"push_started", "push_stopped"} <= set(kinds)
    assert kinds.count("recording") <= 12
