"""To which session a recording or a screenshot belongs: by time on the same stream (ADR 0008).

They carry no sequence, so this is a judgement, and says how sure it is and why. A decision is a pure
function of the item, of the spans near it, and, when none comes near, of the latest open one before it.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from streamledger.domain.attributed import (
    SLACK_MS,
    Attribution,
    Confidence,
    Item,
    differ,
    sure_of,
    witness_of,
)
from streamledger.domain.by_time import by_time
from streamledger.domain.session import Span
from streamledger.domain.succession import same_place
from streamledger.domain.witness import heard, may_be_at

SLACK_S_MAX: Final = 3600
"""The most slack that a what-if question may grant; the rules themselves grant SLACK_MS."""


def considered_ms(slack_ms: int = SLACK_MS) -> int:
    """How far outside a push an item may lie so that an explanation names the push as too far."""
    return max(10 * SLACK_MS, 2 * slack_ms)


def decide(item: Item, spans: Sequence[Span], slack_ms: int = SLACK_MS) -> tuple[Attribution, ...]:
    """The sessions the item belongs to, in order of time; empty when it fits none.

    `spans` are those of its stream, made with regard to each other (`succession.settle`). It may hold
    spans that do not come near the item: they have no influence while any other does. What time says is
    then held against the witnesses: nothing is certain against them.
    """
    spans = with_witnesses(item, spans)
    only = _only_near(item, spans, slack_ms)
    if only is not None and _is_plain(item, only):
        return (Attribution(sequence=only.sequence, confidence=Confidence.CERTAIN, because=PLAIN),)
    spans = without_refused(item, spans, slack_ms)
    here = [span for span in spans if span.until_ms >= span.from_ms and may_be_at(item, span)]
    return heard(item, here, by_time(item, here, spans, slack_ms), slack_ms)


def with_witnesses(item: Item, spans: Sequence[Span]) -> Sequence[Span]:
    """The same spans; those with the item's stream_param reach as far as that keeps them possible."""
    witness = item.stream_param
    if witness is None:
        return spans
    for span in spans:
        if span.stream_param == witness and span.witness_until_ms > span.until_ms:
            break
    else:
        return spans
    return [
        msgspec.structs.replace(span, until_ms=max(span.until_ms, span.witness_until_ms))
        if span.stream_param == witness
        else span
        for span in spans
    ]


def without_refused(item: Item, spans: Sequence[Span], slack_ms: int) -> Sequence[Span]:
    """The same spans without those of pushes that were refused, where any other at its place comes near.

    A push refused at once never ran, so it takes nothing from those that did, nor their certainty. Only the
    item's own stream_param may speak for it: where it names that push and no other.
    """
    if not any(span.refused for span in spans):
        return spans
    from_ms, until_ms = item.at_ms - slack_ms, item.until_ms + slack_ms
    near = [
        span
        for span in spans
        if span.until_ms >= span.from_ms
        and span.from_ms <= until_ms
        and from_ms <= span.until_ms
        and may_be_at(item, span)
    ]
    if all(span.refused for span in near):
        return spans
    named = witness_of(item, near)
    return [span for span in spans if not span.refused or span is named]


PLAIN: Final = ("inside", "only_candidate")


def _only_near(item: Item, spans: Sequence[Span], slack_ms: int) -> Span | None:
    """The one span that comes near, whatever its place; None when there are several, or none."""
    from_ms, until_ms = item.began_ms - slack_ms, item.until_ms + slack_ms
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
    sure_from_ms, sure_until_ms = sure_of(span)
    return (
        sure_from_ms <= at_ms
        and until_ms <= sure_until_ms
        and same_place(item.app, item.appname, span)
        and not differ(item.stream_param, span.stream_param)
    )
