"""The feed against a source in memory: no gap, no repetition, filters, readers that do not keep up."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any

import msgspec
import pytest

from streamledger.domain.errors import StoreUnavailable
from streamledger.domain.events import Delivery, LedgerEvent, event_name, originator_of
from streamledger.domain.notification import Kind
from streamledger.readmodel.feed import feed
from streamledger.readmodel.feed.feed import FeedFilter, Message, Subscription, Tail, TooManyReaders
from streamledger.readmodel.feed.listening import Pulse
from streamledger.readmodel.queries.shown_events import NotShown
from streamledger.supervision import Tasks
from streamledger.web.events import event_stream

SILENCE_S = 30.0
"""Longer than any test: what waits for it hangs, and the deadline tells."""
DEADLINE_S = 10


class Memory:
    """A source whose events a test adds; positions have gaps, as the ledger's have."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.pulse = Pulse()
        self.reads = 0
        self.away_for = 0
        """How many reads from now on find no store."""

    def add(
        self, event_type: int = 1, stream_id: str = "room-1", count: int = 1, *, beat: bool = True
    ) -> None:
        for _ in range(count):
            position = (self.events[-1].position if self.events else 0) + 2
            body = {"event_type": event_type, "stream_id": stream_id, "sequence": str(position)}
            self.events.append(
                LedgerEvent(
                    position=position,
                    originator_id=originator_of(stream_id, event_type),
                    originator_version=position,
                    name=event_name(event_type),
                    delivery_id="",
                    delivery=Delivery(body=msgspec.json.encode(body), received_at_us=position),
                )
            )
        if beat:
            self.pulse.beat()

    async def head(self) -> int:
        return self.events[-1].position if self.events else 0

    async def after(self, position: int, limit: int, originator_id: str | None = None) -> list[LedgerEvent]:
        self.reads += 1
        await asyncio.sleep(0)  # others may run here, as they may while a database answers
        if self.away_for:
            self.away_for -= 1
            raise StoreUnavailable(cause="away")
        found = [event for event in self.events if event.position > position]
        if originator_id is not None:
            found = [event for event in found if event.originator_id == originator_id]
        return found[:limit]


async def until(condition: Callable[[], bool]) -> None:
    """Let the others run until something is so."""
    for _ in range(100_000):
        if condition():
            return
        await asyncio.sleep(0)
    pytest.fail("it never came to be")


def tail_of(memory: Memory, readers_max: int = 10, poll_s: float = SILENCE_S) -> Tail:
    return Tail(memory, memory.pulse, readers_max=readers_max, poll_s=poll_s)


async def collect(
    tail: Tail, subscription: Subscription, count: int, joined: asyncio.Event | None = None
) -> list[int]:
    """The positions of the first `count` events of a subscription."""
    positions: list[int] = []
    async with aclosing(tail.follow(subscription, SILENCE_S)) as batches:
        async for messages in batches:
            positions += [message.position for message in messages]
            if joined is not None:
                joined.set()
            if len(positions) >= count:
                break
    return positions


def positions_of(events: Sequence[LedgerEvent]) -> list[int]:
    return [event.position for event in events]


async def test_a_reader_gets_the_history_and_then_what_comes_without_gap_or_repetition() -> None:
    memory = Memory()
    memory.add(count=1200)  # more than two pages
    async with tail_of(memory).running() as tail:
        joined = asyncio.Event()
        reading = asyncio.create_task(collect(tail, Subscription(FeedFilter(), 0), 1260, joined))
        await joined.wait()
        for _ in range(60):  # while it still reads history, and after
            memory.add()
            await asyncio.sleep(0)
        assert await reading == positions_of(memory.events)


async def test_a_reader_that_is_ahead_of_the_tail_gets_nothing_twice() -> None:
    memory = Memory()
    async with tail_of(memory).running() as tail:
        early = asyncio.create_task(collect(tail, Subscription(FeedFilter(), 0), 11))
        await until(lambda: memory.reads == 2)
        for _ in range(10):
            await asyncio.sleep(0)
        memory.add(count=10, beat=False)  # the tail has looked, and sleeps on
        late = asyncio.create_task(collect(tail, Subscription(FeedFilter(), 0), 11))
        await until(lambda: tail.joined > 1)
        memory.add()
        assert await late == positions_of(memory.events)
        assert await early == positions_of(memory.events)


