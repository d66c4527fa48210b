"""Limits that were reached: each time is counted, and the log has a line when it begins and when it ends."""

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

from streamledger.operations.limits import LIMITS

logger = logging.getLogger(__name__)

CALM_S: Final = 60.0
"""What has not happened for so long is over."""


class _Spell(msgspec.Struct):
    what: str
    began_s: float
    last_s: float
    times: int = 0


class ReachedLimits:
    """Counts and tells. Until `count_with` is called the counts are kept back."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._spells: dict[str, _Spell] = {}
        self._count: Callable[[str], None] | None = None
        self._kept_back: Counter[str] = Counter()

    def count_with(self, count: Callable[[str], None]) -> None:
        """Hand every count on from now on, by the name of its counter."""
        self._count = count
        for counter in self._kept_back.elements():
            count(counter)
        self._kept_back.clear()

    def note(self, name: str, whom: str | None) -> None:
        """A limit was reached by somebody, whose address goes to the log when a spell begins."""
        limit = LIMITS[name]
        if limit.ordinary:
            self._add(limit.counter)
        else:
            self.tell(limit.counter, whom, f"limit {name} is reached ({limit.beyond})")

    def tell(self, counter: str, whom: str | None, what: str) -> None:
        """Count, and say so once a spell."""
        self._add(counter)
        now_s = self._clock_s()
        spell = self._spells.get(counter)
        if spell is None:
            spell = self._spells[counter] = _Spell(what, now_s, now_s)
            logger.warning("%s, first by %s; from now on it is only counted", what, whom or "a local socket")
        spell.last_s = now_s
        spell.times += 1

    def look(self) -> None:
        """Say what is over; to be called now and then."""
        now_s = self._clock_s()
        for counter, spell in list(self._spells.items()):
            if now_s - spell.last_s >= CALM_S:
                del self._spells[counter]
                logger.info("over: %s, %d times in %.0f s", spell.what, spell.times, now_s - spell.began_s)

    def _add(self, counter: str) -> None:
        if self._count is None:
            self._kept_back[counter] += 1
        else:
            self._count(counter)
