"""The feed while the store is away: whoever reads waits, wherever in the history it has come to."""

import asyncio

import pytest

from streamledger.readmodel.feed.feed import FeedFilter, Subscription
from tests.unit.readmodel.test_feed import Memory, collect, positions_of, tail_of, until

DEADLINE_S = 10


@pytest.mark.parametrize("reads_before", range(6))
async def test_a_store_that_goes_while_a_reader_joins_ends_nobodys_reading(reads_before: int) -> None:
    memory = Memory()
    memory.add(count=1200)
    async with tail_of(memory, poll_s=0.001).running() as tail:
        reading = asyncio.create_task(collect(tail, Subscription(FeedFilter(), 0), 1210))
        await until(lambda: memory.reads >= reads_before)
        memory.away_for = 3
        await until(lambda: not memory.away_for)
        memory.add(count=10)
        assert await reading == positions_of(memory.events)


async def test_a_server_stops_while_a_reader_waits_for_the_store() -> None:
    memory = Memory()
    memory.away_for = 10**9
    async with tail_of(memory, poll_s=0.001).running() as tail:
        reading = asyncio.create_task(collect(tail, Subscription(FeedFilter(), 0), 1))
        await until(lambda: memory.reads > 1)
        tail.close()
        assert await reading == []
