"""How many events a batch takes: as many as can be taken in within a set time."""

from typing import Final

BATCH_S: Final = 0.35
"""Taking a batch in should last so long: readers see new rows, and a second runner waits, no later.

Rows of sessions and streams are written once a batch, so twice the time takes in a third more a second.
"""
BATCH_SIZE_MIN: Final = 50
BATCH_SIZE_START: Final = 1000
BATCH_SIZE_MAX: Final = 5000
CHANGE_MAX: Final = 2.0
"""By which factor a size changes at once: one slow batch says little."""


class Pace:
    """The size of the next batch, from how long the batches before took."""

    def __init__(self, batch_s: float = BATCH_S) -> None:
        self._batch_s = batch_s
        self.size = BATCH_SIZE_START

    def note(self, events: int, seconds: float) -> None:
        """A batch of so many events took so long. One that was not full says nothing of larger ones."""
        if not events:
            return
        fitting = events * self._batch_s / max(seconds, 1e-6)
        if events < self.size:
            fitting = min(fitting, self.size)
            if seconds <= self._batch_s:
                return
        factor = min(CHANGE_MAX, max(1 / CHANGE_MAX, fitting / self.size))
        self.size = int(min(BATCH_SIZE_MAX, max(BATCH_SIZE_MIN, self.size * factor)))
