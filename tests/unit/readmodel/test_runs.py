"""Runs of screenshots: what is folded, where a run ends, and that nothing is lost or reordered."""

from hypothesis import given
from hypothesis import strategies as st

from streamledger.readmodel.queries.runs import RUN_MIN, Seen, folded, step_of, thinned


def seen(kind: str, at_s: int, *, deliveries: int = 1) -> Seen:
    return Seen(at_s * 1000, kind, str(at_s), at_s, deliveries, is_unsure=False)


def shots(*at_s: int) -> list[Seen]:
    return [seen("screenshot", each) for each in at_s]


def test_screenshots_between_a_start_and_a_stop_are_one_run() -> None:
    entries = [seen("push_started", 0), *shots(10, 20, 30, 40), seen("push_stopped", 45)]
    assert folded(entries) == [entries[0], entries[1:5], entries[5]]
    assert step_of(entries[1:5]) == 10_000


def test_a_pause_ends_a_run_and_another_event_does_too() -> None:
    before, after = shots(10, 20, 30), shots(300, 310, 320)
    assert folded([*before, *after]) == [before, after]
    error = seen("push_error", 35)
    assert folded([*before, error, *after]) == [before, error, after]


def test_recordings_do_not_end_a_run_and_stand_where_they_begin() -> None:
    run, file, error = shots(10, 20, 30, 40), seen("recording", 25), seen("push_error", 60)
    later = shots(70, 80, 90)
    entries = sorted([*run, file, error, *later], key=lambda each: each.at_ms)
    assert folded(entries) == [run, file, error, later]


def test_few_screenshots_are_shown_one_by_one() -> None:
    assert folded(shots(10, 20)) == shots(10, 20)
    assert folded([*shots(10, 20, 30), *shots(900)]) == [shots(10, 20, 30), *shots(900)]


def test_screenshots_of_one_second_are_a_run_all_the_same() -> None:
    same = shots(10, 10, 10, 10)
    assert folded(same) == [same]


@given(
    st.lists(
        st.tuples(st.sampled_from(["screenshot", "recording", "push_error"]), st.integers(0, 5000)),
        max_size=60,
    )
)
def test_every_entry_stays_once_and_items_are_in_order(given_entries: list[tuple[str, int]]) -> None:
    entries = sorted((seen(*each) for each in given_entries), key=lambda each: (each.at_ms, each.kind))
    items = folded(entries)
    lists = [item if isinstance(item, list) else [item] for item in items]
    flat = [each for found in lists for each in found]
    assert sorted(flat, key=repr) == sorted(entries, key=repr)
    assert [found[0].at_ms for found in lists] == sorted(found[0].at_ms for found in lists)
    assert all(len(item) >= RUN_MIN for item in items if isinstance(item, list))


def test_a_strip_has_the_first_and_the_last_and_no_more_than_may_be() -> None:
    run = shots(*range(0, 1000, 10))
    found = thinned(run, 12)
    assert (found[0], found[-1], len(found)) == (run[0], run[-1], 12)
    assert found == sorted(found, key=lambda each: each.at_ms)
    assert thinned(run[:5], 12) == run[:5]
