"""`t`, the Unix second at which a signature expires (267/38080): whether it has passed, or is too far off."""

from enum import StrEnum
from typing import Final

SIGNATURE_VALIDITY_S: Final = 600
"""By default `t` is this long after signing; `t` is no send time and no event time."""

T_SIGNIFICANT_DIGITS_MAX: Final = 18
"""Beyond, `t` is later than any clock; Python would refuse to read more than 4300 digits."""


class Expiry(StrEnum):
    """Where `t` lies, seen from the time of receipt."""

    VALID = "valid"
    WITHIN_GRACE = "within_grace"
    EXPIRED = "expired"
    TOO_FAR_AHEAD = "too_far_ahead"


def judge_expiry(t: str, now_s: float, grace_s: int, ahead_max_s: int) -> Expiry:
    """Where `t` (ASCII digits, leading zeros allowed) lies; `t == now_s` has not passed.

    The window also closes a gap of the signature: key and t are concatenated without a separator, so if
    one key is another one with digits after it, a signature of "k1" for t = 23 is one of "k" for t = 123.
    Such a shift makes a ten-digit `t` of today nine or eleven digits long, decades behind or centuries
    ahead, and both are outside the window.
    """
    digits = t.lstrip("0")
    if len(digits) > T_SIGNIFICANT_DIGITS_MAX:
        return Expiry.TOO_FAR_AHEAD
    t_s = int(digits or "0")
    if t_s >= now_s:
        return Expiry.TOO_FAR_AHEAD if t_s > now_s + ahead_max_s else Expiry.VALID
    return Expiry.WITHIN_GRACE if t_s + grace_s >= now_s else Expiry.EXPIRED
