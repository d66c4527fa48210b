"""The spans of one stream's sessions from the rules themselves, with nothing kept and nothing left out."""

from collections.abc import Sequence

from streamledger.domain.session import Bounds, SessionState, Span, WitnessOf, bounds_of
from streamledger.domain.succession import settle


def spans_of(states: Sequence[SessionState], witness_of: WitnessOf = lambda said: said) -> list[Span]:
    """The spans of all sessions of one stream, each with regard to the others; what `decide` expects."""
    pushes = []
    for state in states:
        push = Bounds(sequence=state.sequence)
        bounds_of(push, state, witness_of)
        pushes.append(push)
    settle(pushes)
    return [push.span() for push in pushes]
