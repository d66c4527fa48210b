"""A broadcast: sessions of one stream that overlap, or follow each other within a reconnect window.

Derived when asked for, never stored: pure, with the window as an argument.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from streamledger.domain import session as fold
from streamledger.domain.derivation import Evidence, latest_sign_ms, presence_of
from streamledger.domain.session import SessionState

WINDOW_S_DEFAULT: Final = 60
WINDOW_S_MAX: Final = 24 * 3600


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One session as a part of a broadcast."""

    sequence: str
    from_ms: int
    """Its start, or the earliest time known of it."""
    until_ms: int
    """Its stop; of a live session now; of a suspect one its latest sign."""
    state: str
    start_known: bool = True


class Gap(msgspec.Struct, frozen=True):
    """An interval within a broadcast in which no session was on the air."""

    from_ms: int
    until_ms: int


class Broadcast(msgspec.Struct, frozen=True, kw_only=True):
    """Sessions that belong together, in order of their starts, and what they amount to."""

    parts: tuple[Part, ...]
    gaps: tuple[Gap, ...]
    on_air_ms: int
    """Time in which at least one part was on the air."""
    reconnects: int
    """Parts that began when no other was on the air any more."""

    @property
    def from_ms(self) -> int:
        """When it began."""
        return self.parts[0].from_ms

    @property
    def until_ms(self) -> int:
        """When it ended, or up to when it is known to have lasted."""
        return max(part.until_ms for part in self.parts)

    @property
    def state(self) -> str:
        """live while any part is, else suspect while any part is, else ended."""
        states = {part.state for part in self.parts}
        return next((state for state in ("live", "suspect") if state in states), "ended")


def part_of(state: SessionState, evidence: Evidence) -> Part:
    """A session as a part of a broadcast; of use only when any time of it is known (its sort_ms is not 0)."""
    presence, _ = presence_of(state, evidence)
    from_ms = fold.sort_ms(state)
    ended_ms = fold.over_ms(state)
    if presence == "ended":
        until_ms = ended_ms if ended_ms is not None else from_ms
    elif presence == "live":
        until_ms = evidence.now_ms
    else:
        until_ms = latest_sign_ms(state, evidence) or from_ms
    return Part(
        sequence=state.sequence,
        from_ms=from_ms,
        until_ms=max(from_ms, until_ms),
        state=presence,
        start_known=fold.started_ms(state)[0] is not None,
    )


def broadcasts(parts: Iterable[Part], window_ms: int) -> list[Broadcast]:
    """The broadcasts that these parts of one stream make, oldest first.

    A part joins when it begins no later than the window after the end of all parts before it.
    """
    groups: list[list[Part]] = []
    reach_ms = 0
    for part in sorted(parts, key=lambda each: (each.from_ms, each.sequence)):
        if groups and part.from_ms - reach_ms <= window_ms:
            groups[-1].append(part)
            reach_ms = max(reach_ms, part.until_ms)
        else:
            groups.append([part])
            reach_ms = part.until_ms
    return [_sum(group) for group in groups]


def _sum(parts: list[Part]) -> Broadcast:
    gaps = []
    on_air_ms = reconnects = 0
    reach_ms = parts[0].from_ms
    for number, part in enumerate(parts):
        if number and part.from_ms >= reach_ms:
            reconnects += 1
            if part.from_ms > reach_ms:
                gaps.append(Gap(reach_ms, part.from_ms))
        on_air_ms += max(0, part.until_ms - max(part.from_ms, reach_ms))
        reach_ms = max(reach_ms, part.until_ms)
    return Broadcast(parts=tuple(parts), gaps=tuple(gaps), on_air_ms=on_air_ms, reconnects=reconnects)
