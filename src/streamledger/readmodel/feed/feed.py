"""The ledger as a feed: one reader of its end for all subscribers of a process, each with a bounded queue.

A subscriber first reads what it has missed by itself, page by page, and then joins the tail, which
reads every new event once and hands it to all. One that does not keep up is dropped, and told the
position from which it can go on: nothing waits for it, and nothing is lost.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, Protocol

import msgspec
import psycopg
import psycopg_pool

from streamledger.domain.errors import MalformedBody, StoreUnavailable, StreamledgerError
from streamledger.domain.events import LedgerEvent, originator_of
from streamledger.domain.kinds import KIND_BY_STORED_NAME
from streamledger.domain.kinds import kind_of as kind_of_event_type
from streamledger.domain.notification import Kind
from streamledger.postgres.errors import first_line
from streamledger.readmodel.feed.listening import Pulse, wait_at_most
from streamledger.readmodel.queries import presenters as answering
from streamledger.readmodel.queries.pacing import Pace, off_loop
from streamledger.readmodel.queries.shown_events import Shown, is_full, size_of
from streamledger.supervision import Tasks
from streamledger.tencent.envelope import read_envelope
from streamledger.tencent.shown_body import at_most

logger = logging.getLogger(__name__)

BATCH_SIZE_MAX: Final = 500
POLL_S: Final = 1.0
"""How long the tail sleeps without a notification before it looks by itself."""
CATCHING_UP_MAX: Final = 3
"""Readers that read history at one time; others wait for their turn, however long that takes."""
QUEUE_LENGTH_MAX: Final = 1000
"""Events that may wait for one subscriber before it is dropped."""
QUEUE_BYTES_MAX: Final = 4 * 1024 * 1024
"""Bytes of them: a thousand ordinary events have half a million."""
BATCH_BYTES_MAX: Final = 256 * 1024
"""Given to a subscriber at once."""

STORE_ERRORS: Final = (psycopg.Error, psycopg_pool.PoolTimeout, StoreUnavailable)


class TooManyReaders(StreamledgerError):
    """{readers} readers follow the feed of this process already; try again later"""


class FeedFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events a subscriber wants: of one stream, of some kinds; None is all."""

    stream_id: str | None = None
    kinds: frozenset[Kind] | None = None

    @property
    def originator_id(self) -> str | None:
        """The ledger's event stream of the wanted live stream."""
        return None if self.stream_id is None else originator_of(self.stream_id, 0)

    def wants(self, event: Shown) -> bool:
        """Whether the event is wanted; reads the body only where the name does not tell the kind."""
        if self.stream_id is not None and event.originator_id != self.originator_id:
            return False
        return self.kinds is None or kind_of(event) in self.kinds


def kind_of(event: Shown) -> Kind:
    """The kind of the event's notification; of one that cannot be read what its name says."""
    known = KIND_BY_STORED_NAME.get(event.name)
    if known is not None:
        return known
    if isinstance(event, LedgerEvent):
        with contextlib.suppress(MalformedBody):
            return kind_of_event_type(read_envelope(at_most(event.delivery.body)).event_type)
    return Kind.OTHER


class Message(msgspec.Struct, frozen=True):
    """One event for subscribers: its position, and the JSON of its LedgerEntry."""

    position: int
    json: bytes


def message_of(event: Shown) -> Message:
    """The event as it is sent."""
    return Message(event.position, msgspec.json.encode(answering.ledger_entry(event)))


class Source(Protocol):
    """Where the tail reads: the ledger, or as much of it as the read model has taken in."""

    async def head(self) -> int:
        """The position of the last event that can be read."""

    async def after(self, position: int, limit: int, originator_id: str | None = None) -> list[Shown]:
        """Up to `limit` events after a position, in order, of one event stream or of all; fewer if large."""


