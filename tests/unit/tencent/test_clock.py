"""What the signings of genuine deliveries say of our clock."""

import pytest

from streamledger.tencent.clock import Signing, judge_clock

NOW_S = 1_800_000_000


def signings(*late_s: float) -> list[Signing]:
    """Signatures that came so long after they were made, the latest first."""
    return [
        Signing(str(NOW_S + 600 - number), f"sign-{number}", NOW_S - number + late)
        for number, late in enumerate(late_s)
    ]


@pytest.mark.parametrize("late_s", [(1.0,) * 20, (1.0,) * 4 + (700.0,) * 16, (700.0,) * 4, (-60.0,) * 20, ()])
def test_nothing_speaks_against_the_clock_while_some_come_in_time_or_too_few_come(
    late_s: tuple[float, ...],
) -> None:
    assert judge_clock(signings(*late_s)) is None


@pytest.mark.parametrize(("late_s", "words"), [(720.0, "is ahead of"), (-720.0, "is behind")])
def test_a_clock_beside_the_senders_is_told_with_how_far_it_is_off(late_s: float, words: str) -> None:
    found = judge_clock(signings(*(late_s,) * 19, 1.0))
    assert found is not None
    assert (found.of, found.off_s) == (20, late_s)
    assert words in str(found)


def test_a_captured_signature_that_is_played_again_and_again_counts_once() -> None:
    captured = [Signing(str(NOW_S - 100), "captured", NOW_S + number) for number in range(100)]
    assert judge_clock(captured) is None
    assert judge_clock(captured + signings(*(1.0,) * 19)) is None


def test_the_latest_tell_soon_after_the_clock_was_moved() -> None:
    assert judge_clock(signings(*(700.0,) * 20, *(1.0,) * 1000)) is not None
    assert judge_clock(signings(*(1.0,) * 20, *(700.0,) * 1000)) is None


def test_a_t_that_no_clock_can_reach_is_passed_over() -> None:
    assert judge_clock([Signing("9" * 64, f"{number}", NOW_S) for number in range(20)]) is None
