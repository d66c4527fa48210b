"""Delivery forensics: what one delivery of a notification is, seen beside those before it.

A pure function of the deliveries of one notification in ledger order, one after another: `judge`
says what a delivery is, `remember` what must be known of it to judge the next. What is remembered
is bounded, however often a notification is delivered. Schedules are data and come as arguments.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Protocol, TypeVar

import msgspec

FORENSICS_VERSION: Final = 2
"""Raised whenever the same history would be judged otherwise: a rebuild of the deliveries is then due."""

GRID_SLACK_MS: Final = 3000
"""How far a try may lie outside its window: scheduling, network, clocks. At most a third of the interval."""

SENT_TWICE_MS_MAX: Final = 2000
"""A repetition this soon after a try of the sender is that try again: a connection was cut before the
acknowledgement was read, and the sender's HTTP client or a proxy between sent the request anew."""

OTHER_CONTENTS_MAX: Final = 8
"""Contents of one identity, beside the first, whose first deliveries are remembered."""

SIGNED_EARLY_S_MIN: Final = 60
"""A signature this much older than the fact it stands under was not made for it: a captured pair of t and
sign signs any body. Genuine ones were observed from 0 s to seven minutes after the fact, never before."""

T_DIGITS_MAX: Final = 12
"""A longer `t` names no second that anybody lives to see; it is compared, but not calculated with."""


class DeliveryClass(StrEnum):
    """What a delivery is, seen beside those of the same notification before it."""

    FIRST = "first"
    RETRY = "retry"  # on the schedule of its type, from the same address
    LATE_RETRY = "late_retry"  # the same, but its `t` had passed
    REPLAY = "replay"  # the same content off every schedule, from another address, or signed before the first
    CONFLICT = "conflict"  # the same identity with another content
    RELEASED = "released"  # believed by an operator's decision


REASONS: Final = {
    "on_schedule": "fits the sender's schedule",
    "sent_twice": "repeats a try of the sender within two seconds",
    "other_address": "came from another address than the first",
    "older_t": "was signed before the first, as no retry is",
    "off_schedule": "fits no retry schedule",
    "signed_early": "was signed long before what it reports",
    "after_t": "its t had passed",
    "other_content": "says something else than the first",
    "operator_decision": "was believed by an operator's decision",
    "never_believed": "no delivery of this notification was believed before",
}
"""Every reason code of `Evidence.because`, in words."""


class Schedule(Protocol):
    """A retry schedule (tencent.catalogue holds the documented ones)."""

    @property
    def era(self) -> str:
        """Its name in the evidence."""

    @property
    def interval_s(self) -> int:
        """From the end of one try to the next."""

    @property
    def retries(self) -> int:
        """Tries after the first."""

    @property
    def reply_timeout_s(self) -> int:
        """How long a try may last before it counts as failed: each try may move the next by as much."""


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """What forensics looks at in one delivery."""

    position: int
    received_ms: int
    source_ip: str = ""
    """Empty when it is not known."""
    content: str
    """Digest of the body less t and sign."""
    bytes_digest: int
    """Of the body as received, t and sign included."""
    t: str | None = None
    """As sent."""
    key: str | None = None
    happened_ms: int | None = None
    """When the fact happened that it reports, for a recording the end of its content."""
    was_released: bool = False


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of a notification: its first delivery, and the sender's latest try."""

    first_position: int
    first_ms: int
    """Receipt of the first delivery in the ledger."""
    source_ip: str
    content: str
    bytes_digest: int
    t: str | None
    callback_key: str | None
    deliveries: int = 1
    try_ms: int
    """Receipt of the latest delivery that fits the sender's schedule; the first one to begin with."""
    tries: int = 0
    """The number of that try; the first delivery is no retry."""
    tries_min: int = 0
    """The least that number can be, when tries before it that never arrived were slow to fail."""
    other_contents: tuple[tuple[str, int], ...] | None = None
    """Contents of conflicts, each with the position where it came first."""


