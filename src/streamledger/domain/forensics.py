"""Delivery forensics: what one delivery of a notification is, seen beside those before it.

A pure function of the deliveries of one notification in ledger order, one after another: `judge`
says what a delivery is, `remember` what must be known of it to judge the next. What is remembered
is bounded, however often a notification is delivered. Schedules are data and come as arguments.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, TypeVar

import msgspec

from streamledger.domain.kinds import RetrySchedule
from streamledger.domain.schedule_fit import Fit, Grid, Tries, later_try, nearest, sent_from

FORENSICS_VERSION: Final = 5
"""Raised whenever the same history would be judged otherwise: a rebuild of the deliveries is then due."""

SENT_TWICE_MS_MAX: Final = 2000
"""A repetition this soon after a try of the sender is that try again: a connection was cut before the
acknowledgement was read, and the sender's HTTP client or a proxy between sent the request anew."""

OTHER_CONTENTS_MAX: Final = 8
"""Contents of one identity, beside the first, whose first deliveries are remembered."""

SIGNED_EARLY_S_MIN: Final = 60
"""A signature this much older than the fact it stands under was not made for it: a captured pair of t and
sign signs any body. Genuine ones were observed from 0 s to seven minutes after the fact, never before."""

TWIN_T_S_MAX: Final = 30
"""Two templates sign a fact at about one time; a retry that is signed anew is signed one interval later."""

TWINS_MAX: Final = 4
"""Keys beside the first one whose tries are remembered."""

T_DIGITS_MAX: Final = 12
"""A longer `t` names no second that anybody lives to see; it is compared, but not calculated with."""


class DeliveryClass(StrEnum):
    """What a delivery is, seen beside those of the same notification before it."""

    FIRST = "first"
    RETRY = "retry"  # on the schedule of its type, from the same address
    LATE_RETRY = "late_retry"  # the same, but its `t` had passed
    TWIN = "twin"  # the same content by another key that is in use beside the first one's: another template
    REPLAY = (
        "replay"  # the same content off every schedule, from an unknown address, or signed before the first
    )
    CONFLICT = "conflict"  # the same identity with another content
    RELEASED = "released"  # believed by an operator's decision


REASONS: Final = {
    "on_schedule": "fits the sender's schedule",
    "sent_twice": "repeats a try of the sender within two seconds",
    "other_key": "came by another key, that of another callback template",
    "other_address": "came from another address than the first, which is not known to be the sender's",
    "older_t": "was signed before the first, as no retry is",
    "off_schedule": "fits no retry schedule",
    "signed_early": "was signed long before what it reports",
    "after_t": "its t had passed",
    "other_content": "says something else than the first",
    "operator_decision": "was believed by an operator's decision",
    "pair_elsewhere": "its t and sign came from an address of the sender's too, and this one is not known",
    "never_believed": "no delivery of this notification was believed before",
}
"""Every reason code of `Evidence.because`, in words."""