async def test_what_is_stored_while_a_reader_joins_is_not_lost() -> None:
    class Racing(Memory):
        async def head(self) -> int:
            self.add(beat=False)  # stored after the reader has looked, before it has joined
            return await super().head()

    memory = Racing()
    async with tail_of(memory).running() as tail:
        assert await collect(tail, Subscription(FeedFilter(), 0), 1) == [2]


@pytest.mark.parametrize("after_index", [0, 1, 7, 19])
async def test_a_reader_that_resumes_begins_right_behind_its_last_event(after_index: int) -> None:
    memory = Memory()
    memory.add(count=20)
    async with tail_of(memory).running() as tail:
        after = memory.events[after_index].position
        reading = asyncio.create_task(collect(tail, Subscription(FeedFilter(), after), 20 - after_index))
        await asyncio.sleep(0)
        memory.add()
        assert await reading == positions_of(memory.events[after_index + 1 :])


async def test_only_the_wanted_stream_and_kinds_are_given_from_history_and_live_alike() -> None:
    memory = Memory()
    wanted = FeedFilter(stream_id="room-1", kinds=frozenset({Kind.PUSH_STOPPED, Kind.PUSH_ERROR}))

    def add_all() -> None:
        for event_type in (1, 0, 100, 200, 321, 999):
            memory.add(event_type, "room-1")
            memory.add(event_type, "room-2")

    add_all()
    async with tail_of(memory).running() as tail:
        joined = asyncio.Event()
        reading = asyncio.create_task(collect(tail, Subscription(wanted, 0), 4, joined))
        await joined.wait()
        add_all()
        assert await reading == [
            event.position
            for event in memory.events
            if event.originator_id == "room-1" and feed.kind_of(event) in (wanted.kinds or ())
        ]


