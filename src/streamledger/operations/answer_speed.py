"""How long callbacks waited for their answers lately: of all workers, from the counts that they share."""

from collections import deque
from typing import Final

import msgspec

from streamledger.operations.timings import BOUNDS_S, Timings

LATELY_S: Final = 3600
STEP_S: Final = 60


class Speed(msgspec.Struct, frozen=True):
    """Of the answers of the last hour, or since the start; milliseconds, None for more than 10 s."""

    answers: int
    half_ms: float | None
    """Within which half of them were given, rounded up to a bound of the counts."""
    most_ms: float | None
    """Within which 99 of 100 were given."""


class AnswerSpeed:
    """Keeps the counts of each minute of the last hour, to subtract them from those of now."""

    def __init__(self, timings: Timings) -> None:
        self._timings = timings
        self._kept: deque[tuple[float, tuple[int, ...]]] = deque()
        """When, and the counts of then; the first is an hour old, or of the start."""

    def look(self, now_s: float) -> Speed | None:
        """What it is at a moment of a clock that only goes on; None before the first answer."""
        counts = self._counts()
        while len(self._kept) > 1 and self._kept[1][0] <= now_s - LATELY_S:
            self._kept.popleft()
        if not self._kept or now_s - self._kept[-1][0] >= STEP_S:
            self._kept.append((now_s, counts))
        lately = [now - then for now, then in zip(counts, self._kept[0][1], strict=True)]
        if not lately[-1]:
            return None
        return Speed(lately[-1], _bound_ms(lately, 0.5), _bound_ms(lately, 0.99))

    def _counts(self) -> tuple[int, ...]:
        found = self._timings.answers().values()
        return tuple(map(sum, zip(*(each.counts for each in found), strict=True)))


def _bound_ms(counts: list[int], share: float) -> float | None:
    """The least bound within which so great a share of the answers was given."""
    reached = zip(BOUNDS_S, counts, strict=False)
    return next((bound * 1000 for bound, count in reached if count >= share * counts[-1]), None)
