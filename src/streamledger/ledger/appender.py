"""Group commit: one writer thread per process stores whatever waits, in one transaction after another.

Requests that wait at the same moment share a transaction, so one fsync acknowledges many. One bad
delivery never fails its neighbours: a batch the database refuses is halved until the bad one is alone.
"""

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec
import psycopg

from streamledger.domain.errors import StoreUnavailable, StreamledgerError
from streamledger.ledger import transaction
from streamledger.ledger.append import NewEvent, NewQuarantined, QuarantineCaps
from streamledger.ledger.transaction import Batch, Stored

logger = logging.getLogger(__name__)

REFUSED_PER_BATCH_MAX: Final = 100
"""Refused deliveries that may ride in one transaction, so that a flood of them delays no genuine one."""

FULL_S: Final = 1.0
"""How long the room for refused deliveries is taken to be used up, once one has found none."""

IDLE_FLUSH_S: Final = 1.0
"""How long a bare count may wait for a transaction to ride in."""

FAULTS_OF_A_DELIVERY: Final = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.ProgramLimitExceeded,  # psycopg counts it among the connection's errors
    ValueError,  # what psycopg cannot encode
    OverflowError,
)
"""What one delivery can be guilty of. Any other error is the store's, and the deliveries must wait for it:
to isolate them would set genuine ones aside as malformed because a table is read-only for a minute."""


class QueueFull(StreamledgerError):
    """{length} deliveries wait for the store already; try again later"""


class DeliveryUnstorable(StreamledgerError):
    """the database cannot store this delivery: {cause}"""


class AppenderLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes and times of the appender."""

    batch_size_max: int
    queue_length_max: int
    store_wait_s_max: float
    """How long to try to reach a lost database before the waiting deliveries are given up with 503."""
    caps: QuarantineCaps


Waiting = tuple[NewEvent | NewQuarantined, "asyncio.Future[Any]"]


class Appender:
    """Accepts deliveries on the event loop, stores them on its own thread, answers when they are on disk."""

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[Any]],
        schema: str,
        limits: AppenderLimits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self._schema = schema
        self._limits = limits
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._events: deque[Waiting] = deque()
        self._refused: deque[Waiting] = deque()
        self._counts: dict[str, int] = {}
        self._wake = threading.Condition()
        self._closing = False
        self._full_until = -math.inf
        self._connection: psycopg.Connection[Any] | None = None
        self._thread = threading.Thread(target=self._run, name="appender", daemon=True)
        self._thread.start()

    def append(self, event: NewEvent) -> "asyncio.Future[int]":
        """The position, once the event is on disk. Raises QueueFull at once when too many wait.

        The future raises StoreUnavailable when the database cannot be reached, DeliveryUnstorable
        when it refuses this delivery alone.
        """
        return self._enqueue(self._events, event)

    def quarantine(self, row: NewQuarantined) -> "asyncio.Future[bool]":
        """Whether the delivery was kept (the caps have room), once that is on disk.

        While strangers have used up their room, theirs are counted here and now: a flood then costs the
        store nothing.
        """
        if row.budget == "refused" and self._clock() < self._full_until:
            self.count(f"refused:{row.reason}")
            counted: asyncio.Future[bool] = self._loop.create_future()
            counted.set_result(False)
            return counted
        return self._enqueue(self._refused, row)

    def count(self, outcome: str) -> None:
        """Count a refusal that leaves nothing but a number; it rides in the next transaction."""
        with self._wake:
            self._counts[outcome] = self._counts.get(outcome, 0) + 1

    @property
    def queue_length(self) -> int:
        """How many deliveries wait now."""
        return len(self._events) + len(self._refused)

    async def close(self) -> None:
        """Store what waits, then stop. New deliveries are refused from now on."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)

    def _enqueue(self, queue: deque[Waiting], item: NewEvent | NewQuarantined) -> "asyncio.Future[Any]":
        if self._closing or len(queue) >= self._limits.queue_length_max:
            self.count("refused:queue_full")
            raise QueueFull(length=len(queue))
        future: asyncio.Future[Any] = self._loop.create_future()
        queue.append((item, future))
        if len(queue) == 1:  # the writer drains the queue whole, so only the first has to wake it
            with self._wake:
                self._wake.notify()
        return future

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._events or self._refused or self._closing):
                    if not self._wake.wait(IDLE_FLUSH_S) and self._counts:
                        break
                if self._closing and not (self._events or self._refused or self._counts):
                    break
                counts, self._counts = self._counts, {}
            events = _take(self._events, self._limits.batch_size_max)
            refused = _take(self._refused, REFUSED_PER_BATCH_MAX)
            if events or refused or counts:
                self._store(events, refused, counts)
        if self._connection is not None:
            self._connection.close()

    def _store(self, events: list[Waiting], refused: list[Waiting], counts: dict[str, int]) -> None:
        batch = Batch(
            events=[item for item, _ in events if isinstance(item, NewEvent)],
            quarantined=[item for item, _ in refused if isinstance(item, NewQuarantined)],
            counts=counts,
        )
        try:
            stored = self._commit(batch)
        except FAULTS_OF_A_DELIVERY as error:
            self._isolate(events, refused, counts, error)
            return
        except psycopg.Error as error:
            self._give_up(events + refused, counts, StoreUnavailable(cause=_first_line(error)))
            return
        except StreamledgerError as error:
            self._give_up(events + refused, counts, error)
            return
        results: list[tuple[asyncio.Future[Any], Any]] = [
            (future, position) for (_, future), position in zip(events, stored.positions, strict=True)
        ]
        if any(row.budget == "refused" and row.delivery_id not in stored.kept for row in batch.quarantined):
            self._full_until = self._clock() + FULL_S
        results += [
            (future, isinstance(item, NewQuarantined) and item.delivery_id in stored.kept)
            for item, future in refused
        ]
        self._answer(results)

    def _commit(self, batch: Batch) -> Stored:
        """Store a batch exactly once, over lost connections and lost acknowledgements."""
        deadline = self._clock() + self._limits.store_wait_s_max
        doubtful = False  # whether an earlier try may have been committed
        while True:
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = self._connect()
                if doubtful:
                    return transaction.store_again(self._connection, self._schema, batch, self._limits.caps)
                doubtful = True
                return transaction.store(self._connection, self._schema, batch, self._limits.caps)
            except FAULTS_OF_A_DELIVERY:
                raise
            except (psycopg.Error, StoreUnavailable) as error:
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None
                logger.warning("the store did not answer, trying again: %s", _first_line(error))
                if self._clock() >= deadline:
                    raise
                time.sleep(0.1)  # a restarting database needs a moment; the queue goes on filling meanwhile

    def _isolate(
        self, events: list[Waiting], refused: list[Waiting], counts: dict[str, int], error: Exception
    ) -> None:
        """Halve what the database refused, until what cannot be stored stands alone."""
        if len(events) + len(refused) <= 1:
            if counts:
                self._store([], [], counts)
            self._answer(
                [(future, DeliveryUnstorable(cause=_first_line(error))) for _, future in events + refused]
            )
            return
        half = len(events) // 2
        half_refused = len(refused) // 2
        if len(events) <= 1:  # events apart from refused ones first, then the refused ones in halves
            self._store(events, refused[:half_refused], counts)
            self._store([], refused[half_refused:], {})
            return
        self._store(events[:half], refused, counts)
        self._store(events[half:], [], {})

    def _give_up(self, waiting: list[Waiting], counts: dict[str, int], error: StreamledgerError) -> None:
        with self._wake:
            if self._closing:  # nobody will come to store them: do not wait for ever
                counts = {}
            for outcome, count in counts.items():
                self._counts[outcome] = self._counts.get(outcome, 0) + count
            if waiting and not self._closing:
                unavailable = "refused:store_unavailable"
                self._counts[unavailable] = self._counts.get(unavailable, 0) + len(waiting)
        self._answer([(future, error) for _, future in waiting])

    def _answer(self, results: list[tuple["asyncio.Future[Any]", Any]]) -> None:
        if results:
            self._loop.call_soon_threadsafe(_resolve, results)


def _take(queue: deque[Waiting], size: int) -> list[Waiting]:
    return [queue.popleft() for _ in range(min(size, len(queue)))]


def _resolve(results: list[tuple["asyncio.Future[Any]", Any]]) -> None:
    for future, result in results:
        if future.done():  # the client hung up; what was stored stays stored
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
