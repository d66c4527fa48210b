"""The writer has no thread: the event loop goes on while it waits, and no transaction holds it up."""

import asyncio
import time
from typing import Any

import msgspec
import pytest

from streamledger.domain.errors import StoreUnavailable
from streamledger.domain.events import Delivery
from streamledger.ledger.appender import BATCH_BYTES_MAX
from streamledger.postgres.connection import Database, connect
from streamledger.postgres.patience import APPENDING
from tests.deliveries import LEDGER, any_event
from tests.integration.ledger.writing import WRITER, appending, limits, lock_held, until


async def test_the_event_loop_goes_on_while_the_store_does_not_answer(database: Database) -> None:
    async with appending(
        database,
        limits(batch_size_max=1),
        lambda: connect(database, application_name=WRITER, patience=APPENDING),
    ) as appender:
        await appender.append(any_event())
        turns = 0
        with lock_held(database):
            waiting = asyncio.gather(*(appender.append(any_event()) for _ in range(3)))
            ends = time.monotonic() + 0.3
            while time.monotonic() < ends:
                await asyncio.sleep(0.001)
                turns += 1
            assert not waiting.done()
        await waiting
        assert turns > 20  # some 250: it is not held up until the lock is free


async def test_large_bodies_share_transactions_of_a_bounded_size(database: Database) -> None:
    size = 200_000
    large = [
        msgspec.structs.replace(any_event(), delivery=Delivery(body=b"x" * size, received_at_us=number))
        for number in range(40)
    ]
    async with appending(database) as appender:
        with lock_held(database):
            plug = appender.append(any_event())
            await until(lambda: appender.queue_length == 0)
            waiting = [appender.append(event) for event in large]
        await asyncio.gather(plug, *waiting)
    with connect(database, application_name="test") as connection:
        batches = [
            number
            for (number,) in connection.execute(
                "SELECT count(*) FROM ledger_events WHERE length(state) > 1000 GROUP BY xmin::text"
            )
        ]
    assert sum(batches) == len(large)
    assert max(batches) <= BATCH_BYTES_MAX // size + 1
    assert len(batches) < len(large) // 2


async def test_a_writer_that_stumbles_goes_on(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    receive = LEDGER.receive

    def stumble(*_: Any) -> Any:
        monkeypatch.setattr(LEDGER, "receive", receive)
        raise RuntimeError("a fault of the program")

    async with appending(database) as appender:
        monkeypatch.setattr(LEDGER, "receive", stumble)
        with pytest.raises(StoreUnavailable, match="a fault of the program"):
            await appender.append(any_event())
        assert await appender.append(any_event()) == 1
