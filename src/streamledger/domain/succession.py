"""Which push of a stream follows one without a stop: what bounds the claim of a push whose stop was lost."""

from collections.abc import Iterable, Sequence

from streamledger.domain import session as fold
from streamledger.domain.session import OPEN_END_MS, SessionState, Span


def same_place(app: str | None, appname: str | None, span: Span) -> bool:
    """Whether app and appname agree with a span's wherever both sides know them."""
    if app is not None and span.app is not None and app != span.app:
        return False
    return appname is None or span.appname is None or appname == span.appname


def follows(span: Span, other: SessionState) -> int | None:
    """The start of the other push, if it is known and lies after that of this span at the same place."""
    began_ms, _ = fold.started_ms(other)
    if began_ms is None or began_ms <= span.from_ms or other.sequence == span.sequence:
        return None
    claim = fold.leading_claim(other)
    if claim is not None and not same_place(claim.app, claim.appname, span):
        return None
    return began_ms


def newer_ms(state: SessionState, others: Iterable[SessionState]) -> int:
    """When the next push of the same stream and place began; OPEN_END_MS without one, or with a stop.

    Only a start that is reported or can be inferred counts: of another push nobody knows its place in time.
    """
    span = fold.span(state)
    if not span.open:
        return OPEN_END_MS
    return min(
        (began for other in others if (began := follows(span, other)) is not None), default=OPEN_END_MS
    )


def spans_of(states: Sequence[SessionState]) -> list[Span]:
    """The spans of all sessions of one stream, each with regard to the others; what `decide` expects."""
    return [fold.span(state, newer_ms(state, states)) for state in states]
