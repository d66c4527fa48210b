"""What would have come of a push that still runs: its rhythm, and the next file of a task that records on."""

from itertools import permutations

import pytest

from streamledger.domain.suspicion import Recorded, after_ms, recording_ended_ms, rhythm_ms

S, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000


def file(begin_ms: int, end_ms: int, task: str | None = None, *, has_param: bool = True) -> Recorded:
    return Recorded(task=task, at_ms=begin_ms, until_ms=end_ms, key=f"{begin_ms}", has_param=has_param)


def told(at_ms: int, what: str, task: str | None = None) -> Recorded:
    return Recorded(
        task=task, at_ms=at_ms, until_ms=at_ms, key=what, record_event=f"record_{what}", is_file=False
    )


def ended(*recorded: Recorded, param_known: bool = True) -> int | None:
    found = {recording_ended_ms(order, param_known=param_known) for order in permutations(recorded)}
    assert len(found) == 1
    return found.pop()


@pytest.mark.parametrize(
    ("signs", "rhythm"),
    [
        ([(0, 0)], 0),
        ([(0, 0), (0, HOUR), (HOUR, 2 * HOUR)], 2 * HOUR),
        ([(0, 0), (10 * S, 10 * S), (70 * S, 70 * S), (80 * S, 80 * S)], 2 * MINUTE),
        ([(0, 0), (20 * HOUR, 20 * HOUR)], DAY),
        (
            [(0, HOUR), (90 * MINUTE, 90 * MINUTE)],
            2 * HOUR,
        ),  # half an hour after the file, not an hour and half
        ([(0, 300 * S), (7300 * S, 7300 * S)], 14_000 * S),
        ([(0, HOUR), (10 * S, 10 * S), (90 * MINUTE, 90 * MINUTE)], 2 * HOUR),
        ([(0, HOUR), (3 * HOUR, 3 * HOUR)], 4 * HOUR),
        ([(0, 0), *((HOUR + n * S, HOUR + n * S) for n in range(32))], 2 * S),
    ],
)
def test_the_rhythm_is_twice_the_longest_pause_of_the_latest_signs(
    signs: list[tuple[int, int]], rhythm: int
) -> None:
    assert rhythm_ms(signs) == rhythm_ms(reversed(signs)) == rhythm


def test_an_absence_is_no_pause() -> None:
    signs = [(0, 0), (HOUR, HOUR)]
    assert rhythm_ms(signs, [(MINUTE, 50 * MINUTE)]) == 2 * 11 * MINUTE
    assert rhythm_ms([(0, 10 * S), (HOUR, HOUR)], [(0, MINUTE), (2 * MINUTE, HOUR)]) == 2 * MINUTE
    assert after_ms(0, HOUR, [(MINUTE, 2 * MINUTE), (5 * HOUR, 6 * HOUR)]) == HOUR + MINUTE
    assert after_ms(30 * S, HOUR, [(0, MINUTE)]) == HOUR + MINUTE


def test_one_file_alone_has_no_successor_to_be_missed() -> None:
    assert ended(file(0, MINUTE)) is None
    assert ended(file(0, MINUTE), file(0, MINUTE + S)) is None, "two formats of one interval"


def test_a_task_has_ended_when_no_file_followed_for_as_long_as_its_longest_is() -> None:
    assert ended(file(0, 30 * MINUTE), file(30 * MINUTE, 30 * MINUTE + 10 * S)) == 60 * MINUTE + 10 * S


def test_recording_has_ended_when_no_task_goes_on() -> None:
    assert (
        ended(told(0, "start_succeeded", "a"), told(1, "start_succeeded", "b"), told(9, "ended", "a")) is None
    )
    assert ended(told(9, "ended", "a"), told(12, "ended", "b")) == 12
    assert ended(told(0, "start_succeeded"), told(9, "ended"), told(10, "resumed")) is None


def test_files_that_name_no_task_are_of_the_only_one_that_is_named() -> None:
    assert ended(file(0, MINUTE), told(MINUTE + S, "ended", "a")) == MINUTE + S
    assert ended(file(0, MINUTE), told(MINUTE + S, "ended", "a"), told(0, "start_succeeded", "b")) is None


def test_a_task_of_its_own_and_one_that_never_began_say_nothing() -> None:
    of_its_own = (file(0, MINUTE, "t", has_param=False), told(2 * MINUTE, "ended", "t"))
    assert ended(*of_its_own) is None
    assert ended(*of_its_own, param_known=False) == 2 * MINUTE
    assert ended(told(0, "start_failed", "a"), told(9, "ended", "b")) == 9
    assert ended() is None