async def test_all_readers_share_one_read_and_one_text_of_each_event(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def counted(event: LedgerEvent) -> Message:
        made.append(event.position)
        return Message(event.position, b"{}")

    monkeypatch.setattr(feed, "message_of", counted)
    memory = Memory()
    async with tail_of(memory).running() as tail:
        reading = [asyncio.create_task(collect(tail, Subscription(FeedFilter(), 0), 3)) for _ in range(8)]
        await until(lambda: tail.joined >= 8)
        reads_before = memory.reads
        memory.add(count=3)
        for task in reading:
            assert await task == [2, 4, 6]
        assert memory.reads - reads_before <= 2
    assert made == [2, 4, 6]


async def test_a_reader_that_does_not_keep_up_is_dropped_and_can_resume_where_it_was() -> None:
    memory = Memory()
    async with tail_of(memory).running() as tail:
        slow = Subscription(FeedFilter(), 0, queue_length_max=5)
        sent = event_stream(tail, slow, SILENCE_S)
        assert b": heartbeat" in await anext(sent)
        first = asyncio.ensure_future(anext(sent))
        await until(lambda: tail.joined > 0)
        memory.add(count=2)
        assert b"id: 4\n" in await first
        memory.add(count=50)  # and it does not read
        await until(lambda: slow.dropped)
        assert await anext(sent) == b'id: 4\nevent: dropped\ndata: {"resume_after":4}\n\n'
        with pytest.raises(StopAsyncIteration):
            await anext(sent)
        assert tail.readers == 0
        again = await collect(tail, Subscription(FeedFilter(), 4), 50)
        assert again == positions_of(memory.events[2:])


async def test_a_slow_reader_costs_the_others_nothing() -> None:
    memory = Memory()
    async with tail_of(memory).running() as tail:
        slow = tail.follow(Subscription(FeedFilter(), 0, queue_length_max=1), SILENCE_S)
        assert await anext(slow) == []
        stuck = asyncio.ensure_future(anext(slow))
        reading = asyncio.create_task(collect(tail, Subscription(FeedFilter(), 0), 30))
        await until(lambda: tail.joined >= 2)
        memory.add(count=1)
        await stuck  # it took one batch, and never asks again
        for _ in range(29):
            memory.add()
            await asyncio.sleep(0)
        assert await reading == positions_of(memory.events)
        await slow.aclose()


async def test_silence_is_filled_with_heartbeats_that_move_the_place_to_resume_from() -> None:
    memory = Memory()
    async with tail_of(memory).running() as tail:
        sent = event_stream(tail, Subscription(FeedFilter(stream_id="room-9"), 0), 0.01)
        assert await anext(sent) == b": heartbeat\nid: 0\n\n"
        waiting = asyncio.ensure_future(anext(sent))
        await until(lambda: tail.joined > 0)
        assert await waiting == b": heartbeat\nid: 0\n\n"
        memory.add(stream_id="room-1", count=4)  # not wanted, but behind us
        texts = [await anext(sent)]
        while texts[-1] != b": heartbeat\nid: 8\n\n":
            texts.append(await anext(sent))
        assert all(b"data:" not in text for text in texts)
        await sent.aclose()  # type: ignore[attr-defined]  # an async generator, typed as an iterator


async def test_there_is_an_end_to_how_many_may_follow() -> None:
    memory = Memory()
    async with tail_of(memory, readers_max=2).running() as tail:
        followers = [tail.follow(Subscription(FeedFilter(), 0), 0.01) for _ in range(2)]
        for follower in followers:
            tail.check_room()
            await anext(follower)
        with pytest.raises(TooManyReaders, match="2 readers"):
            tail.check_room()
        await followers[0].aclose()
        tail.check_room()
        await followers[1].aclose()


async def test_a_server_that_stops_ends_every_feed() -> None:
    memory = Memory()
    async with tail_of(memory).running() as tail:
        reading = asyncio.create_task(collect(tail, Subscription(FeedFilter(), 0), 1))
        await until(lambda: tail.joined > 0)
        tail.close()
        assert await reading == []
        assert await collect(tail, Subscription(FeedFilter(), 0), 1) == []


async def test_a_crowd_that_joins_at_the_end_costs_no_reads_of_its_own() -> None:
    memory = Memory()
    memory.add(count=5)
    async with tail_of(memory, readers_max=500).running() as tail:
        first = asyncio.create_task(collect(tail, Subscription(FeedFilter(), 10), 1))
        await until(lambda: tail.joined == 1)
        reads_before = memory.reads
        head = await tail.head()
        crowd = [asyncio.create_task(collect(tail, Subscription(FeedFilter(), head), 1)) for _ in range(300)]
        await until(lambda: tail.joined == 301)
        assert memory.reads - reads_before <= 1  # the tail's own
        memory.add()
        for task in (first, *crowd):
            assert await task == [12]


async def test_nothing_is_read_while_nobody_follows() -> None:
    memory = Memory()
    async with tail_of(memory).running():
        memory.add(count=5)
        for _ in range(50):
            await asyncio.sleep(0)
        assert memory.reads == 0


async def test_a_reader_goes_on_behind_an_event_that_cannot_be_read() -> None:
    memory = Memory()
    tasks = Tasks()
    async with tail_of(memory).running(tasks) as tail:
        wanted = FeedFilter(stream_id="room-1", kinds=frozenset({Kind.PUSH_STARTED}))
        reading = [
            asyncio.create_task(collect(tail, Subscription(each, 0), 3)) for each in (FeedFilter(), wanted)
        ]
        await until(lambda: tail.joined == 2)
        memory.add(beat=False)
        memory.events.append(
            NotShown(
                position=4, originator_id="room-1", name="push-started.v1", size_bytes=1, cause="damaged"
            )
        )
        memory.add()
        assert [await task for task in reading] == [[2, 4, 6]] * 2
        assert [each.failures for each in tasks.statuses()] == [0]


async def test_what_a_reader_is_given_at_once_and_what_waits_for_it_is_bounded_in_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed, "BATCH_BYTES_MAX", 1000)
    monkeypatch.setattr(feed, "QUEUE_BYTES_MAX", 5000)
    memory = Memory()
    memory.add(count=40)
    async with tail_of(memory).running() as tail:
        sizes = []
        subscription = Subscription(FeedFilter(), 0)
        async with aclosing(tail.follow(subscription, SILENCE_S)) as batches:
            async for messages in batches:
                sizes.append(sum(len(each.json) for each in messages))
                if subscription.position == memory.events[-1].position:
                    break
        assert max(sizes) < 1500
        slow = Subscription(FeedFilter(), memory.events[-1].position)
        stream = event_stream(tail, slow, SILENCE_S)
        await anext(stream)
        first = asyncio.ensure_future(anext(stream))
        await until(lambda: tail.joined > 0)
        memory.add(count=1)
        await first
        memory.add(count=40)
        await until(lambda: slow.dropped)
