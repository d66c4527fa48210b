"""One LISTEN connection for a whole web process: it wakes whoever waits for the ledger or the read model.

A notification is a hint to look, never the only way to learn of an event: every waiter looks again
after a while by itself, so a lost connection costs a delay and nothing else.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import psycopg

from streamledger.domain.errors import StoreUnavailable
from streamledger.ledger.append import CHANNEL
from streamledger.postgres.connection import STORE_FAULTS
from streamledger.postgres.errors import first_line
from streamledger.readmodel.projections.view import PROJECTED_CHANNEL
from streamledger.supervision import Tasks

logger = logging.getLogger(__name__)

LOOK_S: Final = 5.0
"""How often it is looked whether the connection still carries something."""
RECONNECT_S: Final = 1.0
"""How long to wait before a lost connection is made anew."""


class Pulse:
    """Wakes everybody who waits, at once. Arm first, then look, then wait: no beat falls in between."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def arm(self) -> asyncio.Event:
        """What the next beat sets."""
        return self._next

    def beat(self) -> None:
        """Wake those who have armed before now."""
        self._next.set()
        self._next = asyncio.Event()


async def wait_at_most(armed: asyncio.Event, timeout_s: float) -> bool:
    """Wait for the beat; False when `timeout_s` passed without one."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(armed.wait(), timeout_s)
    return armed.is_set()


class Listener:
    """Turns the database's notifications into beats: of `ledger` per stored batch, of `projected` per batch
    that the read model has taken in."""

    def __init__(self, connect: Callable[[], Awaitable[psycopg.AsyncConnection]], schema: str) -> None:
        self.ledger = Pulse()
        self.projected = Pulse()
        self._connect = connect
        self._is_lost = False
        self._pulses = {f"{CHANNEL}_{schema}": self.ledger, f"{PROJECTED_CHANNEL}_{schema}": self.projected}

    @asynccontextmanager
    async def listening(self, tasks: Tasks | None = None) -> AsyncIterator["Listener"]:
        """Listen while this lasts."""
        async with (tasks or Tasks()).keep("listener", self._run):
            yield self

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except (*STORE_FAULTS, StoreUnavailable) as error:
                if not self._is_lost:  # one line for an outage, however many tries
                    logger.warning("listening was cut off, trying again: %s", first_line(error))
                self._is_lost = True
            await asyncio.sleep(RECONNECT_S)

    async def _listen(self) -> None:
        async with await self._connect() as connection:
            for channel in self._pulses:
                await connection.execute(f"LISTEN {channel}".encode())
            self._is_lost = False
            for pulse in self._pulses.values():
                pulse.beat()  # something may have happened while nobody listened
            while True:
                async for notification in connection.notifies(timeout=LOOK_S):
                    self._pulses[notification.channel].beat()
                await connection.execute("SELECT 1")  # a way that swallows everything tells nothing else
