"""Health: can deliveries be stored at this moment, and what else is not as it should be, since when."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg

from streamledger.domain.errors import StoreUnavailable, StreamledgerError
from streamledger.domain.instants import instant_ms
from streamledger.ledger.appender import Appender
from streamledger.ledger.quarantining import waiting
from streamledger.operations.absences import Absences
from streamledger.operations.agreement import Agreement
from streamledger.operations.answer_speed import AnswerSpeed, Speed
from streamledger.operations.timings import SHARED
from streamledger.operations.troubles import Trouble, disk_trouble, last_received_us, stored_troubles
from streamledger.postgres.connection import STORE_FAULTS
from streamledger.postgres.disk_space import MEBIBYTE, free_bytes

logger = logging.getLogger(__name__)

FRESH_S: Final = 0.2
"""A commit of so short a time ago says that deliveries are stored; an older one, and one is asked for."""
ANSWER_S_MAX: Final = 0.7
"""How long that is waited for: the answer is given within a second."""
LOOK_S: Final = 0.02
FULL_BYTES: Final = 16 * MEBIBYTE
"""With less on its disk, one file of the write-ahead log, the embedded store is full."""
WATCH_S: Final = 2.0
"""How often it is looked for troubles."""


class NotStoring(StreamledgerError):
    """deliveries cannot be stored since {since}: {cause}"""


class Lasting(msgspec.Struct, frozen=True):
    """A trouble and since when it is seen."""

    what: str
    detail: str
    since: str


class Freshness(msgspec.Struct, frozen=True):
    """How current what is shown can be."""

    state: str
    """up; behind: the read model has not taken in what is stored; gone: nothing is stored"""
    since: str | None
    """From when on it is not current."""
    received_at: str | None
    """Of the latest delivery that was believed, as of the last look."""

    @property
    def told(self) -> tuple[str, str | None]:
        """What is worth telling anew when it changes."""
        return self.state, self.received_at


class Health:
    """Of one web process. Who asks never waits for the store, which may hang."""

    def __init__(
        self,
        appender: Appender,
        *,
        connect: Callable[[], psycopg.Connection[Any]],
        data_dir: Path | None,
        clock_us: Callable[[], int],
        absences: Absences | None = None,
        agreement: Agreement | None = None,
    ) -> None:
        """`data_dir` is the embedded store's."""
        self._answer_speed = AnswerSpeed(SHARED)
        self._answer_speed.look(time.monotonic())
        self.speed: Speed | None = None
        """How quickly callbacks were answered lately, as of the last look."""
        self._absences = absences
        self._agreement = agreement
        self._appender = appender
        self._connect = connect
        self._data_dir = data_dir
        self._clock_us = clock_us
        self._full_since: str | None = None
        self._troubles: dict[str, Lasting] = {}
        self._received_us = 0
        self._gone_since: str | None = None
        self.set_aside = 0
        """How many deliveries wait in the quarantine, as of the last look."""
        self._stopping = threading.Event()

    async def fault(self, fresh_s: float = FRESH_S) -> NotStoring | None:
        """What keeps deliveries from being stored, known within a second."""
        if (full := self._full_disk()) is not None:
            return full
        deadline = time.monotonic() + ANSWER_S_MAX
        while True:
            if (gone := self._appender.gone) is not None:
                return NotStoring(since=self._ago(gone.for_s), cause=gone.cause)
            if self._appender.silent_s <= fresh_s:
                return None
            asked_s = self._appender.ask_for_commit()
            if time.monotonic() >= deadline:
                return NotStoring(since=self._ago(asked_s), cause="the store does not answer")
            await asyncio.sleep(LOOK_S)

    def _full_disk(self) -> NotStoring | None:
        free = free_bytes(self._data_dir) if self._data_dir is not None else None
        if free is None or free >= FULL_BYTES:
            self._full_since = None
            return None
        self._full_since = self._full_since or self._ago(0)
        cause = f"the disk of the store is full, {free // 1024} KiB are free"
        return NotStoring(since=self._full_since, cause=cause)

    def _ago(self, for_s: float) -> str:
        return instant_ms(self._clock_us() // 1000 - round(for_s * 1000))

    @property
    def troubles(self) -> list[Lasting]:
        """What was not as it should be at the last look, by name."""
        return [self._troubles[what] for what in sorted(self._troubles)]

    @property
    def freshness(self) -> Freshness:
        """As it is known without asking."""
        gone = self._appender.gone
        fault = None if gone is None else NotStoring(since=self._ago(gone.for_s), cause=gone.cause)
        return self.freshness_with(self._full_disk() or fault)

    def freshness_with(self, fault: NotStoring | None) -> Freshness:
        """With what keeps deliveries from being stored."""
        received_at = instant_ms(self._received_us // 1000) if self._received_us else None
        if fault is not None:
            # What was seen first stays: one who looks later must not see it begin later.
            self._gone_since = self._gone_since or str(fault.facts["since"])
            return Freshness("gone", self._gone_since, received_at)
        self._gone_since = None
        behind = self._troubles.get("projector")
        return Freshness("behind" if behind else "up", behind.since if behind else None, received_at)

    def watch(self) -> None:
        """Look every other second until told to stop. Of a lost store the appender tells."""
        while not self._stopping.is_set():
            try:
                with self._connect() as connection:
                    while not self._stopping.is_set():
                        self.look(connection)
                        self._stopping.wait(WATCH_S)
            except (*STORE_FAULTS, StoreUnavailable):
                self._stopping.wait(WATCH_S)

    def look(self, connection: psycopg.Connection[Any]) -> None:
        """Look once; a line in the log tells what has changed."""
        self.speed = self._answer_speed.look(time.monotonic())
        if self._absences is not None:
            self._absences.beat(connection)
        self._received_us = max(self._received_us, last_received_us(connection))
        if self._agreement is not None:
            self._agreement.say(connection)
        self.set_aside = waiting(connection)
        found = stored_troubles(connection, self._clock_us())
        disk = disk_trouble(self._data_dir)
        self._note([*found, *([disk] if disk else [])])

    def _note(self, found: list[Trouble]) -> None:
        before, now = self._troubles, {}
        for each in found:
            known = before.get(each.what)
            if known is None and each.what != "disk":  # of the disk the healer tells
                logger.warning("degraded, though deliveries are stored: %s", each.detail)
            now[each.what] = Lasting(each.what, each.detail, known.since if known else self._ago(0))
        for what in before.keys() - now.keys() - {"disk"}:
            logger.warning("no longer degraded: %s (since %s)", before[what].what, before[what].since)
        self._troubles = now

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """End `watch`."""
        self._stopping.set()
