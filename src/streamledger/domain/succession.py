"""How pushes of a stream bound each other: which follows one without a stop, how long it stays possible.

A push that was refused never ran: it follows nobody, and ends nobody's reach.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence

import msgspec

from streamledger.domain.place import agree
from streamledger.domain.session import (
    BEGAN_TOGETHER_MS,
    OPEN_BESIDE_NEWER_MS,
    OPEN_END_MS,
    OPEN_LATER_MAX,
    UNKNOWN_START_LOOKBACK_MS,
    Bounds,
    Span,
)


def same_place(app: str | None, appname: str | None, span: Span | Bounds) -> bool:
    """Whether app and appname agree with a span's wherever both sides know them."""
    return agree(app, appname, span.app, span.appname)


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """What came or changed among the pushes of a stream; by default everything."""

    since_ms: int = -(2**63)
    """The earliest moment that such a push had, or has, to do with."""
    moved: Collection[str] | None = None
    """Sequences of those that came, or whose beginning, place or end changed; None: all."""
    signed: Collection[str] = ()
    """Sequences of those that only gave a later sign."""
    witnesses: Collection[str] | None = None
    """What those without a stop have, or had, for their stream_param; None: whatever there is."""

    def has_moved(self, push: Bounds) -> bool:
        """Whether the push is among those that came or changed."""
        return self.moved is None or push.sequence in self.moved


def needed_from_ms(pushes: Iterable[Bounds], changed: Changed) -> int:
    """From where on all pushes of the stream must be at hand for `settle`: by their `reach_ms`."""
    needed_ms = changed.since_ms
    for push in pushes:
        if push.is_open:
            if changed.has_moved(push):
                needed_ms = min(needed_ms, push.span_from_ms)
        elif _may_be_shortened(push, changed):
            needed_ms = min(needed_ms, _lookback_ms(push))
    return needed_ms


def settle(pushes: Sequence[Bounds], changed: Changed = Changed()) -> None:  # noqa: B008  # frozen
    """Write into the bounds of a stream's pushes what the others decide.

    At hand must be what `needed_from_ms` says, and all without a stop that have one of the witnesses.
    """
    starts = sorted(
        ((push.sort_ms, push.sequence, push) for push in pushes if push.start_known and not push.refused),
        key=lambda start: start[:2],
    )
    times = [start[0] for start in starts]
    # The place is compared as it is known: so it can be told from few pushes which bound each other.
    by_place: dict[_Place, list[int]] = {}
    by_witness: dict[tuple[_Place, str], list[int]] = {}
    for began_ms, _, push in starts:
        if push.is_open:
            place = (push.app, push.appname)
            by_place.setdefault(place, []).append(began_ms)
            if push.witness is not None:
                by_witness.setdefault((place, push.witness), []).append(began_ms)
    for push in pushes:
        if push.is_open:
            has_moved = changed.has_moved(push)
            place = (push.app, push.appname)
            if has_moved or push.newer_ms >= changed.since_ms:
                push.newer_ms = _newer_ms(push, starts, bisect_right(times, push.span_from_ms))
            if has_moved or push.rival_ms >= changed.since_ms:
                not_with_it = bisect_right(times, push.span_from_ms + BEGAN_TOGETHER_MS)
                push.rival_ms = _newer_ms(push, starts, not_with_it)
            if has_moved or push.reach_ms >= changed.since_ms or push.sequence in changed.signed:
                after_ms = max(push.span_from_ms, push.last_sign_ms)
                _bound(push, _last_of_later(by_place.get(place, ()), after_ms))
            if push.witness is not None and (has_moved or push.witness_until_ms >= changed.since_ms):
                push.witness_until_ms = _last_of_later(
                    by_witness.get((place, push.witness), ()), push.span_from_ms
                )
        elif _may_be_shortened(push, changed):
            _shorten(push, pushes)


_Place = tuple[str | None, str | None]


def _last_of_later(begun_ms: Sequence[int], after_ms: int) -> int:
    """When the OPEN_LATER_MAX-th of these pushes began after a time; OPEN_END_MS when so many did not."""
    place = bisect_right(begun_ms, after_ms) + OPEN_LATER_MAX - 1
    return begun_ms[place] if place < len(begun_ms) else OPEN_END_MS


def _newer_ms(push: Bounds, starts: Sequence[tuple[int, str, Bounds]], place: int) -> int:
    for began_ms, sequence, other in starts[place:]:
        if sequence != push.sequence and same_place(push.app, push.appname, other):
            return began_ms
    return OPEN_END_MS


def _bound(push: Bounds, later_ms: int) -> None:
    """How long a push without a stop stays possible."""
    push.reach_ms = max(later_ms, push.rival_ms)
    if push.newer_ms == OPEN_END_MS:
        push.span_until_ms = push.sure_until_ms = OPEN_END_MS
    else:
        # Sure until a newer one begins, unless it gave a sign later.
        push.sure_until_ms = max(push.newer_ms, push.last_sign_ms)
        push.span_until_ms = min(push.sure_until_ms + OPEN_BESIDE_NEWER_MS, later_ms)


def _may_be_shortened(push: Bounds, changed: Changed) -> bool:
    if not push.ended or push.start_known or push.span_until_ms < push.span_from_ms:
        return False
    return push.span_until_ms > changed.since_ms or changed.has_moved(push)


def _lookback_ms(push: Bounds) -> int:
    return max(0, min(push.sure_from_ms, push.span_until_ms - UNKNOWN_START_LOOKBACK_MS))


def _shorten(push: Bounds, pushes: Iterable[Bounds]) -> None:
    """The reach of an unknown start ends at a push of the same place that had ended before its first sign."""
    push.span_from_ms = _lookback_ms(push)
    for other in pushes:
        if (
            other.ended
            and not other.refused
            and push.span_from_ms < other.span_until_ms <= push.sure_from_ms
            and other.span_until_ms < push.span_until_ms
            and same_place(push.app, push.appname, other)
        ):
            push.span_from_ms = other.span_until_ms