class Subscription:
    """One reader's place in the feed. `position` is what it has been given: it can resume from there."""

    def __init__(self, wanted: FeedFilter, position: int, queue_length_max: int = QUEUE_LENGTH_MAX) -> None:
        self.wanted = wanted
        self.position = position
        self.dropped = False
        self.closed = False
        self._queue: deque[Message] = deque()
        self._queue_length_max = queue_length_max
        self._seen = position  # up to here nothing wanted waits outside the queue
        self._ready = asyncio.Event()
        self._queued_bytes = 0

    def offer(self, event: Shown, message: Callable[[], Message]) -> None:
        """Take an event from the tail; `message` makes its text, once for all subscribers."""
        if self.dropped or event.position <= self._seen:
            return
        self._seen = event.position
        if not self.wanted.wants(event):
            return
        if len(self._queue) >= self._queue_length_max or self._queued_bytes >= QUEUE_BYTES_MAX:
            self.dropped = True
            self._queue.clear()
        else:
            self._queue.append(message())
            self._queued_bytes += len(self._queue[-1].json)
        self._ready.set()

    def close(self) -> None:
        """End the subscription from our side."""
        self.closed = True
        self._ready.set()

    async def next(self, timeout_s: float) -> list[Message]:
        """What waits, as soon as something does; empty after `timeout_s`, or when dropped or closed."""
        if not (self._queue or self.dropped or self.closed):
            self._ready.clear()
            await wait_at_most(self._ready, timeout_s)
        messages: list[Message] = []
        given_bytes = 0
        while self._queue and given_bytes < BATCH_BYTES_MAX:
            messages.append(self._queue.popleft())
            given_bytes += len(messages[-1].json)
        self._queued_bytes = max(0, self._queued_bytes - given_bytes) if self._queue else 0
        if messages:
            self.position = messages[-1].position
        elif not self.dropped:
            self.position = max(self.position, self._seen)
        return messages

    def advance(self, messages: Sequence[Message], seen: int) -> None:
        """Note what was given past the queue: everything up to `seen`."""
        self._seen = max(self._seen, seen)
        self.position = max(self.position, seen, messages[-1].position if messages else 0)


class Ticker(Subscription):
    """A subscription that only wants to know that something came, not what: it never falls behind."""

    def offer(self, event: Shown, message: Callable[[], Message]) -> None:
        """Note an event from the tail in place of those before it; its text is never made."""
        super().offer(event, partial(Message, event.position, b""))
        while len(self._queue) > 1:
            self._queue.popleft()


