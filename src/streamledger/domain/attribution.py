"""To which session a recording or a screenshot belongs: by time on the same stream (ADR 0008).

They carry no sequence, so this is a judgement, and says how sure it is and why. A decision is a pure
function of the item, of the spans near it, and, when none comes near, of the latest open one before it.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from streamledger.domain.session import Span
from streamledger.domain.succession import same_place

SLACK_MS: Final = 5000
"""Times of media are "not exact to the second" (267/38082): how far beside a push its media may lie."""

SLACK_S_MAX: Final = 3600
"""The most slack that a what-if question may grant; the rules themselves grant SLACK_MS."""

LAST_OPEN_MAX: Final = 8
"""How many of the latest open pushes are asked for an item that no push comes near."""


class Confidence(StrEnum):
    """How sure an attribution is."""

    CERTAIN = "certain"
    PROBABLE = "probable"
    AMBIGUOUS = "ambiguous"


REASONS: Final = {
    "inside": "its time lies inside the push",
    "near": "its time lies outside the push, within the slack of a few seconds",
    "sticks_out": "part of it lies outside the push",
    "no_time": "its time cannot be read, so it belongs nowhere",
    "start_unknown": "the start of the push is not known",
    "stop_missing": "the push has no stop, and a newer push began before this",
    "only_candidate": "no other push of the stream comes near",
    "fits_best": "other pushes of the stream come near, and fit less well",
    "stream_param": "its stream_param equals that of this push and of no other candidate",
    "several": "it spans several pushes of the stream; this is one of them",
    "rivals": "several pushes of the stream ran at that time and nothing tells them apart",
    "last_open": "no push is known to have run at that time; this is the latest one without a stop",
}
"""What each reason code means, for people."""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A recording (content interval) or a moment (until_ms == at_ms) that has to find its session."""

    at_ms: int
    until_ms: int
    app: str | None = None
    appname: str | None = None
    stream_param: str | None = None


class Attribution(msgspec.Struct, frozen=True, kw_only=True):
    """One session an item belongs to; an item that spans several pushes has several."""

    sequence: str
    confidence: Confidence
    because: tuple[str, ...]
    alternatives: tuple[str, ...] = ()
    """Sequences of the sessions that were considered for the same part and not chosen."""


Interval = tuple[int, int]


def decide(item: Item, spans: Sequence[Span], slack_ms: int = SLACK_MS) -> tuple[Attribution, ...]:
    """The sessions the item belongs to, in order of time; empty when it fits none.

    `spans` are those of its stream, made with regard to each other (`succession.spans_of`). It may hold
    spans that do not come near the item: they have no influence while any other does.
    """
    only = _only_near(item, spans, slack_ms)
    if only is not None and _is_plain(item, only):
        return (Attribution(sequence=only.sequence, confidence=Confidence.CERTAIN, because=PLAIN),)
    here = [
        span for span in spans if span.until_ms >= span.from_ms and same_place(item.app, item.appname, span)
    ]
    reach = (item.at_ms - slack_ms, item.until_ms + slack_ms)
    near = [span for span in here if _meet(reach, _possible(span))]
    if not near:
        return _last_open(item, spans, slack_ms)
    core = core_of(item, slack_ms)
    held = [span for span in near if _meet(core, _possible(span))]
    if item.until_ms - item.at_ms <= 2 * slack_ms or not held:
        return (_short(item, near, slack_ms),)
    return _long(item, held, slack_ms)


PLAIN: Final = ("inside", "only_candidate")


def still_of_use(spans: Iterable[Span], gone_ms: int) -> list[Span]:
    """Those that end at `gone_ms` or later, and the latest open ones before: what later items ask for."""
    found, before = [], []
    for span in spans:
        if span.until_ms >= gone_ms:
            found.append(span)
        elif span.open:
            before.append(span)
    return sorted(before, key=_order)[-LAST_OPEN_MAX:] + found


