"""The window of `t`, edge by edge."""

import pytest

from streamledger.tencent.expiry import SIGNATURE_VALIDITY_S, Expiry, judge_expiry

NOW_S = 1713732000


@pytest.mark.parametrize(
    ("t_minus_now_s", "expected"),
    [
        (901, Expiry.TOO_FAR_AHEAD),
        (900, Expiry.VALID),
        (SIGNATURE_VALIDITY_S, Expiry.VALID),
        (0, Expiry.VALID),
        (-1, Expiry.WITHIN_GRACE),
        (-30, Expiry.WITHIN_GRACE),
        (-31, Expiry.EXPIRED),
    ],
)
def test_each_edge_of_the_window(t_minus_now_s: int, expected: Expiry) -> None:
    assert judge_expiry(str(NOW_S + t_minus_now_s), NOW_S, grace_s=30, ahead_max_s=900) is expected


def test_t_passes_within_a_second_and_without_grace_it_is_expired() -> None:
    assert judge_expiry(str(NOW_S), NOW_S, 0, 900) is Expiry.VALID
    assert judge_expiry(str(NOW_S), NOW_S + 0.001, 0, 900) is Expiry.EXPIRED


def test_leading_zeros_change_nothing_and_long_numbers_are_far_ahead() -> None:
    assert judge_expiry("0000" + str(NOW_S), NOW_S, 0, 900) is Expiry.VALID
    assert judge_expiry("0" * 9000, NOW_S, 0, 900) is Expiry.EXPIRED
    assert judge_expiry("9" * 9000, NOW_S, 0, 900) is Expiry.TOO_FAR_AHEAD
    assert judge_expiry("9" * 13, NOW_S, 0, 900) is Expiry.TOO_FAR_AHEAD


def test_digits_shifted_between_key_and_t_leave_the_window() -> None:
    assert judge_expiry(str(NOW_S)[1:], NOW_S, 3600, 900) is Expiry.EXPIRED
    assert judge_expiry("1" + str(NOW_S), NOW_S, 3600, 900) is Expiry.TOO_FAR_AHEAD
