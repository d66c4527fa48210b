"""What had to wait because nobody was there is believed although its `t` has passed meanwhile (ADR 0022)."""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from typing import Any, Final

import psycopg

from streamledger.domain.errors import StoreUnavailable
from streamledger.domain.kinds import PRESUMED_SCHEDULES, schedules_of
from streamledger.ledger.absence import Absence, beat
from streamledger.tencent.expiry import SIGNATURE_VALIDITY_S, T_SIGNIFICANT_DIGITS_MAX

logger = logging.getLogger(__name__)

MARGIN_S: Final = 30
LOOK_S: Final = 1.0
"""How often it is looked for an absence that has just ended, when an expired delivery asks for it."""

LOOK_S_MAX: Final = 1.5
"""With the wait for the store, and the watch over that, an expired delivery has its answer within 10 s."""


def reach_s(event_type: int) -> int:
    """How long after a first try the sender's whole schedule takes."""
    schedules = schedules_of(event_type) or PRESUMED_SCHEDULES
    return max(each.retries * (each.interval_s + each.reply_timeout_s) for each in schedules)


def is_excused(event_type: int, t: str, now_us: int, absences: list[Absence]) -> bool:
    """Whether a genuine delivery, signed for `t`, had to wait for the end of an absence.

    It was signed between one whole schedule before the absence began and its end, and has come while that
    schedule lasts. No later signature gains anything, and none gains more than the rest of its schedule.
    """
    if len(t) > T_SIGNIFICANT_DIGITS_MAX:
        return False
    signed_us = (int(t) - SIGNATURE_VALIDITY_S) * 1_000_000
    reach_us = reach_s(event_type) * 1_000_000
    if now_us > signed_us + reach_us + MARGIN_S * 1_000_000:
        return False
    return any(each.began_at_us - reach_us <= signed_us <= each.ended_at_us for each in absences)


class Absences:
    """The ledger's absences, as one process knows them."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]], clock_us: Callable[[], int]) -> None:
        self._connect = connect
        self._clock_us = clock_us
        self._known: list[Absence] = []
        self._looked_s = -math.inf
        self._looking: asyncio.Task[bool] | None = None

    def beat(self, connection: psycopg.Connection[Any]) -> None:
        """Be there, on a thread."""
        found = beat(connection, self._clock_us())
        for each in found:
            if each not in self._known:
                away_s = (each.ended_at_us - each.began_at_us) // 1_000_000
                logger.warning("nobody was there for %s s: what had to wait is believed for longer", away_s)
        self._known, self._looked_s = found, time.monotonic()

    async def look(self) -> None:
        """Be there now, unless that was so a moment ago. Raises StoreUnavailable: nothing is known then."""
        if time.monotonic() - self._looked_s < LOOK_S:
            return
        if self._looking is None or self._looking.done():  # one at a time, whoever waits for it
            self._looking = asyncio.create_task(asyncio.to_thread(self._look))
        looking = self._looking
        await asyncio.wait({looking}, timeout=LOOK_S_MAX)
        if not looking.done() or not looking.result():
            raise StoreUnavailable(cause="whether anybody was there is not known: it does not answer")

    def _look(self) -> bool:
        try:
            with self._connect() as connection:
                self.beat(connection)
        except (psycopg.Error, StoreUnavailable) as error:
            logger.debug("no heartbeat: %s", error)
            return False
        return True

    async def excuse(self, event_type: int, t: str, now_us: int) -> bool:
        """Whether an expired delivery is believed; an absence that ends just now counts.

        Raises StoreUnavailable when that is not known: then it must be tried again.
        """
        everywhere = [Absence(-(2**62), 2**62)]
        if not is_excused(event_type, t, now_us, everywhere):
            return False  # too late whatever was: nothing is asked
        await self.look()
        return is_excused(event_type, t, now_us, self._known)