class Tail:
    """Reads the end of a source once for all subscribers. It rests while there are none."""

    def __init__(self, source: Source, pulse: Pulse, *, readers_max: int, poll_s: float = POLL_S) -> None:
        self._source = source
        self._pulse = pulse
        self._poll_s = poll_s
        self._readers_max = readers_max
        self._readers = 0
        self._members: set[Subscription] = set()
        self._position: int | None = None
        self._lock = asyncio.Lock()
        self._catching_up = asyncio.Semaphore(CATCHING_UP_MAX)
        self._joined = asyncio.Event()
        self._closing = False

    @property
    def readers(self) -> int:
        """How many follow now, those included that are still catching up."""
        return self._readers

    @property
    def closing(self) -> bool:
        """Whether the server stops, and everything that is endless must end."""
        return self._closing

    @property
    def joined(self) -> int:
        """How many have caught up, and are handed each event as it comes."""
        return len(self._members)

    async def head(self) -> int:
        """The position of the last event that can be read, or that the tail has read if it follows."""
        async with self._lock:
            return self._position if self._position is not None else await self._source.head()

    @asynccontextmanager
    async def running(self, tasks: Tasks | None = None, name: str = "feed") -> AsyncIterator["Tail"]:
        """Read while this lasts."""
        async with (tasks or Tasks()).keep(name, self._run):
            try:
                yield self
            finally:
                self.close()

    def close(self) -> None:
        """End every subscription, now and from now on: a server that stops must not wait for its readers."""
        self._closing = True
        for member in self._members:
            member.close()

    def check_room(self) -> None:
        """Raises TooManyReaders when no reader more may follow."""
        if self._readers >= self._readers_max:
            raise TooManyReaders(readers=self._readers)

    async def follow(
        self, subscription: Subscription, timeout_s: float
    ) -> AsyncGenerator[list[Message], None]:
        """Everything wanted after the subscription's position, in batches, without gap or repetition.

        Yields an empty batch at once, which says that the place is taken, and one after each `timeout_s`
        of silence and each try to read a store that is away, which ends nobody's reading. Ends when the
        subscription is dropped or closed.
        """
        self._readers += 1
        try:
            yield []
            async for messages in self._begin(subscription):
                yield messages
            while not (subscription.dropped or subscription.closed):
                messages = await subscription.next(timeout_s)
                if messages or not (subscription.dropped or subscription.closed):
                    yield messages
        finally:
            self._members.discard(subscription)
            self._readers -= 1

    async def _begin(self, subscription: Subscription) -> AsyncIterator[list[Message]]:
        """What came before it joined, and join. A store that is away is waited for, as it is after."""
        joined_at: int | None = None
        is_lost = False
        while True:
            try:
                if joined_at is None:
                    if self._position is None or subscription.position < self._position:
                        async for messages in self._catch_up(subscription, None):
                            yield messages
                    joined_at = await self._join(subscription)
                async for messages in self._catch_up(subscription, joined_at):
                    yield messages
            except STORE_ERRORS as error:
                if not is_lost:  # one line for an outage, however many tries
                    logger.warning("a reader of the feed waits for the store: %s", first_line(error))
                is_lost = True
                yield []
                await asyncio.sleep(self._poll_s)
                if self._closing:
                    subscription.close()
                if subscription.closed or subscription.dropped:
                    return
            else:
                return

    async def _catch_up(self, subscription: Subscription, until: int | None) -> AsyncIterator[list[Message]]:
        """What lies between the subscription's position and `until`, or the end as it is now."""
        wanted = subscription.wanted
        after = subscription.position
        while not self._closing and (until is None or after < until):
            async with self._catching_up:
                events = await self._source.after(after, BATCH_SIZE_MAX, wanted.originator_id)
            pace = Pace()
            messages: list[Message] = []
            made_bytes = 0
            for event in events:
                if until is not None and event.position > until:
                    break
                if wanted.wants(event):
                    messages.append(await off_loop(size_of(event), message_of, event))
                    made_bytes += len(messages[-1].json)
                if made_bytes >= BATCH_BYTES_MAX:
                    subscription.advance(messages, event.position)
                    yield messages
                    messages, made_bytes = [], 0
                await pace.rest()
            if events:
                after = events[-1].position if until is None else min(events[-1].position, until)
                subscription.advance(messages, after)
            if messages:
                yield messages
            if not is_full(events, BATCH_SIZE_MAX):
                break
        if until is not None:
            subscription.advance([], until)

    async def _join(self, subscription: Subscription) -> int:
        async with self._lock:
            if self._position is None:
                self._position = await self._source.head()
            self._members.add(subscription)
            if self._closing:
                subscription.close()
            self._joined.set()
            return self._position

    async def _run(self) -> None:
        is_lost = False
        while True:
            async with self._lock:
                if not self._members:
                    self._position = None
                    self._joined.clear()
            await self._joined.wait()
            armed = self._pulse.arm()
            try:
                full = await self._step()
            except STORE_ERRORS as error:
                if not is_lost:  # one line for an outage, however many tries
                    logger.warning("the feed cannot be read, trying again: %s", first_line(error))
                is_lost = True
                await asyncio.sleep(self._poll_s)
                continue
            is_lost = False
            if not full:
                await wait_at_most(armed, self._poll_s)

    async def _step(self) -> bool:
        """Hand the next batch to all; whether more may wait already."""
        assert self._position is not None  # noqa: S101  # set by the first to join
        events = await self._source.after(self._position, BATCH_SIZE_MAX)
        pace = Pace()
        for event in events:
            made: list[Message] = []
            for member in self._members:
                member.offer(event, partial(_once, event, made))
            self._position = event.position  # whoever joins while others run begins behind it
            await pace.rest()
        return is_full(events, BATCH_SIZE_MAX)


def _once(event: Shown, made: list[Message]) -> Message:
    """The event's message, made for the first subscriber that wants it and shared by the others."""
    if not made:
        made.append(message_of(event))
    return made[0]
