"""What the times of an item say of the pushes that come near it (ADR 0008)."""

from collections.abc import Callable, Sequence
from typing import Final

from streamledger.domain.attributed import (
    Attribution,
    Confidence,
    Interval,
    Item,
    alternatives_of,
    core_of,
    doubts_of,
    meets,
    order_of,
    overlap_of,
    possible_of,
    sure_of,
    witness_of,
)
from streamledger.domain.session import Span
from streamledger.domain.succession import same_place

LAST_OPEN_MAX: Final = 8
"""How many of the latest open pushes are asked for an item that no push comes near."""


def by_time(item: Item, here: list[Span], spans: Sequence[Span], slack_ms: int) -> tuple[Attribution, ...]:
    """What the times say, of the pushes at its place; a stream_param decides among those that fit."""
    from_ms, until_ms = item.at_ms - slack_ms, item.until_ms + slack_ms
    near = [span for span in here if span.from_ms <= until_ms and from_ms <= span.until_ms]
    if not near:
        return _last_open(item, spans, slack_ms)
    if item.until_ms - item.at_ms <= 2 * slack_ms:
        return (_short(item, near, slack_ms),)
    core = core_of(item, slack_ms)
    held = [span for span in near if meets(core, possible_of(span))]
    if not held:
        return (_short(item, near, slack_ms),)
    return _long(item, near, held, slack_ms)


def _short(item: Item, near: list[Span], slack_ms: int) -> Attribution:
    """A moment, or an item too short or too far off to have a core of its own: it belongs to one push.

    A push that surely ran then comes first, then one that surely ran within the slack, then one that
    may have run then; within these the closest.
    """
    core = core_of(item, slack_ms)
    reach = (item.at_ms - slack_ms, item.until_ms + slack_ms)
    ranks = [_rank(span, core, reach) for span in near]
    best = min(ranks)
    witness = witness_of(item, near) if len(near) > 1 else None
    fitting = [span for span, rank in zip(near, ranks, strict=True) if rank == best]
    winner = witness or min(fitting, key=order_of)
    rivals = len(fitting) > 1
    others = [span for span in near if span is not winner]
    tier, distance_ms = best if witness is None else _rank(witness, core, reach)
    because = ["near" if distance_ms else "inside", *doubts_of(winner, unsure=tier >= 2)]
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
        alternatives=alternatives_of(others),
        alternatives_total=len(others),
    )


def _rank(span: Span, core: Interval, reach: Interval) -> tuple[int, int]:
    """The lower the better: in how far it ran at the core, and how far beside."""
    sure = sure_of(span)
    surely = sure[0] <= reach[1] and reach[0] <= sure[1]
    from_ms, until_ms = sure if surely else possible_of(span)
    distance_ms = max(0, from_ms - core[1], core[0] - until_ms)
    return (0 if surely else 2) + (distance_ms > 0), distance_ms


def _long(item: Item, near: list[Span], held: list[Span], slack_ms: int) -> tuple[Attribution, ...]:
    """An item with a core: it belongs to a push that ran all the while, else to those that follow each other.

    Pushes that surely ran within the core come before those that only may have. Where none ran all the
    while, so that it was resumed, those that surely ran within the slack at its ends are parts of it too.
    """
    core = core_of(item, slack_ms)
    sure = [span for span in held if meets(core, sure_of(span))]
    interval = sure_of if sure else possible_of
    whole = [span for span in sure or held if interval(span)[0] <= core[0] and core[1] <= interval(span)[1]]
    at_ends = [span for span in near if span not in held and overlap_of(item, sure_of(span)) > 0]
    followers = [*(sure or held), *(at_ends if sure else [])]
    parts = [whole] if whole else _parts(item, followers, interval, slack_ms)
    rest = [span for span in held if span not in (whole or sure or held)]
    sure += [] if whole else at_ends
    chosen: dict[str, Attribution] = {}
    for number, rivals in enumerate(parts):
        begin_ms = min(interval(span)[0] for span in rivals)
        end_ms = max(interval(span)[1] for span in rivals)
        stretch = (max(begin_ms, item.at_ms), min(end_ms, item.until_ms))
        pool = [*rivals, *(span for span in rest if meets(stretch, possible_of(span)))]
        witness = witness_of(item, pool) if len(pool) > 1 else None
        ordered = sorted(rivals, key=lambda span: (-overlap_of(item, interval(span)), *order_of(span)))
        winner = witness or ordered[0]
        others = [span for span in pool if span is not winner]
        extent = interval(winner) if winner in rivals else possible_of(winner)
        fits = (number > 0 or item.at_ms + slack_ms >= extent[0]) and (
            number < len(parts) - 1 or item.until_ms - slack_ms <= extent[1]
        )
        because = ["several"] if len(parts) > 1 else ["inside"] if fits else []
        because += [] if fits else ["sticks_out"]
        because += doubts_of(winner, unsure=winner not in sure)
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
            alternatives=alternatives_of(others),
            alternatives_total=len(others),
        )
        chosen.setdefault(winner.sequence, attribution)
    return tuple(chosen.values())


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
    latest = sorted(before, key=order_of, reverse=True)[:LAST_OPEN_MAX]
    for span in latest:
        if same_place(item.app, item.appname, span):
            because = ("last_open", *doubts_of(span, unsure=True))
            return (Attribution(sequence=span.sequence, confidence=Confidence.PROBABLE, because=because),)
    return ()
