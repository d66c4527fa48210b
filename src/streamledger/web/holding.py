"""Answers that come late: who is refused again and again waits for it, and others do not."""

from asyncio import sleep
from typing import Final

HOLD_S: Final[float] = 1.0
"""How long an answer 429 is held back; Tencent would wait 20 s."""
HELD_MAX: Final = 2048
"""Answers held back at once in a process. Beyond it they go out at once: memory counts more than pace."""


class LateAnswers:
    """Those that are held back now."""

    def __init__(self) -> None:
        self._held = 0

    async def hold(self) -> None:
        """Returns when the answer may go out."""
        if self._held >= HELD_MAX:
            return
        self._held += 1
        try:
            await sleep(HOLD_S)
        finally:
            self._held -= 1
