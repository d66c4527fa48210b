"""The judgement table, row by row."""

import pytest

from streamledger.tencent.envelope import Envelope
from streamledger.tencent.judgement import Judgement, Verdict, judge
from streamledger.tencent.signature import CallbackKey, signature_of

NOW_S = 1713732000
KEYS = (CallbackKey("old", "k1"), CallbackKey("main", "k2"))


def envelope(
    t: str | None, sign: str | None, t_unreadable: bool = False, sign_unreadable: bool = False
) -> Envelope:
    return Envelope(1, "s", "1", t, sign, t_unreadable, sign_unreadable)


def signed(t_minus_now_s: int, secret: str = "k2") -> Envelope:
    t = str(NOW_S + t_minus_now_s)
    return envelope(t, signature_of(secret, t))


@pytest.mark.parametrize(
    ("delivery", "token", "expected"),
    [
        (signed(600), False, Judgement(Verdict.BELIEVED, "main")),
        (signed(600, "k1"), True, Judgement(Verdict.BELIEVED, "old")),
        (signed(-10), False, Judgement(Verdict.BELIEVED, "main", t_passed=True)),
        (signed(-61), False, Judgement(Verdict.EXPIRED, "main", t_passed=True)),
        (signed(-61), True, Judgement(Verdict.EXPIRED, "main", t_passed=True)),
        (signed(901), False, Judgement(Verdict.TOO_FAR_AHEAD, "main")),
        (signed(600, "k3"), False, Judgement(Verdict.BAD_SIGNATURE)),
        (signed(600, "k3"), True, Judgement(Verdict.BAD_SIGNATURE)),
        (envelope(None, None), False, Judgement(Verdict.UNSIGNED)),
        (envelope("1", None), False, Judgement(Verdict.UNSIGNED)),
        (envelope(None, "x"), False, Judgement(Verdict.UNSIGNED)),
        (envelope(None, None), True, Judgement(Verdict.BELIEVED)),
        (envelope("1", None), True, Judgement(Verdict.BELIEVED)),
        (envelope(None, "x", t_unreadable=True), True, Judgement(Verdict.BAD_SIGNATURE)),
        (envelope("1", None, sign_unreadable=True), True, Judgement(Verdict.BAD_SIGNATURE)),
        (envelope(None, None, t_unreadable=True), True, Judgement(Verdict.BAD_SIGNATURE)),
    ],
)
def test_each_row_of_the_table(delivery: Envelope, token: bool, expected: Judgement) -> None:
    assert judge(delivery, KEYS, NOW_S, 60, 900, token) == expected


@pytest.mark.parametrize(
    "delivery", [signed(600, "k3"), signed(-9999), envelope(None, None), envelope(None, None, True)]
)
def test_without_keys_everything_readable_is_believed(delivery: Envelope) -> None:
    assert judge(delivery, (), NOW_S, 60, 900, False) == Judgement(Verdict.BELIEVED)


def test_without_keys_a_configured_path_token_is_what_lets_deliveries_in() -> None:
    plain = envelope(None, None)
    assert judge(plain, (), NOW_S, 60, 900, False).verdict is Verdict.BELIEVED
    assert judge(plain, (), NOW_S, 60, 900, True, True).verdict is Verdict.BELIEVED
    assert judge(plain, (), NOW_S, 60, 900, False, True).verdict is Verdict.UNSIGNED
    assert judge(signed(600), (), NOW_S, 60, 900, False, True).verdict is Verdict.UNSIGNED
