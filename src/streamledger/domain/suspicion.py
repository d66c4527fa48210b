"""What speaks against a session that has no stop: the rules, as data, and their application."""

from collections.abc import Mapping
from typing import Final

import msgspec

NEWER_PUSH_MS_MAX: Final = 60_000
RECORDING_ENDED_MS_MAX: Final = 300_000
"""Recording files come up to 5 min after their end (protocol section 2), so nothing is missed before."""


class SuspectLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How old the evidence of each rule must be before it counts."""

    silence_ms_max: int
    newer_push_ms_max: int = NEWER_PUSH_MS_MAX
    recording_ended_ms_max: int = RECORDING_ENDED_MS_MAX


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of evidence. It counts when it is older than the limit and no sign came after it."""

    code: str
    setting: str
    """The setting that holds its limit, in seconds."""
    text: str


RULES: Final = (
    Rule(
        code="silence",
        setting="silence_s_max",
        text="nothing was heard of it for longer than silence_s_max",
    ),
    Rule(
        code="newer_push",
        setting="newer_push_s_max",
        text="a newer push of the stream began more than newer_push_s_max ago, and this gave no sign since",
    ),
    Rule(
        code="recording_ended",
        setting="recording_ended_s_max",
        text="its recording ended more than recording_ended_s_max ago, and it gave no sign since",
    ),
)
"""In the order in which the reasons are shown; docs/sessions.md lists them, and a test compares the two."""


def recording_ended_ms(
    last_status: tuple[int, str | None] | None, last_file: tuple[int, int] | None
) -> int | None:
    """When the recording of a push is known to have ended; None while nothing says so.

    Of the last recording status its time and record_event, of the last file begin and end, all by their
    times. It has ended when Tencent says so (332), or when no file followed the last one for as long as
    that one is: a new file begins where the last one ends.
    """
    if last_status is not None and last_status[1] == "record_ended":
        return last_status[0] if last_file is None else max(last_status[0], last_file[1])
    if last_file is None or (last_status is not None and last_status[0] > last_file[1]):
        return None
    return 2 * last_file[1] - last_file[0]


def suspicions(now_ms: int, evidence: Mapping[str, tuple[int | None, int]], latest_sign_ms: int) -> list[str]:
    """The codes of the rules that speak against a session.

    `evidence` gives for each rule's code the time of its evidence (None: there is none) and its limit.
    """
    found = []
    for rule in RULES:
        at_ms, limit_ms = evidence[rule.code]
        if at_ms is not None and now_ms - at_ms > limit_ms and latest_sign_ms <= at_ms:
            found.append(rule.code)
    return found
