"""Budgets of a second: how much of a process goes to deliveries that prove nothing (ADR 0017)."""

from typing import Final

SECOND_US: Final = 1_000_000


class SecondBudget:
    """A bucket that is refilled evenly over a second, charged when something turned out to be in vain."""

    def __init__(self, per_s_max: int) -> None:
        self._per_s = per_s_max
        self._full = per_s_max * SECOND_US
        self._left = self._full
        self._since_us = 0

    def allows(self, now_us: int) -> bool:
        """Whether there is anything left; the last charge may be more than that."""
        self._left = min(self._full, self._left + max(0, now_us - self._since_us) * self._per_s)
        self._since_us = now_us
        return self._left > 0

    def charge(self, much: int) -> None:
        """So much of it was used."""
        self._left -= much * SECOND_US
