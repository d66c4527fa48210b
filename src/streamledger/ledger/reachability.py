"""Whether the store answers, as the writer finds it, and what became of commits in doubt (ADR 0019)."""

import logging
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import psycopg

from streamledger.ledger.application import Batch
from streamledger.ledger.attempt import Attempt

logger = logging.getLogger(__name__)

UNAVAILABLE = "refused:store_unavailable"


class Gone(msgspec.Struct, frozen=True):
    """A store that cannot be reached, or stores nothing: for how long, and what was heard last."""

    for_s: float
    cause: str


class Reachability:
    """The store is there, or gone since some moment; each change is one line in the log."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.gone_since: float | None = None
        self.cause = ""
        """What was heard last, while it is gone."""
        self.refused = 0
        """Deliveries that were not acknowledged since it is gone."""

    @property
    def is_gone(self) -> bool:
        """Whether deliveries are refused at once."""
        return self.gone_since is not None

    @property
    def gone(self) -> Gone | None:
        """For how long it is gone, and why; None while it is there."""
        since = self.gone_since
        return None if since is None else Gone(self._clock() - since, self.cause)

    def lose(self, cause: str) -> None:
        """The store cannot be reached, or stores nothing."""
        self.cause = cause
        if self.gone_since is None:
            self.gone_since = self._clock()
            self.refused = 0
            logger.error("the store is gone: %s; deliveries are answered 503 until it is back", cause)

    def find(self) -> None:
        """The store has committed something."""
        if self.gone_since is not None:
            lasted_s = self._clock() - self.gone_since
            logger.warning(
                "the store is back after %.1f s; %s deliveries were answered 503", lasted_s, self.refused
            )
            self.gone_since = None


class Doubt(msgspec.Struct, frozen=True):
    """A batch that was given up although it may have been committed: what tells it, and what it counts."""

    attempt: Attempt
    event_ids: list[uuid.UUID | None]
    refusals: Counter[str]
    """When it was not committed."""


class Doubts:
    """Batches that may have been committed: once that is known, their refusals count once, or never."""

    def __init__(self) -> None:
        self._open: list[Doubt] = []

    def __bool__(self) -> bool:
        return bool(self._open)

    def add(self, batch: Batch, attempt: Attempt) -> None:
        """Keep a batch in mind, without its bodies."""
        refusals = Counter(batch.counts)
        refusals[UNAVAILABLE] += len(batch.events) + len(batch.quarantined)
        self._open.append(Doubt(attempt, [event.delivery_id for event in batch.events], +refusals))

    def settle(self, connection: psycopg.Connection[Any]) -> Mapping[str, int]:
        """The refusals of what was not committed. Raises psycopg.Error, and then keeps them all."""
        refusals: Counter[str] = Counter()
        with connection.transaction(), connection.cursor() as cursor:
            for doubt in self._open:
                if not doubt.attempt.is_committed(cursor, doubt.event_ids):
                    refusals += doubt.refusals
        self._open = []
        return refusals
