"""The time that is left of making indexes goes by what is done of each, and by how long it took."""

import pytest

from streamledger.readmodel.rebuild.index_pace import part_done, seconds_left


def test_an_index_under_way_counts_by_what_postgresql_says_of_it() -> None:
    phases = [
        ("initializing", 0, 0, 0, 0),
        ("building index: scanning table", 0, 100, 0, 0),
        ("building index: scanning table", 50, 100, 0, 0),
        ("building index: sorting live tuples", 100, 100, 0, 0),
        ("building index: loading tuples in tree", 100, 100, 10, 100),
        ("building index: loading tuples in tree", 100, 100, 100, 100),
    ]
    parts = [part_done(each) for each in phases]
    assert parts == sorted(parts)
    assert (parts[0], parts[-1]) == (0, 1)


@pytest.mark.parametrize(
    ("done", "lasted_s", "left_s"), [(0, 9, None), (50, 0.1, None), (25, 10, 30), (100, 10, 0), (110, 10, 0)]
)
def test_the_time_left_is_told_from_the_pace_so_far(
    done: float, lasted_s: float, left_s: float | None
) -> None:
    assert seconds_left(done, 100, lasted_s) == left_s
