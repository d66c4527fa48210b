"""Group commit: each process has one writer, which stores whatever waits in one transaction after another.

Requests that wait at the same moment share a transaction, so one fsync acknowledges many. One bad
delivery never fails its neighbours: a batch the database refuses is halved until the bad one is alone.
"""

import asyncio
import logging
import math
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec
import psycopg

from streamledger.domain.errors import StoreUnavailable, StreamledgerError
from streamledger.domain.events import DeliveryEvent
from streamledger.ledger.application import Batch, Ledger, Stored
from streamledger.ledger.attempt import Attempt
from streamledger.ledger.quarantining import NewQuarantined, QuarantineCaps
from streamledger.ledger.reachability import UNAVAILABLE, Doubts, Gone, Reachability
from streamledger.ledger.session import Session
from streamledger.postgres.errors import first_line
from streamledger.postgres.parking import Parking

logger = logging.getLogger(__name__)

BATCH_BYTES_MAX: Final = 1024 * 1024
"""Of bodies in one transaction, but for one that is larger: while they are encoded nothing else goes on."""

REFUSED_PER_BATCH_MAX: Final = 100
"""Refused deliveries that may ride in one transaction, so that a flood of them delays no genuine one."""

FULL_S: Final = 1.0
"""How long the room for refused deliveries is taken to be used up, once one has found none."""

IDLE_FLUSH_S: Final = 1.0
"""How long a bare count may wait for a transaction to ride in."""

GONE_AFTER_S: Final = 2.0
"""How long a store that was lost is tried before it counts as gone: a restart that is quick is bridged."""

RETRY_S: Final = 0.1
PROBE_S: Final = 0.5
"""How often a store that is gone is looked for."""

WATCH_S: Final = 0.25
"""How often it is looked whether a delivery has waited too long."""

CLOSE_S_MAX: Final = 2.0
"""How much longer than a delivery may wait the end of the program waits for the writer."""

FAULTS_OF_A_DELIVERY: Final = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.ProgramLimitExceeded,  # psycopg counts it among the connection's errors
    ValueError,  # what psycopg cannot encode
    OverflowError,
)
"""What one delivery can be guilty of. Any other error is the store's, and the deliveries must wait for it:
to isolate them would set genuine ones aside as malformed because a table is read-only for a minute."""


class StoreGivenUp(StoreUnavailable):
    """the delivery was not on disk within {waited_s:g} s"""


class QueueFull(StreamledgerError):
    """{length} deliveries wait for the store already; try again later"""


class DeliveryUnstorable(StreamledgerError):
    """the database cannot store this delivery: {cause}"""


class AppenderLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes and times of the appender."""

    batch_size_max: int
    queue_length_max: int
    store_wait_s_max: float
    """How long a delivery may wait until it is on disk; then it is given up with 503, whatever goes on."""
    gone_after_s: float = GONE_AFTER_S
    caps: QuarantineCaps


class Waiting(NamedTuple):
    """A delivery, whom to tell, and since when it waits by the appender's clock."""

    item: DeliveryEvent | NewQuarantined
    future: "asyncio.Future[Any]"
    since: float
    size: int
    """Of the body, in bytes."""


