"""Queries and pages begin a few at a time, so that a crowd of them never stands between two callbacks.

A turn of the event loop serves every connection that has something to say. With a thousand requests in
one turn a callback would wait for all of them; here it waits for as many as may begin.
"""

import asyncio
from collections import deque
from typing import Final

STARTS_PER_TURN_MAX: Final = 2
"""Requests that begin in one turn of the event loop; each takes a part of a millisecond."""


class Pace:
    """Lets requests begin in the order in which they came."""

    def __init__(self, starts_per_turn_max: int = STARTS_PER_TURN_MAX) -> None:
        self._starts_max = starts_per_turn_max
        self._left = starts_per_turn_max
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_due = False

    async def turn(self) -> None:
        """Returns when a request may begin; at once where no more than a few came together."""
        loop = asyncio.get_running_loop()
        if not self._is_due:
            self._is_due = True
            loop.call_soon(self._next_turn)
        if self._left > 0 and not self._waiting:
            self._left -= 1
            return
        waiting = loop.create_future()
        self._waiting.append(waiting)
        await waiting

    def _next_turn(self) -> None:
        self._left = self._starts_max
        while self._waiting and self._left > 0:
            waiting = self._waiting.popleft()
            if not waiting.done():  # its client may have gone
                waiting.set_result(None)
                self._left -= 1
        self._is_due = bool(self._waiting)
        if self._is_due:
            asyncio.get_running_loop().call_soon(self._next_turn)
