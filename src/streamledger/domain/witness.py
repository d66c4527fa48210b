"""What the witnesses say beside the times: the stream_param of an item, and where its writing began."""

from collections.abc import Sequence

import msgspec

from streamledger.domain.attributed import (
    ALTERNATIVES_MAX,
    Attribution,
    Confidence,
    Item,
    alternatives_of,
    core_of,
    differ,
    doubts_of,
    meets,
    possible_of,
    witness_of,
)
from streamledger.domain.place import may_agree
from streamledger.domain.session import Span
from streamledger.domain.succession import same_place


def may_be_at(item: Item, span: Span) -> bool:
    """Whether an item may come from the place of a push."""
    if item.app == span.app and item.appname == span.appname:  # nearly all
        return True
    return same_place(item.app, item.appname, span) or _by_address(item, span)


def _by_address(item: Item, span: Span) -> bool:
    """Whether only an equal stream_param says that both have one place: one names an address for it."""
    return (
        bool(item.stream_param)
        and item.stream_param == span.stream_param
        and not same_place(item.app, None, span)
        and same_place(None, item.appname, span)
        and may_agree(item.app, span.app)
    )


def heard(
    item: Item, here: list[Span], decided: tuple[Attribution, ...], slack_ms: int
) -> tuple[Attribution, ...]:
    """What time said, after the witnesses were heard: its stream_param, and where its writing began.

    A witness that names just one push that is possible at all decides, and never is it overruled with
    certainty.
    """
    from_ms, until_ms = item.began_ms - slack_ms, item.until_ms + slack_ms
    possible = [span for span in here if span.from_ms <= until_ms and from_ms <= span.until_ms]
    chosen = {each.sequence for each in decided}
    named = witness_of(item, possible)
    if named is not None:
        if named.sequence not in chosen or (len(chosen) > 1 and _held_whole(item, named, slack_ms)):
            return _by_witness(item, named, "stream_param", possible, decided, slack_ms)
    elif (
        begun := _began_in(item, possible, chosen, slack_ms) or _began_with(item, possible, chosen, slack_ms)
    ) is not None:
        return _by_witness(item, begun, "began_here", possible, decided, slack_ms)
    by_sequence = {span.sequence: span for span in here if span.sequence in chosen}
    elsewhere = _began_elsewhere(item, possible, chosen, slack_ms)
    return tuple(
        _doubted(item, each, by_sequence[each.sequence], elsewhere=elsewhere)
        if each.sequence in by_sequence
        else each
        for each in decided
    )


def _held_whole(item: Item, span: Span, slack_ms: int) -> bool:
    """Whether a push may have run all the while, so that no other is needed to hold the item."""
    core = core_of(item, slack_ms)
    return span.from_ms <= core[0] and core[1] <= span.until_ms


def _doubted(item: Item, each: Attribution, span: Span, *, elsewhere: Sequence[Span]) -> Attribution:
    """A decision with what speaks against it; where the writing began comes into question too."""
    if differ(item.stream_param, span.stream_param):
        each = _in_doubt(each, "other_param")
    if elsewhere:
        names = {span.sequence for span in elsewhere}
        each = msgspec.structs.replace(
            _in_doubt(each, "began_elsewhere"),
            alternatives=tuple(sorted({*each.alternatives, *names})[:ALTERNATIVES_MAX]),
            # Of those that are not named nobody knows whether they are the same.
            alternatives_total=each.alternatives_total + len(names - set(each.alternatives)),
        )
    return _in_doubt(each, "address") if _by_address(item, span) else each


def _in_doubt(each: Attribution, reason: str) -> Attribution:
    """The same for one more reason, and not certain."""
    confidence = Confidence.PROBABLE if each.confidence is Confidence.CERTAIN else each.confidence
    because = each.because if reason in each.because else (*each.because, reason)
    return msgspec.structs.replace(each, confidence=confidence, because=because)


def _by_witness(
    item: Item,
    named: Span,
    reason: str,
    possible: Sequence[Span],
    decided: tuple[Attribution, ...],
    slack_ms: int,
) -> tuple[Attribution, ...]:
    """It belongs to the push that a witness names; if its content is too long for that, to others as well."""
    writing_ms = item.at_ms if item.writing_ms is None else item.writing_ms
    alone = not decided or writing_ms + item.until_ms - item.at_ms <= named.until_ms + slack_ms
    chosen = set() if alone else {each.sequence for each in decided}
    others = [span for span in possible if span is not named and span.sequence not in chosen]
    first = Attribution(
        sequence=named.sequence,
        confidence=Confidence.PROBABLE,
        because=(*doubts_of(named, unsure=False), reason),
        alternatives=alternatives_of(others),
        alternatives_total=len(others),
    )
    return (first,) if alone else tuple(_in_doubt(each, "several") for each in (first, *decided))


def _began_elsewhere(item: Item, possible: Sequence[Span], chosen: set[str], slack_ms: int) -> list[Span]:
    """The other pushes in which the writing may have begun, where that makes a difference.

    When the content began so much later that there was a gap, or the writing in none of the chosen ones,
    those within the slack of it; else, when none of the chosen ones ran just then, those that did.
    """
    if item.writing_ms is None or not chosen:
        return []
    gap = item.writing_ms < item.at_ms - slack_ms
    reach_ms = 0 if not gap and _began_near(item, possible, chosen, slack_ms) else slack_ms
    around = (item.writing_ms - reach_ms, item.writing_ms + reach_ms)
    begun = [span for span in possible if meets(around, possible_of(span))]
    others = [span for span in begun if span.sequence not in chosen]
    return others if gap or len(others) == len(begun) else []


def _began_near(item: Item, possible: Sequence[Span], chosen: set[str], slack_ms: int) -> bool:
    """Whether the writing began in a chosen one, or within the slack beside it."""
    if item.writing_ms is None:
        return True
    around = (item.writing_ms - slack_ms, item.writing_ms + slack_ms)
    return any(span.sequence in chosen and meets(around, possible_of(span)) for span in possible)


def _began_in(item: Item, possible: Sequence[Span], chosen: set[str], slack_ms: int) -> Span | None:
    """The one push in which the writing began, when no stream_param speaks for those that time chose."""
    if _began_near(item, possible, chosen, slack_ms):
        return None
    begun = _began_elsewhere(item, possible, chosen, slack_ms)
    return begun[0] if len(begun) == 1 and not _param_against(item, begun[0], possible, chosen) else None


def _began_with(item: Item, possible: Sequence[Span], chosen: set[str], slack_ms: int) -> Span | None:
    """The one push that ran when the writing began and had begun just then, if it was not chosen."""
    if item.writing_ms is None or not chosen:
        return None
    begun = [span for span in possible if span.from_ms <= item.writing_ms <= span.until_ms]
    if len(begun) != 1 or begun[0].sequence in chosen or not begun[0].from_certain:
        return None
    if begun[0].from_ms < item.writing_ms - slack_ms or _param_against(item, begun[0], possible, chosen):
        return None
    return begun[0]


def _param_against(item: Item, begun: Span, possible: Sequence[Span], chosen: set[str]) -> bool:
    """Whether the stream_param says otherwise than where the writing began; not where that one has it too."""
    if not item.stream_param or item.stream_param == begun.stream_param:
        return False
    return differ(item.stream_param, begun.stream_param) or any(
        span.sequence in chosen and span.stream_param == item.stream_param for span in possible
    )