class Grid(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
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


class Evidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a delivery is classed as it is; what does not apply is left out."""

    because: tuple[str, ...] = ()
    """Codes of REASONS."""
    since_first_s: float | None = None
    since_try_s: float | None = None
    """Since the sender's latest try before it, where that is not the first delivery."""
    grid: Grid | None = None
    address: str | None = None
    """same or other, compared with the first; nothing when one is not known."""
    t: str | None = None
    """same, renewed, older, or absent in this delivery, compared with the first."""
    bytes: str | None = None
    """same or other, compared with the first: with the same t and sign and in the same spelling, or not."""
    key: str | None = None
    """Name of the callback key that verified it, where it is another one than the first's."""
    signed_after_s: int | None = None
    """`t` less the validity, so about when it was signed, less the time of the fact."""
    late_s: float | None = None
    """How long ago `t` had passed at receipt."""
    same_as: int | None = None
    """Of a conflict: the position where this same content came first, if this is not it."""
    differs: tuple[str, ...] = ()
    """Of a conflict: top-level fields, t and sign apart, that differ from the first delivery's."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What a delivery is, which retry, and why."""

    judged_as: DeliveryClass
    try_number: int | None
    """The n-th retry; 0 for the first try sent twice; None for what is no retry."""
    evidence: Evidence


def begin(sighting: Sighting) -> Known:
    """What is known of a notification after its first delivery."""
    return Known(
        first_position=sighting.position,
        first_ms=sighting.received_ms,
        source_ip=sighting.source_ip,
        content=sighting.content,
        bytes_digest=sighting.bytes_digest,
        t=sighting.t,
        callback_key=sighting.key,
        try_ms=sighting.received_ms,
    )


def judge_first(sighting: Sighting, validity_s: int) -> Judged:
    """The first delivery of a notification in the ledger: first, or released when an operator let it in."""
    late_s, signed_after_s = _times_of_signature(sighting, validity_s)
    return first_by(late_s, signed_after_s, was_released=sighting.was_released)


def first_by(late_s: float | None, signed_after_s: int | None, *, was_released: bool) -> Judged:
    """The same from all that it depends on, as `times_of_signature` gives it."""
    because = ("operator_decision",) if was_released else ()
    return Judged(
        judged_as=DeliveryClass.RELEASED if was_released else DeliveryClass.FIRST,
        try_number=None,
        evidence=Evidence(
            because=(*because, *_of_signature(late_s, signed_after_s)),
            signed_after_s=signed_after_s,
            late_s=late_s,
        ),
    )


def judge(known: Known, sighting: Sighting, schedules: Sequence[Schedule], validity_s: int) -> Judged:
    """A repeated delivery; the first of these that applies: released, conflict, replay, retry.

    `schedules` are those of its event type, oldest era first; `validity_s` is how long before `t` it
    was signed. Another address or an older `t` is a replay even on the grid: a retry comes from whoever
    tried first, with the same signature or a later one.
    """
    sent_twice = _is_sent_twice(known, sighting)
    grid, fits = (None, False) if sent_twice else _nearest(known, sighting.received_ms, schedules)
    late_s, signed_after_s = _times_of_signature(sighting, validity_s)
    address = _compared(known.source_ip or None, sighting.source_ip or None)
    same_as = dict(known.other_contents or ()).get(sighting.content)
    conflicts = sighting.content != known.content
    t = _compared_t(known.t, sighting.t)
    on_schedule = (sent_twice or fits) and address != "other" and t != "older"
    try_number = None
    because: list[str] = []
    if sighting.was_released:
        judged_as = DeliveryClass.RELEASED
        because.append("operator_decision")
    elif conflicts:
        judged_as = DeliveryClass.CONFLICT
    elif on_schedule:
        judged_as = DeliveryClass.LATE_RETRY if late_s else DeliveryClass.RETRY
        try_number = known.tries if sent_twice else (grid.retry if grid else None)
        because.append("sent_twice" if sent_twice else "on_schedule")
    else:
        judged_as = DeliveryClass.REPLAY
    if conflicts:
        because.append("other_content")
    if address == "other":
        because.append("other_address")
    if t == "older":
        because.append("older_t")
    if judged_as is DeliveryClass.REPLAY and not (sent_twice or fits):
        because.append("off_schedule")
    because += _of_signature(late_s, signed_after_s)
    evidence = Evidence(
        because=tuple(because),
        since_first_s=_seconds(sighting.received_ms - known.first_ms),
        since_try_s=_seconds(sighting.received_ms - known.try_ms) if known.tries else None,
        grid=grid,
        address=address,
        t=t,
        bytes="same" if sighting.bytes_digest == known.bytes_digest else "other",
        key=sighting.key if sighting.key != known.callback_key else None,
        signed_after_s=signed_after_s,
        late_s=late_s,
        same_as=same_as,
    )
    return Judged(judged_as=judged_as, try_number=try_number, evidence=evidence)


KnownT = TypeVar("KnownT", bound=Known)


def remember(known: KnownT, sighting: Sighting, judged: Judged) -> KnownT:
    """What is known after a repeated delivery. Only what fits the schedule counts as a try of the sender."""
    others = known.other_contents or ()
    if sighting.content != known.content and sighting.content not in dict(others):
        others = (*others, (sighting.content, sighting.position))[:OTHER_CONTENTS_MAX]
    try_ms, tries, tries_min = known.try_ms, known.tries, known.tries_min
    if judged.try_number is not None:
        try_ms, tries = sighting.received_ms, judged.try_number
        grid = judged.evidence.grid
        if grid is not None:  # there is none for a try sent twice
            tries_min = tries if grid.retry_min is None else grid.retry_min
    return msgspec.structs.replace(
        known,
        deliveries=known.deliveries + 1,
        try_ms=try_ms,
        tries=tries,
        tries_min=tries_min,
        other_contents=others or None,
    )


def _is_sent_twice(known: Known, sighting: Sighting) -> bool:
    return sighting.content == known.content and abs(sighting.received_ms - known.try_ms) <= SENT_TWICE_MS_MAX


def _nearest(known: Known, received_ms: int, schedules: Sequence[Schedule]) -> tuple[Grid | None, bool]:
    """The schedule that this moment fits, or misses least, and whether it fits.

    Counted from the sender's latest try that is known, so that its delays do not add up. Where several
    schedules fit, the one with the least delay is taken, then the younger era.
    """
    best: tuple[tuple[bool, int, int], Grid] | None = None
    for age, schedule in enumerate(reversed(schedules)):
        missed_ms, late_ms, grid = _on(schedule, known, received_ms - known.try_ms)
        rank = (missed_ms > 0, missed_ms or abs(late_ms), age)
        if best is None or rank < best[0]:
            best = rank, grid
    return (None, False) if best is None else (best[1], not best[0][0])


def _on(schedule: Schedule, known: Known, since_ms: int) -> tuple[int, int, Grid]:
    """By how much a moment misses a schedule, 0 when it fits; how late it is there; and its place.

    Tries between that never arrived may have been slow or quick, so the number of steps is a range: as
    many as without any delay, as few as with the longest. The most is told, the least decides whether
    the schedule is used up: a genuine last try must not be taken for one too many.
    """
    interval_ms = schedule.interval_s * 1000
    longest_ms = interval_ms + schedule.reply_timeout_s * 1000
    slack_ms = min(GRID_SLACK_MS, interval_ms // 3)
    most = (since_ms + slack_ms) // interval_ms
    least = max(1, -((slack_ms - since_ms) // longest_ms))
    left = schedule.retries - known.tries_min
    if most < 1:
        missed_ms = interval_ms - slack_ms - since_ms
    elif least > min(most, left):
        missed_ms = since_ms - max(0, min(most, left)) * longest_ms - slack_ms
    else:
        missed_ms = 0
    steps = max(least, min(most, schedule.retries - known.tries))
    late_ms = since_ms - steps * interval_ms
    retry = min(known.tries + steps, schedule.retries) if not missed_ms else known.tries + steps
    retry_min = known.tries_min + least
    grid = Grid(
        era=schedule.era,
        interval_s=schedule.interval_s,
        retry=retry,
        retry_min=retry_min if retry_min < retry else None,
        distance_s=late_ms / 1000,
    )
    return missed_ms, late_ms, grid


def _compared(first: str | None, this: str | None) -> str | None:
    if first is None or this is None:
        return None
    return "same" if first == this else "other"


def _compared_t(first: str | None, this: str | None) -> str | None:
    if this is None:
        return None if first is None else "absent"
    if first == this:
        return "same"
    first_s, this_s = _seconds_of(first), _seconds_of(this)
    return "older" if first_s is not None and this_s is not None and this_s < first_s else "renewed"


def _seconds_of(t: str | None) -> int | None:
    digits = (t or "").lstrip("0")
    return int(digits) if 0 < len(digits) <= T_DIGITS_MAX else None


def _times_of_signature(sighting: Sighting, validity_s: int) -> tuple[float | None, int | None]:
    return times_of_signature(sighting.t, sighting.received_ms, sighting.happened_ms, validity_s)


def times_of_signature(
    t: str | None, received_ms: int, happened_ms: int | None, validity_s: int
) -> tuple[float | None, int | None]:
    """How long after its `t` a delivery came, if it did, and how long after the event it was signed."""
    t_s = _seconds_of(t)
    if t_s is None:
        return None, None
    late_ms = received_ms - t_s * 1000
    late_s = _seconds(late_ms) if late_ms > 0 else None
    return late_s, None if happened_ms is None else t_s - validity_s - happened_ms // 1000


def _of_signature(late_s: float | None, signed_after_s: int | None) -> list[str]:
    early = signed_after_s is not None and signed_after_s <= -SIGNED_EARLY_S_MIN
    return ["signed_early"] * early + ["after_t"] * (late_s is not None)


def _seconds(ms: int) -> float:
    return ms / 1000
