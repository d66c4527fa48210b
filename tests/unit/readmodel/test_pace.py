"""Batches are sized by the time that they take."""

from hypothesis import given
from hypothesis import strategies as st

from streamledger.readmodel.projections.pace import BATCH_SIZE_MAX, BATCH_SIZE_MIN, BATCH_SIZE_START, Pace


def after(events_per_s: float, batches: int = 20) -> int:
    pace = Pace(batch_s=0.25)
    for _ in range(batches):
        pace.note(pace.size, pace.size / events_per_s)
    return pace.size


def test_full_batches_come_to_last_as_long_as_they_should() -> None:
    assert after(8000) == 2000
    assert after(1200) == 300


def test_a_size_stays_within_its_limits() -> None:
    assert after(1e9) == BATCH_SIZE_MAX
    assert after(1) == BATCH_SIZE_MIN


def test_a_quick_batch_that_was_not_full_changes_nothing_and_a_slow_one_makes_the_next_smaller() -> None:
    pace = Pace(batch_s=0.25)
    pace.note(10, 0.001)
    assert pace.size == BATCH_SIZE_START
    pace.note(500, 2.0)
    assert pace.size == BATCH_SIZE_START // 2


@given(st.lists(st.tuples(st.integers(0, 10_000), st.floats(0, 1e6))))
def test_whatever_is_noted_the_size_is_one(noted: list[tuple[int, float]]) -> None:
    pace = Pace()
    for events, seconds in noted:
        pace.note(events, seconds)
        assert BATCH_SIZE_MIN <= pace.size <= BATCH_SIZE_MAX