def _only_near(item: Item, spans: Sequence[Span], slack_ms: int) -> Span | None:
    """The one span that comes near, whatever its place; None when there are several, or none."""
    from_ms, until_ms = item.at_ms - slack_ms, item.until_ms + slack_ms
    only = None
    for span in spans:
        if span.from_ms <= until_ms and from_ms <= span.until_ms:
            if only is not None:
                return None
            only = span
    return only


def _is_plain(item: Item, span: Span) -> bool:
    """Whether all of it surely lies in the only span near it: what the rules say of nearly all media."""
    at_ms, until_ms = item.at_ms, item.until_ms
    if not (span.from_certain and span.from_ms <= at_ms and until_ms <= span.until_ms):
        return False
    sure_from_ms, sure_until_ms = _sure(span)
    return sure_from_ms <= at_ms and until_ms <= sure_until_ms and same_place(item.app, item.appname, span)


def core_of(item: Item, slack_ms: int = SLACK_MS) -> Interval:
    """What surely belongs to the item whatever its times are off by: without the slack at both ends.

    Of an item no longer than twice the slack, its middle.
    """
    if item.until_ms - item.at_ms > 2 * slack_ms:
        return item.at_ms + slack_ms, item.until_ms - slack_ms
    middle_ms = (item.at_ms + item.until_ms) // 2
    return middle_ms, middle_ms


def _possible(span: Span) -> Interval:
    return span.from_ms, span.until_ms


def _sure(span: Span) -> Interval:
    return (
        span.from_ms if span.sure_from_ms is None else span.sure_from_ms,
        span.until_ms if span.sure_until_ms is None else span.sure_until_ms,
    )


def _meet(one: Interval, other: Interval) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _distance_ms(one: Interval, other: Interval) -> int:
    return max(0, other[0] - one[1], one[0] - other[1])


def _overlap_ms(item: Item, interval: Interval) -> int:
    return min(item.until_ms, interval[1]) - max(item.at_ms, interval[0])


def _witness(item: Item, candidates: Sequence[Span]) -> Span | None:
    """The one candidate whose stream_param equals the item's."""
    if not item.stream_param:
        return None
    witnesses = [span for span in candidates if span.stream_param == item.stream_param]
    return witnesses[0] if len(witnesses) == 1 else None


def _sequences(spans: Sequence[Span]) -> tuple[str, ...]:
    return tuple(sorted(span.sequence for span in spans))


def _short(item: Item, near: list[Span], slack_ms: int) -> Attribution:
    """A moment, or an item too short or too far off to have a core of its own: it belongs to one push.

    A push that surely ran then comes first, then one that surely ran within the slack, then one that
    may have run then; within these the closest.
    """
    core = core_of(item, slack_ms)
    reach = (item.at_ms - slack_ms, item.until_ms + slack_ms)

    def rank(span: Span) -> tuple[int, int]:
        if _meet(reach, _sure(span)):
            distance_ms = _distance_ms(core, _sure(span))
            return (1 if distance_ms else 0), distance_ms
        distance_ms = _distance_ms(core, _possible(span))
        return (3 if distance_ms else 2), distance_ms

    ordered = sorted(near, key=lambda span: (rank(span), span.from_ms, span.sequence))
    winner = ordered[0]
    rivals = [span for span in ordered[1:] if rank(span) == rank(winner)]
    witness = _witness(item, near) if len(near) > 1 else None
    if witness is not None:
        winner, rivals = witness, []
    others = [span for span in near if span is not winner]
    tier, distance_ms = rank(winner)
    because = ["near" if distance_ms else "inside", *_doubts(winner, unsure=tier >= 2)]
    confidence = Confidence.PROBABLE
    if witness is not None:
        because.append("stream_param")
    elif rivals:
        because.append("rivals")
        confidence = Confidence.AMBIGUOUS
    elif others:
        because.append("fits_best")
    else:
        because.append("only_candidate")
        if tier == 0 and winner.from_certain:
            confidence = Confidence.CERTAIN
    return Attribution(
        sequence=winner.sequence,
        confidence=confidence,
        because=tuple(because),
        alternatives=_sequences(others),
    )