class Appender:
    """Accepts deliveries, stores them, answers when they are on disk; all of it on the event loop."""

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[Any]],
        ledger: Ledger,
        limits: AppenderLimits,
        clock: Callable[[], float] = time.monotonic,
        observe_commit: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        """`observe_commit` is told how many seconds each commit took."""
        self._observe_commit = observe_commit
        self._parking = Parking(self._run)
        self._session = Session(partial(self._parking.connected, connect))
        self._ledger = ledger
        self._limits = limits
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._events: deque[Waiting] = deque()
        self._refused: deque[Waiting] = deque()
        self._counts: Counter[str] = Counter()
        self._closing = False
        self._stored_at = -math.inf
        self._asked_at: float | None = None
        self._full_until = -math.inf
        self._in_hand: list[Waiting] = []
        self._reachability = Reachability(clock)
        self._doubts = Doubts()
        self._writer = uuid.uuid4()
        self._watching = self._loop.call_later(WATCH_S, self._watch)
        self._parking.start()

    def append(self, event: DeliveryEvent) -> "asyncio.Future[int]":
        """The position, once the event is on disk. Raises QueueFull at once when too many wait, and
        StoreUnavailable while the store is known to be gone.

        The future raises StoreUnavailable when the database cannot be reached, DeliveryUnstorable
        when it refuses this delivery alone; it has its answer within `store_wait_s_max`, and a watch more.
        """
        return self._enqueue(self._events, event, len(event.delivery.body))

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
        return self._enqueue(self._refused, row, len(row.body))

    def expect_store(self) -> None:
        """Raises StoreUnavailable, and counts a refusal, while the store is known to be gone."""
        if self._reachability.is_gone:
            self._reachability.refused += 1
            self.count(UNAVAILABLE)
            raise StoreUnavailable(cause=self._reachability.cause)

    def count(self, outcome: str) -> None:
        """Count a refusal that leaves nothing but a number; it rides in the next transaction."""
        self._counts[outcome] += 1

    @property
    def queue_length(self) -> int:
        """How many deliveries wait now."""
        return len(self._events) + len(self._refused)

    @property
    def gone(self) -> Gone | None:
        """While deliveries are refused at once: since when, until a probe finds the store."""
        return self._reachability.gone

    @property
    def silent_s(self) -> float:
        """How long ago the last commit was on disk."""
        return self._clock() - self._stored_at

    def ask_for_commit(self) -> float:
        """Make the writer commit even if nothing waits: that tells whether the store stores.

        Returns how long ago it was asked for first, if there was none since.
        """
        if self._asked_at is None:
            self._asked_at = self._clock()
            if not self._reachability.is_gone:  # else it is looked for anyway
                self._parking.wake()
        return self._clock() - self._asked_at

    async def close(self) -> None:
        """Store what waits, then stop. New deliveries are refused from now on.

        A store that does not answer is not waited for longer than a delivery waits.
        """
        self._closing = True
        self._parking.wake()
        await self._parking.end(self._limits.store_wait_s_max + CLOSE_S_MAX)
        self._watching.cancel()
        self._answer_overdue(-math.inf)

    def _enqueue(
        self, queue: deque[Waiting], item: DeliveryEvent | NewQuarantined, size: int
    ) -> "asyncio.Future[Any]":
        self.expect_store()
        if self._closing or len(queue) >= self._limits.queue_length_max:
            self.count("refused:queue_full")
            raise QueueFull(length=len(queue))
        future: asyncio.Future[Any] = self._loop.create_future()
        queue.append(Waiting(item, future, self._clock(), size))
        if len(queue) == 1:  # the writer drains the queue whole, so only the first has to wake it
            self._parking.wake()
        return future

    def _watch(self) -> None:
        """Answer those who have waited too long: the writer may hang."""
        self._answer_overdue(self._limits.store_wait_s_max)
        self._watching = self._loop.call_later(WATCH_S, self._watch)

    def _answer_overdue(self, wait_s_max: float) -> None:
        since = self._clock() - wait_s_max
        for waiting in (self._in_hand, list(self._events), list(self._refused)):
            for each in waiting:
                if each.since < since and not each.future.done():
                    # What became of it is the writer's to count: it stores it yet, or finds it answered.
                    each.future.set_exception(StoreGivenUp(waited_s=self._limits.store_wait_s_max))

    def _run(self) -> None:
        try:
            while self._await_work():
                try:
                    if self._reachability.is_gone:
                        self._probe()
                    else:
                        self._store_next()
                except Exception as error:  # a fault of the program: who comes next is stored all the same
                    logger.exception("the writer stumbled, and goes on")
                    self._session.close()
                    failed = StoreUnavailable(cause=first_line(error))
                    _answer([(each.future, failed) for each in self._in_hand])
                    self._parking.sleep(RETRY_S)
        finally:
            self._session.close()

    def _store_next(self) -> None:
        counts, self._counts = self._counts, Counter()
        events = self._take(self._events, self._limits.batch_size_max, BATCH_BYTES_MAX)
        refused = self._take(self._refused, REFUSED_PER_BATCH_MAX, BATCH_BYTES_MAX)
        self._in_hand = events + refused
        if self._in_hand or counts or self._asked_at is not None:
            self._store(events, refused, counts)
        self._in_hand = []

    def _await_work(self) -> bool:
        """Wait for something to store, or to look for a store that is gone; False at the end."""
        if self._reachability.is_gone:
            if not self._closing:
                self._parking.rest(PROBE_S)
            return not self._closing
        while not (self._events or self._refused or self._closing or self._asked_at is not None):
            if not self._parking.rest(IDLE_FLUSH_S) and self._counts:
                break
        return bool(self._events or self._refused or self._counts or not self._closing)

    def _take(self, queue: deque[Waiting], number: int, bytes_max: float = math.inf) -> list[Waiting]:
        """The next that wait, without those who were answered meanwhile that they waited too long."""
        taken: list[Waiting] = []
        taken_bytes = 0
        while queue and len(taken) < number and taken_bytes < bytes_max:
            taken.append(queue.popleft())
            taken_bytes += taken[-1].size
        left = [each for each in taken if not each.future.done() or each.future.cancelled()]
        self._count_unavailable(len(taken) - len(left))
        return left

    def _probe(self) -> None:
        """One try to write to a store that is gone: the refusals so far, and those of commits in doubt."""
        counts, self._counts = self._counts, Counter()
        batch, attempt = Batch(counts=counts), Attempt(self._writer)
        try:
            connection = self._session.connection()
            if self._doubts:
                counts.update(self._doubts.settle(connection))
            self._ledger.receive(connection, batch, self._limits.caps, attempt)
        except (psycopg.Error, StoreUnavailable) as error:
            self._session.close()
            self._reachability.cause = first_line(error)
            self._leave_open(batch, attempt)
            return
        self._note_commit()
        self._reachability.find()

    def _store(self, events: list[Waiting], refused: list[Waiting], counts: dict[str, int]) -> None:
        batch = Batch(
            events=[each.item for each in events if not isinstance(each.item, NewQuarantined)],
            quarantined=[each.item for each in refused if isinstance(each.item, NewQuarantined)],
            counts=counts,
        )
        attempt = Attempt(self._writer)
        if self._reachability.is_gone:  # a part of a batch, when an earlier part was given up
            self._give_up(events + refused, batch, attempt, self._reachability.cause)
            return
        try:
            stored = self._commit(batch, attempt)
        except FAULTS_OF_A_DELIVERY as error:
            self._isolate(events, refused, counts, error)
            return
        except (psycopg.Error, StoreUnavailable) as error:
            self._give_up(events + refused, batch, attempt, first_line(error))
            return
        self._note_commit()
        results: list[tuple[asyncio.Future[Any], Any]] = [
            (each.future, position) for each, position in zip(events, stored.positions, strict=True)
        ]
        if any(row.budget == "refused" and row.delivery_id not in stored.kept for row in batch.quarantined):
            self._full_until = self._clock() + FULL_S
        results += [
            (each.future, isinstance(each.item, NewQuarantined) and each.item.delivery_id in stored.kept)
            for each in refused
        ]
        _answer(results)

    def _note_commit(self) -> None:
        self._stored_at, self._asked_at = self._clock(), None

    def _commit(self, batch: Batch, attempt: Attempt) -> Stored:
        """Store a batch exactly once, over lost connections and lost acknowledgements.

        Raises what the last try ended with when the store counts as gone.
        """
        began, tries = self._clock(), 0
        while True:
            try:
                connection, sent_at = self._session.connection(), self._clock()
                stored = self._ledger.receive(connection, batch, self._limits.caps, attempt)
                self._observe_commit(self._clock() - sent_at)
                return stored
            except FAULTS_OF_A_DELIVERY:
                raise
            except (psycopg.Error, StoreUnavailable) as error:
                self._session.close()
                tries += 1
                # Twice at least: a connection that was swallowed tells nothing of the next.
                if tries > 1 and self._clock() - began >= self._limits.gone_after_s:
                    raise
                logger.debug("the store did not answer, trying again: %s", first_line(error))
                # A restarting database needs a moment; the queue goes on filling meanwhile.
                self._parking.sleep(RETRY_S)

    def _isolate(
        self, events: list[Waiting], refused: list[Waiting], counts: dict[str, int], error: Exception
    ) -> None:
        """Halve what the database refused, until what cannot be stored stands alone."""
        if len(events) + len(refused) <= 1:
            if counts:
                self._store([], [], counts)
            _answer([(each.future, DeliveryUnstorable(cause=first_line(error))) for each in events + refused])
            return
        half, half_refused = len(events) // 2, len(refused) // 2
        if len(events) <= 1:  # events apart from refused ones first, then the refused ones in halves
            self._store(events, refused[:half_refused], counts)
            self._store([], refused[half_refused:], {})
            return
        self._store(events[:half], refused, counts)
        self._store(events[half:], [], {})

    def _give_up(self, waiting: list[Waiting], batch: Batch, attempt: Attempt, cause: str) -> None:
        """The store is gone: all that wait are told at once, those in the queues too."""
        self._reachability.lose(cause)
        self._leave_open(batch, attempt)
        queued = self._take(self._events, len(self._events)) + self._take(self._refused, len(self._refused))
        self._count_unavailable(len(queued))
        self._reachability.refused += len(waiting) + len(queued)
        error = StoreUnavailable(cause=cause)
        _answer([(each.future, error) for each in waiting + queued])

    def _leave_open(self, batch: Batch, attempt: Attempt) -> None:
        """A batch that was not acknowledged: counted as refused, or kept in mind until it is known."""
        if attempt.sent:
            self._doubts.add(batch, attempt)
            return
        self._counts.update(batch.counts)
        self._count_unavailable(len(batch.events) + len(batch.quarantined))

    def _count_unavailable(self, number: int) -> None:
        if number:
            self._counts[UNAVAILABLE] += number


def _answer(results: list[tuple["asyncio.Future[Any]", Any]]) -> None:
    for future, result in results:
        if future.done():  # the client hung up; what was stored stays stored
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
