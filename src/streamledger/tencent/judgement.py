"""May a delivery be believed: the signature table of the design, as one pure function."""

from collections.abc import Sequence
from enum import StrEnum
from typing import assert_never

import msgspec

from streamledger.tencent.envelope import Envelope
from streamledger.tencent.expiry import Expiry, judge_expiry
from streamledger.tencent.signature import CallbackKey, verify


class Verdict(StrEnum):
    """What is to be done with a readable delivery; every value but BELIEVED is a reason for quarantine."""

    BELIEVED = "believed"
    EXPIRED = "expired"
    TOO_FAR_AHEAD = "too_far_ahead"
    BAD_SIGNATURE = "bad_signature"
    UNSIGNED = "unsigned"


class Judgement(msgspec.Struct, frozen=True, gc=False):
    """A verdict and what led to it."""

    verdict: Verdict
    key: str | None = None
    """Name of the key that verified the signature, also of one believed no more or not yet."""
    t_passed: bool = False
    """Whether the `t` of a good signature had passed, within the grace or beyond it."""


def judge(
    envelope: Envelope,
    keys: Sequence[CallbackKey],
    now_s: float,
    grace_s: int,
    ahead_max_s: int,
    path_token_matched: bool,
    path_token_configured: bool = False,
    path_token_required: bool = False,
) -> Judgement:
    """The verdict on a delivery received at `now_s` (Unix seconds).

    Without keys everything readable is believed, but for what misses a configured path token. The path
    token stands in for a signature that is not there, never for a wrong one; where it is required, it is
    asked for beside the signature and stands in for none.
    """
    if not keys:
        return Judgement(
            Verdict.BELIEVED if path_token_matched or not path_token_configured else Verdict.UNSIGNED
        )
    # No number begins so: a zero that ends a neighbour of the key could pass for the beginning of `t`.
    if envelope.t_unreadable or envelope.sign_unreadable or (envelope.t or "").startswith("0"):
        return Judgement(Verdict.BAD_SIGNATURE)
    if envelope.t is None or envelope.sign is None:
        stands_in = path_token_matched and not path_token_required
        return Judgement(Verdict.BELIEVED if stands_in else Verdict.UNSIGNED)
    key = verify(keys, envelope.t, envelope.sign, now_s)
    if key is None:
        return Judgement(Verdict.BAD_SIGNATURE)
    expiry = judge_expiry(envelope.t, now_s, grace_s, ahead_max_s)
    match expiry:
        case Expiry.VALID:
            return Judgement(Verdict.BELIEVED, key)
        case Expiry.WITHIN_GRACE:
            return Judgement(Verdict.BELIEVED, key, t_passed=True)
        case Expiry.EXPIRED:
            return Judgement(Verdict.EXPIRED, key, t_passed=True)
        case Expiry.TOO_FAR_AHEAD:
            return Judgement(Verdict.TOO_FAR_AHEAD, key)
        case _:
            assert_never(expiry)