class Sighting(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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
    address_known: bool = False
    """Whether the address was known to be the sender's by then (`domain.senders`)."""
    keys_beside: tuple[str, ...] = ()
    """The keys that were known by then to be in use side by side with its own."""


class Twin(Tries, frozen=True, kw_only=True):
    """The sender's tries by a key beside that of the first delivery."""

    callback_key: str
    t: str | None
    source_ip: str = ""


class Known(Tries, frozen=True, kw_only=True):
    """What is remembered of a notification: its first delivery, and the sender's latest tries."""

    first_position: int
    first_ms: int
    """Receipt of the first delivery in the ledger."""
    source_ip: str
    content: str
    bytes_digest: int
    t: str | None
    callback_key: str | None
    deliveries: int = 1
    other_contents: tuple[tuple[str, int], ...] | None = None
    """Contents of conflicts, each with the position where it came first."""
    twins: tuple[Twin, ...] | None = None
    """The tries by other keys."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Why a delivery is classed as it is; what does not apply is left out."""

    because: tuple[str, ...] = ()
    """Codes of REASONS."""
    since_first_s: float | None = None
    since_try_s: float | None = None
    """Since the sender's latest try before it, where that is not the first delivery."""
    grid: Grid | None = None
    address: str | None = None
    """Compared with the first: same, another one that is known to be the sender's, or other; nothing when one
    of both is not told."""
    t: str | None = None
    """same, renewed, older, or absent in this delivery, compared with the first by its key."""
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


class Judged(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a delivery is, which retry, and why."""

    judged_as: DeliveryClass
    try_number: int | None
    """The n-th retry; 0 for the first try sent twice, or by another key; None for what is no retry."""
    evidence: Evidence
    fit: Fit | None = None
    """How it fits a schedule, or misses all; None where no step was counted."""


def begin(sighting: Sighting, validity_s: int) -> Known:
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
        sent_from_ms=sent_from(sighting.received_ms, _seconds_of(sighting.t), validity_s),
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


def judge(known: Known, sighting: Sighting, schedules: Sequence[RetrySchedule], validity_s: int) -> Judged:
    """A repeated delivery; the first of these that applies: released, conflict, twin, retry, replay.

    `schedules` are those of its event type, oldest era first; `validity_s` is how long before `t` it
    was signed. An unknown address or an older `t` is a replay even on the grid: a retry comes from whoever
    tried first or is known to be the sender, with the same signature or a later one. Only of what was sent
    twice within a moment may the later try have been handled first.
    """
    tries = _tries_by(known, sighting.key)
    sent_twice = sighting.content == known.content and abs(sighting.received_ms - tries.try_ms) <= (
        SENT_TWICE_MS_MAX
    )
    address = _compared_address({known.source_ip, tries.source_ip}, sighting)
    t = _compared_t(tries.t, sighting.t)
    conflicts = sighting.content != known.content
    is_first_by_key = not conflicts and _is_first_by_key(known, sighting)
    is_twin = is_first_by_key and _is_twin(known, sighting, from_stranger=address == "other")
    fit = None
    if not (is_twin or sent_twice):
        may_have_waited = address != "other" and t in (None, "same", "renewed")
        fit = nearest(tries, sighting.received_ms, schedules, may_have_waited=may_have_waited)
        if is_first_by_key and address != "other" and (fit is None or fit.counted_from is None):
            is_twin, fit = True, None  # a key that replaced the first one would keep to its schedule
    fits = fit is not None and fit.counted_from is not None
    late_s, signed_after_s = _times_of_signature(sighting, validity_s)
    try_number = None
    because: list[str] = []
    if sighting.was_released:
        judged_as = DeliveryClass.RELEASED
        because.append("operator_decision")
    elif conflicts:
        judged_as = DeliveryClass.CONFLICT
    elif is_twin:
        judged_as, try_number = DeliveryClass.TWIN, 0
        because.append("other_key")
    elif address != "other" and (sent_twice or (fits and t != "older")):
        judged_as = DeliveryClass.LATE_RETRY if late_s else DeliveryClass.RETRY
        try_number = tries.tries if sent_twice else (fit.grid.retry if fit else None)
        because.append("sent_twice" if sent_twice else "on_schedule")
    else:
        judged_as = DeliveryClass.REPLAY
    if conflicts:
        because.append("other_content")
    if address == "other":
        because.append("other_address")
    if t == "older" and not (sent_twice or is_twin):
        because.append("older_t")
    if judged_as is DeliveryClass.REPLAY and not (sent_twice or fits):
        because.append("off_schedule")
    because += _of_signature(late_s, signed_after_s)
    evidence = Evidence(
        because=tuple(because),
        since_first_s=_seconds(sighting.received_ms - known.first_ms),
        since_try_s=_seconds(sighting.received_ms - tries.try_ms) if tries.tries else None,
        grid=fit.grid if fit else None,
        address=address,
        t=t,
        bytes="same" if sighting.bytes_digest == known.bytes_digest else "other",
        key=sighting.key if sighting.key != known.callback_key else None,
        signed_after_s=signed_after_s,
        late_s=late_s,
        same_as=dict(known.other_contents or ()).get(sighting.content),
    )
    return Judged(judged_as=judged_as, try_number=try_number, evidence=evidence, fit=fit)


def _tries_by(known: Known, key: str | None) -> Known | Twin:
    """The tries by this key; by a key of which none is known, those by the first one."""
    return next((twin for twin in known.twins or () if twin.callback_key == key), known)


def _is_first_by_key(known: Known, sighting: Sighting) -> bool:
    """Whether this is the first delivery by another key than the first's."""
    if sighting.key is None or known.callback_key is None or sighting.key == known.callback_key:
        return False
    return not isinstance(_tries_by(known, sighting.key), Twin)


def _is_twin(known: Known, sighting: Sighting, *, from_stranger: bool) -> bool:
    """Whether the first delivery by a key is that of another template, in use beside the first one's.

    That is known of both keys by then, or shows here: both signed the fact at about one time, when a retry
    by a key that replaced the first one would have been signed an interval later. Of an address that is not
    known it is enough only when it came at about that time too.
    """
    first_s, this_s = _seconds_of(known.t), _seconds_of(sighting.t)
    at_one_time = first_s is not None and this_s is not None and abs(this_s - first_s) <= TWIN_T_S_MAX
    if from_stranger:
        return at_one_time and abs(sighting.received_ms - known.first_ms) <= TWIN_T_S_MAX * 1000
    return at_one_time or known.callback_key in sighting.keys_beside


KnownT = TypeVar("KnownT", bound=Known)


def remember(known: KnownT, sighting: Sighting, judged: Judged, validity_s: int) -> KnownT:
    """What is known after a repeated delivery. Only what fits the schedule counts as a try of the sender."""
    others = known.other_contents or ()
    if sighting.content != known.content and sighting.content not in dict(others):
        others = (*others, (sighting.content, sighting.position))[:OTHER_CONTENTS_MAX]
    known = msgspec.structs.replace(known, deliveries=known.deliveries + 1, other_contents=others or None)
    if judged.try_number is None:
        return known
    if judged.judged_as is DeliveryClass.TWIN:
        twin = Twin(
            callback_key=sighting.key or "",
            t=sighting.t,
            source_ip=sighting.source_ip,
            try_ms=sighting.received_ms,
            sent_from_ms=sent_from(sighting.received_ms, _seconds_of(sighting.t), validity_s),
        )
        return msgspec.structs.replace(known, twins=(*(known.twins or ()), twin)[:TWINS_MAX])
    tries = _tries_by(known, sighting.key)
    later = later_try(
        tries,
        judged.fit,
        try_ms=sighting.received_ms,
        number=judged.try_number,
        t_s=_seconds_of(sighting.t) if judged.evidence.t == "renewed" else None,
        validity_s=validity_s,
    )
    if isinstance(tries, Twin):
        own = msgspec.structs.replace(tries, **later)
        return msgspec.structs.replace(
            known, twins=tuple(own if each is tries else each for each in known.twins or ())
        )
    return msgspec.structs.replace(known, **later)


def _compared_address(first: set[str], sighting: Sighting) -> str | None:
    if not all(first) or not sighting.source_ip:
        return None
    if sighting.source_ip in first:
        return "same"
    return "known" if sighting.address_known else "other"


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
