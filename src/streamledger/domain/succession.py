"""Which push of a stream follows one without a stop: what bounds the claim of a push whose stop was lost."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from streamledger.domain import session as fold
from streamledger.domain.session import OPEN_END_MS, SessionState, Span


def same_place(app: str | None, appname: str | None, span: Span) -> bool:
    """Whether app and appname agree with a span's wherever both sides know them."""
    if app is not None and span.app is not None and app != span.app:
        return False
    return appname is None or span.appname is None or appname == span.appname


class Starts:
    """The known starts of a stream's pushes, in order: finds the next one after a push in a few steps.

    Only a start that is reported or can be inferred counts: of another push nobody knows its place in time.
    """

    def __init__(self, states: Iterable[SessionState]) -> None:
        starts = [
            (began_ms, state.sequence, claim.app, claim.appname)
            for state in states
            if (began_ms := fold.started_ms(state)[0]) is not None
            and (claim := fold.leading_claim(state)) is not None
        ]
        self._starts = sorted(starts, key=lambda start: start[:2])
        self._times = [start[0] for start in self._starts]

    def after(self, span: Span) -> int:
        """When the next push at the same place began; OPEN_END_MS without one, or if this one has a stop."""
        if not span.open:
            return OPEN_END_MS
        for place in range(bisect_right(self._times, span.from_ms), len(self._starts)):
            began_ms, sequence, app, appname = self._starts[place]
            if sequence != span.sequence and same_place(app, appname, span):
                return began_ms
        return OPEN_END_MS


def newer_ms(state: SessionState, others: Iterable[SessionState]) -> int:
    """When the next push of the same stream and place began, among these; OPEN_END_MS without one."""
    return Starts(others).after(fold.span(state))


def spans_of(states: Sequence[SessionState]) -> list[Span]:
    """The spans of all sessions of one stream, each with regard to the others; what `decide` expects."""
    starts = Starts(states)
    return [fold.span(state, starts.after(fold.span(state))) for state in states]