def _doubts(span: Span, *, unsure: bool) -> list[str]:
    doubts = [] if span.from_certain else ["start_unknown"]
    if unsure and span.open:
        doubts.append("stop_missing")
    return doubts


def _long(item: Item, held: list[Span], slack_ms: int) -> tuple[Attribution, ...]:
    """An item with a core: it belongs to a push that ran all the while, else to those that follow each other.

    Pushes that surely ran within the core come before those that only may have.
    """
    core = core_of(item, slack_ms)
    sure = [span for span in held if _meet(core, _sure(span))]
    interval = _sure if sure else _possible
    whole = [span for span in sure or held if interval(span)[0] <= core[0] and core[1] <= interval(span)[1]]
    parts = [whole] if whole else _parts(item, sure or held, interval, slack_ms)
    rest = [span for span in held if span not in (whole or sure or held)]
    chosen: dict[str, Attribution] = {}
    for number, rivals in enumerate(parts):
        begin_ms = min(interval(span)[0] for span in rivals)
        end_ms = max(interval(span)[1] for span in rivals)
        stretch = (max(begin_ms, item.at_ms), min(end_ms, item.until_ms))
        pool = [*rivals, *(span for span in rest if _meet(stretch, _possible(span)))]
        witness = _witness(item, pool) if len(pool) > 1 else None
        ordered = sorted(rivals, key=lambda span: (-_overlap_ms(item, interval(span)), *_order(span)))
        winner = witness or ordered[0]
        others = [span for span in pool if span is not winner]
        extent = interval(winner) if winner in rivals else _possible(winner)
        fits = (number > 0 or item.at_ms + slack_ms >= extent[0]) and (
            number < len(parts) - 1 or item.until_ms - slack_ms <= extent[1]
        )
        because = ["several"] if len(parts) > 1 else ["inside"] if fits else []
        because += [] if fits else ["sticks_out"]
        because += _doubts(winner, unsure=winner not in sure)
        confidence = Confidence.PROBABLE
        if witness is not None:
            because.append("stream_param")
        elif len(rivals) > 1:
            because.append("rivals")
            confidence = Confidence.AMBIGUOUS
        elif others:
            because.append("fits_best")
        elif fits and winner.from_certain and winner in sure and len(parts) == 1:
            confidence = Confidence.CERTAIN
        if not others and len(parts) == 1:
            because.append("only_candidate")
        attribution = Attribution(
            sequence=winner.sequence,
            confidence=confidence,
            because=tuple(because),
            alternatives=_sequences(others),
        )
        chosen.setdefault(winner.sequence, attribution)
    return tuple(chosen.values())


def _order(span: Span) -> tuple[int, str]:
    return span.from_ms, span.sequence


def _parts(
    item: Item, spans: list[Span], interval: Callable[[Span], Interval], slack_ms: int
) -> list[list[Span]]:
    """Groups of spans that run at the same time within the item; one winner is chosen from each.

    Pushes that follow each other (a resumed HLS file) give a group each. Where two overlap by no more
    than the slack, they follow each other.
    """
    parts: list[list[Span]] = []
    reach_ms = 0
    for span in sorted(spans, key=lambda each: (*interval(each), each.sequence)):
        from_ms = max(interval(span)[0], item.at_ms)
        until_ms = min(interval(span)[1], item.until_ms)
        if parts and reach_ms - from_ms > slack_ms:
            parts[-1].append(span)
            reach_ms = max(reach_ms, until_ms)
        else:
            parts.append([span])
            reach_ms = until_ms
    return parts


def _last_open(item: Item, spans: Sequence[Span], slack_ms: int) -> tuple[Attribution, ...]:
    """The latest push without a stop that began before the item, when no push comes near it."""
    before = [span for span in spans if span.open and span.from_ms <= item.at_ms + slack_ms]
    latest = sorted(before, key=_order, reverse=True)[:LAST_OPEN_MAX]
    for span in latest:
        if same_place(item.app, item.appname, span):
            because = ("last_open", *_doubts(span, unsure=True))
            return (Attribution(sequence=span.sequence, confidence=Confidence.PROBABLE, because=because),)
    return ()
