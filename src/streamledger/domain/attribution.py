"""To which session a recording or a screenshot belongs: by time on the same stream.

They carry no sequence, so this is a judgement, and says how sure it is and why. A decision is a pure
function of the item and of the spans near it: those that touch it within the slack.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

from streamledger.domain.session import Span

SLACK_MS: Final = 5000
"""Times of media are "not exact to the second" (267/38082): how far beside a push its media may lie."""


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
    "only_candidate": "no other push of the stream comes near",
    "stream_param": "its stream_param equals that of this push and of no other candidate",
    "several": "it spans several pushes of the stream; this is one of them",
    "rivals": "several pushes of the stream ran at that time and nothing tells them apart",
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


def decide(item: Item, spans: Sequence[Span], slack_ms: int = SLACK_MS) -> tuple[Attribution, ...]:
    """The sessions the item belongs to, in order of time; empty when it fits none.

    `spans` may hold spans that do not touch the item: they have no influence.
    """
    inside: list[Span] = []
    near: list[Span] = []
    for span in spans:
        if span.until_ms < span.from_ms or not _same_place(item, span):
            continue
        if item.until_ms >= span.from_ms and item.at_ms <= span.until_ms:
            inside.append(span)
        elif item.until_ms + slack_ms >= span.from_ms and item.at_ms - slack_ms <= span.until_ms:
            near.append(span)
    if not inside:
        return _nearest(item, near)
    if len(inside) == 1:
        return (_attribute(item, inside[0], [], slack_ms, several=False),)
    parts = _parts(item, inside, slack_ms)
    chosen = []
    for rivals in parts:
        winner, others, told_apart = _winner(item, rivals)
        attribution = _attribute(item, winner, others, slack_ms, several=len(parts) > 1)
        if others:
            attribution = Attribution(
                sequence=winner.sequence,
                confidence=Confidence.PROBABLE if told_apart else Confidence.AMBIGUOUS,
                because=(*attribution.because, "stream_param" if told_apart else "rivals"),
                alternatives=tuple(sorted(other.sequence for other in others)),
            )
        chosen.append(attribution)
    return tuple(chosen)


def _same_place(item: Item, span: Span) -> bool:
    """Whether app and appname agree wherever both sides know them."""
    if item.app is not None and span.app is not None and item.app != span.app:
        return False
    return item.appname is None or span.appname is None or item.appname == span.appname


def _overlap_ms(item: Item, span: Span) -> int:
    return min(item.until_ms, span.until_ms) - max(item.at_ms, span.from_ms)


def _nearest(item: Item, near: list[Span]) -> tuple[Attribution, ...]:
    if not near:
        return ()
    ordered = sorted(near, key=lambda span: (-_overlap_ms(item, span), span.from_ms, span.sequence))
    best = ordered[0]
    rivals = [span for span in ordered[1:] if _overlap_ms(item, span) == _overlap_ms(item, best)]
    winner, others, told_apart = _winner(item, [best, *rivals])
    because: tuple[str, ...] = ("near",) if winner.from_certain else ("near", "start_unknown")
    confidence = Confidence.PROBABLE
    if others:
        because = (*because, "stream_param" if told_apart else "rivals")
        confidence = Confidence.PROBABLE if told_apart else Confidence.AMBIGUOUS
    alternatives = tuple(sorted(span.sequence for span in near if span.sequence != winner.sequence))
    return (
        Attribution(
            sequence=winner.sequence, confidence=confidence, because=because, alternatives=alternatives
        ),
    )


def _parts(item: Item, inside: list[Span], slack_ms: int) -> list[list[Span]]:
    """Groups of spans that run at the same time within the item; one winner is chosen from each.

    Pushes that follow each other (a resumed HLS file) give a group each. Where two only touch, by no
    more than the slack, they follow each other; a touch of the item itself by no more than the slack
    is noise beside a push that holds more of it.
    """
    ordered = sorted(inside, key=lambda span: (span.from_ms, span.until_ms, span.sequence))
    most_ms = max(_overlap_ms(item, span) for span in ordered)
    if most_ms > slack_ms:
        ordered = [span for span in ordered if _overlap_ms(item, span) > slack_ms]
    parts: list[list[Span]] = []
    reach_ms = 0
    for span in ordered:
        until_ms = min(span.until_ms, item.until_ms)
        from_ms = max(span.from_ms, item.at_ms)
        if parts and (reach_ms - from_ms > slack_ms or item.at_ms == item.until_ms or most_ms <= slack_ms):
            parts[-1].append(span)
            reach_ms = max(reach_ms, until_ms)
        else:
            parts.append([span])
            reach_ms = until_ms
    return parts


def _winner(item: Item, rivals: list[Span]) -> tuple[Span, list[Span], bool]:
    """The span that is chosen among rivals, the others, and whether stream_param told them apart.

    Without a witness: the one that holds most of the item, then the one that began first.
    """
    if len(rivals) == 1:
        return rivals[0], [], True
    told_apart = False
    candidates = rivals
    if item.stream_param:
        witnesses = [span for span in rivals if span.stream_param == item.stream_param]
        if len(witnesses) == 1:
            candidates, told_apart = witnesses, True
    winner = min(candidates, key=lambda span: (-_overlap_ms(item, span), span.from_ms, span.sequence))
    return winner, [span for span in rivals if span is not winner], told_apart


def _attribute(item: Item, span: Span, others: list[Span], slack_ms: int, *, several: bool) -> Attribution:
    because: list[str] = []
    confidence = Confidence.CERTAIN
    fits = item.at_ms + slack_ms >= span.from_ms and item.until_ms - slack_ms <= span.until_ms
    if several:
        because.append("several")
    elif fits:
        because.append("inside")
    else:
        because.append("sticks_out")
        confidence = Confidence.PROBABLE
    if not span.from_certain:
        because.append("start_unknown")
        confidence = Confidence.PROBABLE
    elif not others and not several and fits:
        because.append("only_candidate")
    return Attribution(sequence=span.sequence, confidence=confidence, because=tuple(because))
