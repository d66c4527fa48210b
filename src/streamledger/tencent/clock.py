"""Whether our clock stands beside the sender's: what the `t` of genuine deliveries says of it."""

from collections.abc import Iterable
from typing import Final

import msgspec

from streamledger.tencent.expiry import SIGNATURE_VALIDITY_S, T_SIGNIFICANT_DIGITS_MAX

PAIRS_MIN: Final = 5
"""Fewer distinct signatures tell nothing."""
PAIRS_MAX: Final = 20
"""So many of the latest tell enough, and soon after the clock was moved."""
OFF_S: Final = 120
"""How far a signing may lie from its receipt; a first delivery takes some seconds."""
SHARE: Final = 10
"""One of so many may come at another time: a retry after an outage, or a captured one, played again."""


class Signing(msgspec.Struct, frozen=True):
    """A signature that one of our keys has verified, and when it came."""

    t: str
    sign: str
    received_at_s: float


class ClockOff(msgspec.Struct, frozen=True):
    """Nearly all of the latest signings lie so far from their receipt."""

    of: int
    """Distinct pairs of t and sign that were looked at."""
    off_s: int
    """The one in the middle: positive when we received it so long after it was signed."""

    def __str__(self) -> str:
        if self.off_s > 0:
            return (
                f"of the latest {self.of} signatures nearly all were received more than {OFF_S} s after they"
                f" were made, about {self.off_s} s: this machine's clock is ahead of the sender's, or"
                " everything comes late"
            )
        return (
            f"of the latest {self.of} signatures nearly all were received before they were made, by about"
            f" {-self.off_s} s: this machine's clock is behind the sender's"
        )


def judge_clock(signings: Iterable[Signing]) -> ClockOff | None:
    """What the signings, latest first, say; None when the clock is well or too few tell of it.

    Each pair of t and sign counts once, as it came first: who has captured one can play it again and again.
    """
    first: dict[tuple[str, str], float] = {}
    for each in signings:
        pair = (each.t, each.sign)
        if len(each.t) <= T_SIGNIFICANT_DIGITS_MAX and (pair in first or len(first) < PAIRS_MAX):
            first[pair] = min(each.received_at_s, first.get(pair, each.received_at_s))
    if len(first) < PAIRS_MIN:
        return None
    off_s = sorted(at_s - (int(t) - SIGNATURE_VALIDITY_S) for (t, _), at_s in first.items())
    odd = len(off_s) // SHARE
    if off_s[odd] > OFF_S or off_s[-1 - odd] < -OFF_S:
        return ClockOff(len(off_s), round(off_s[len(off_s) // 2]))
    return None
