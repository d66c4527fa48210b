"""Retention of the quarantine: what nobody released ages out, in small batches, counted."""

import logging
import time
from collections.abc import Callable
from typing import Any, Final

import psycopg

from streamledger.domain.errors import StoreUnavailable
from streamledger.ledger import quarantine, quarantining
from streamledger.ledger.attempt import forget_old
from streamledger.postgres.errors import first_line

logger = logging.getLogger(__name__)

BATCH_SIZE: Final = 500
DAY_US: Final = 86_400_000_000
EVERY_S: Final = 600.0


def purge_quarantine(connection: psycopg.Connection[Any], before_us: int) -> int:
    """Delete unreleased deliveries received before then; returns how many.

    Each batch is a transaction that also counts them (`purged:REASON`), so conservation still holds.
    """
    purged = 0
    while True:
        with connection.transaction(), connection.cursor() as cursor:
            quarantining.hold(cursor)
            counts = quarantine.purge(cursor, before_us, BATCH_SIZE)
            if counts:
                quarantining.add_counts(
                    cursor, {f"purged:{reason}": count for reason, count in counts.items()}
                )
        if not counts:
            return purged
        purged += sum(counts.values())


class Retention:
    """Purges again and again, on a thread of its own."""

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[Any]],
        days_max: int,
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._connect = connect
        self._days_max = days_max
        self._clock_us = clock_us

    def run(self) -> None:
        """Purge at once and then every EVERY_S, for ever; a store that is away is tried again next time."""
        while True:
            self.step()
            time.sleep(EVERY_S)

    def step(self) -> int:
        """Purge once; returns how many deliveries aged out, 0 when the store is away."""
        try:
            with self._connect() as connection:
                forget_old(connection)
                purged = purge_quarantine(connection, self._clock_us() - self._days_max * DAY_US)
        except (psycopg.Error, StoreUnavailable) as error:
            logger.warning("the quarantine could not be purged: %s", first_line(error))
            return 0
        if purged:
            logger.info(
                "%s quarantined deliveries were older than %s days and are gone", purged, self._days_max
            )
        return purged
