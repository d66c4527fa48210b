"""The sender's schedules: whether a moment fits one of them, counted from its latest try that is known."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from streamledger.domain.kinds import RetrySchedule

GRID_SLACK_MS: Final = 3000
"""How far a try may lie outside its window: scheduling, network, clocks. At most a third of the interval."""

WAITED_MS_MAX: Final = 17_000
"""How long a try may have waited in our own queue before its receipt was noted, which is our clock.
With the slack, a step of today's schedule reaches to 100 s, and the one after it may be that much shorter."""

CLOCKS_APART_MS_MAX: Final = 5_000
"""What seems to be signed longer than this after its receipt was signed for longer than is known."""


class Try(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One try of the sender, as far as it is known."""

    try_ms: int
    """Receipt of it."""
    tries: int = 0
    """Its number; the first delivery is no retry."""
    tries_min: int = 0
    """The least that number can be, when tries before it that never arrived were slow to fail."""
    sent_from_ms: int | None = None
    """From when on it may have been sent: before its receipt, where it may have waited in our own queue."""

    @property
    def waited_ms_max(self) -> int:
        """How long it may have waited."""
        return 0 if self.sent_from_ms is None else max(0, self.try_ms - self.sent_from_ms)


class Tries(Try, frozen=True, kw_only=True):
    """The sender's latest try of one notification by one key, and the one before it.

    Two chains of tries may run side by side: the sender gave a call up that had arrived. So a try is
    counted from the latest one, or from the one before, which of both is its own.
    """

    before: Try | None = None


class Grid(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The schedule that a repeated delivery fits, or the one that it misses least."""

    era: str
    interval_s: int
    retry: int
    """Which retry it is, or would be, if tries that never arrived failed at once."""
    retry_min: int | None = None
    """Which it is if they waited for replies as long as they can, where that is another one."""
    distance_s: float
    """Past the point where a schedule without delays has this retry; negative before it. Up to
    `reply_timeout_s` for each try since the last one seen, and the slack, it still fits."""


class Fit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How a moment fits the sender's schedules."""

    grid: Grid
    counted_from: Try | None
    """The try from which it fits; None where it fits from none."""
    turn_ms: int | None
    """The earliest that its turn can have been by any step that fits: from that try or the one before, by any
    schedule. Which of them it was nobody can tell, and each leaves another time in our queue."""


def nearest(
    tries: Tries, received_ms: int, schedules: Sequence[RetrySchedule], *, may_have_waited: bool
) -> Fit | None:
    """The schedule that this moment fits, or misses least; None without schedules.

    Counted from the sender's latest try that is known, so that its delays do not add up; else from the one
    before it. Where several schedules fit, the one with the least delay is taken, then the younger era.
    """
    first: Fit | None = None
    turns: list[int] = []
    for one in [tries] if tries.before is None else [tries, tries.before]:
        found = _nearest(one, received_ms, schedules, may_have_waited=may_have_waited)
        if found is None:
            return None
        turns += [] if found.turn_ms is None else [found.turn_ms]
        if first is None or (first.counted_from is None and found.counted_from is not None):
            first = found
    assert first is not None  # noqa: S101  # there is always a latest try
    return msgspec.structs.replace(first, turn_ms=min(turns, default=None))


def sent_from(received_ms: int, t_s: int | None, validity_s: int, earliest_ms: int | None = None) -> int:
    """From when on a try may have been sent: not before it was signed, nor its turn (`earliest_ms`)."""
    from_ms = received_ms - WAITED_MS_MAX
    if earliest_ms is not None:
        from_ms = max(from_ms, earliest_ms)
    if t_s is not None and (signed_ms := (t_s - validity_s) * 1000) <= received_ms + CLOCKS_APART_MS_MAX:
        from_ms = max(from_ms, signed_ms)
    return min(from_ms, received_ms)


def later_try(
    tries: Tries,
    fit: Fit | None,
    *,
    try_ms: int,
    number: int,
    t_s: int | None,
    validity_s: int,
) -> dict[str, Any]:
    """What is new of the tries by a key after this one; without a fit it is the latest one sent twice.

    `t_s` is its own `t`, where that was made for it.
    """
    if fit is None:
        sent_ms = tries.sent_from_ms
        return {"try_ms": try_ms, "sent_from_ms": None if sent_ms is None else min(sent_ms, try_ms)}
    return {
        "try_ms": try_ms,
        "tries": number,
        "tries_min": number if fit.grid.retry_min is None else fit.grid.retry_min,
        "sent_from_ms": sent_from(try_ms, t_s, validity_s, fit.turn_ms),
        "before": Try(
            try_ms=tries.try_ms,
            tries=tries.tries,
            tries_min=tries.tries_min,
            sent_from_ms=tries.sent_from_ms,
        ),
    }


def _nearest(
    tries: Try, received_ms: int, schedules: Sequence[RetrySchedule], *, may_have_waited: bool
) -> Fit | None:
    best: tuple[tuple[bool, int, int], Grid] | None = None
    turns: list[int] = []
    for age, schedule in enumerate(reversed(schedules)):
        missed_ms, late_ms, grid = _on(
            schedule, tries, received_ms - tries.try_ms, may_have_waited=may_have_waited
        )
        rank = (missed_ms > 0, missed_ms or abs(late_ms), age)
        if best is None or rank < best[0]:
            best = rank, grid
        if not missed_ms:
            steps = max(1, (grid.retry if grid.retry_min is None else grid.retry_min) - tries.tries_min)
            turns.append(tries.try_ms - tries.waited_ms_max + steps * grid.interval_s * 1000)
    if best is None:
        return None
    return Fit(grid=best[1], counted_from=tries if turns else None, turn_ms=min(turns, default=None))


def _on(
    schedule: RetrySchedule, tries: Try, since_ms: int, *, may_have_waited: bool
) -> tuple[int, int, Grid]:
    """By how much a moment misses a schedule, 0 when it fits; how late it is there; and its place.

    Tries between that never arrived may have been slow or quick, so the number of steps is a range: as
    many as without any delay, as few as with the longest. The most is told, the least decides whether
    the schedule is used up: a genuine last try must not be taken for one too many. Where the try before
    waited in our own queue, the step from it is the shorter.
    """
    interval_ms = schedule.interval_s * 1000
    longest_ms = interval_ms + schedule.reply_timeout_s * 1000
    slack_ms = min(GRID_SLACK_MS, interval_ms // 3)
    waits = may_have_waited and schedule.reply_timeout_s > 0
    late_ms_max = slack_ms + (WAITED_MS_MAX if waits else 0)
    early_ms_max = slack_ms + (tries.waited_ms_max if waits else 0)
    most = (since_ms + early_ms_max) // interval_ms
    least = max(1, -((late_ms_max - since_ms) // longest_ms))
    left = schedule.retries - tries.tries_min
    if most < 1:
        missed_ms = interval_ms - early_ms_max - since_ms
    elif least > min(most, left):
        missed_ms = since_ms - max(0, min(most, left)) * longest_ms - late_ms_max
    else:
        missed_ms = 0
    in_time = max(1, (since_ms + slack_ms) // interval_ms)
    steps = max(least, min(most, in_time, schedule.retries - tries.tries))
    late_ms = since_ms - steps * interval_ms
    retry = min(tries.tries + steps, schedule.retries) if not missed_ms else tries.tries + steps
    retry_min = tries.tries_min + least
    grid = Grid(
        era=schedule.era,
        interval_s=schedule.interval_s,
        retry=retry,
        retry_min=retry_min if retry_min < retry else None,
        distance_s=late_ms / 1000,
    )
    return missed_ms, late_ms, grid
