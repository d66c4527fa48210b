"""The appender: group commit, bad deliveries alone, lost acknowledgements, limits, cut connections."""

import asyncio
import random
import threading
from collections.abc import Sequence
from typing import Any, cast

import msgspec
import psycopg
import pytest

from streamledger.domain.errors import StoreUnavailable
from streamledger.domain.events import NewEvent
from streamledger.ledger import reader
from streamledger.ledger.appender import DeliveryUnstorable, QueueFull
from streamledger.operations.diagnose import diagnose
from streamledger.postgres.connection import Database, connect
from tests.deliveries import any_event, quarantined
from tests.integration.ledger.writing import WRITER, Failing, appending, limits, lock_held, until

NUL = "poi\0son"
LONE_SURROGATE = "poi\ud800son"
TOO_LONG_FOR_THE_INDEX = "".join(chr(0x4E00 + place * 7 % 20000) for place in range(3000))


def stored_ids(database: Database) -> list[str]:
    with connect(database, application_name="test") as connection:
        return [event.delivery_id for event in reader.read_all(connection)]


def ids_of(events: Sequence[NewEvent]) -> list[str]:
    return [str(event.delivery_id) for event in events]


def assert_sound(database: Database, received: int) -> None:
    """What doctor checks, and how many deliveries were counted."""
    with connect(database, application_name="test") as connection:
        assert [each.detail for each in diagnose(connection, 0) if each.level == "bad"] == []
        counted = connection.execute(
            "SELECT count FROM intake_counters WHERE outcome = 'received'"
        ).fetchone()
    assert counted == (received,)


async def test_deliveries_that_wait_at_the_same_moment_share_a_transaction(database: Database) -> None:
    events = [any_event(f"room-{number % 3}") for number in range(40)]
    async with appending(database) as appender:
        with lock_held(database):
            plug = appender.append(any_event())
            await until(lambda: appender.queue_length == 0)
            waiting = [appender.append(event) for event in events]
        await plug
        positions = await asyncio.gather(*waiting)
    assert positions == sorted(set(positions))
    assert stored_ids(database)[1:] == ids_of(events)
    with connect(database, application_name="test") as connection:
        transactions = connection.execute("SELECT count(DISTINCT xmin::text) FROM ledger_events").fetchone()
    assert transactions == (2,)
    assert_sound(database, 41)


@pytest.mark.parametrize("poison", [NUL, LONE_SURROGATE, TOO_LONG_FOR_THE_INDEX])
async def test_a_delivery_that_cannot_be_stored_fails_alone(any_database: Database, poison: str) -> None:
    good = [any_event(f"room-{number % 3}") for number in range(20)]
    bad = [msgspec.structs.replace(any_event(), originator_id=poison) for _ in range(2)]
    batch = [*good[:7], bad[0], *good[7:19], bad[1], good[19]]
    async with appending(any_database) as appender:
        with lock_held(any_database):
            plug = appender.append(any_event())
            await until(lambda: appender.queue_length == 0)
            waiting = [appender.append(event) for event in batch]
            refused = appender.quarantine(quarantined("unsigned"))
        await plug
        assert await refused
        results = await asyncio.gather(*waiting, return_exceptions=True)
    failed = [event for event, result in zip(batch, results, strict=True) if not isinstance(result, int)]
    assert failed == bad
    assert all(isinstance(result, int | DeliveryUnstorable) for result in results)
    assert stored_ids(any_database)[1:] == ids_of(good)
    assert_sound(any_database, 22)


async def test_a_refused_delivery_that_cannot_be_stored_does_not_stop_its_neighbours(
    database: Database,
) -> None:
    async with appending(database) as appender:
        with lock_held(database):
            plug = appender.append(any_event())
            await until(lambda: appender.queue_length == 0)
            waiting: list[asyncio.Future[Any]] = [
                appender.append(any_event()),
                appender.quarantine(quarantined("unsigned")),
                appender.quarantine(quarantined("malformed", stream_id=NUL)),
                appender.quarantine(quarantined("expired")),
            ]
        await plug
        position, unsigned, poison, expired = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(position, int)
    assert (unsigned, expired) == (True, True)
    assert isinstance(poison, DeliveryUnstorable)
    assert_sound(database, 4)


@pytest.mark.parametrize(
    "plan",
    [
        ["after the commit"],
        ["before the commit"],
        ["before the commit", "after the commit"],
        ["after the commit", "before the commit", "after the commit"],
    ],
)
async def test_a_lost_acknowledgement_stores_each_delivery_exactly_once(
    any_database: Database, plan: list[str]
) -> None:
    events = [any_event(f"room-{number % 2}") for number in range(5)]
    left = list(plan)

    def failing() -> psycopg.Connection[Any]:
        return cast("psycopg.Connection[Any]", Failing(connect(any_database, application_name=WRITER), left))

    async with appending(any_database, connect_writer=failing) as appender:
        appender.count("refused:path_token")
        with lock_held(any_database):
            waiting = [appender.append(event) for event in events]
            refused = appender.quarantine(quarantined("unsigned"))
        positions, kept = await asyncio.gather(*waiting), await refused
    assert left == []
    assert stored_ids(any_database) == ids_of(events)
    assert positions == sorted(set(positions))
    assert kept
    assert_sound(any_database, 7)


@pytest.mark.parametrize("plan", [["after the commit"], ["before the commit", "after the commit"]])
async def test_a_lost_acknowledgement_on_the_hot_path_stores_each_delivery_exactly_once(
    database: Database, plan: list[str]
) -> None:
    """Events alone take one statement and no transaction block."""
    events = [any_event(f"room-{number % 2}") for number in range(5)]
    left = list(plan)

    def failing() -> psycopg.Connection[Any]:
        return cast("psycopg.Connection[Any]", Failing(connect(database, application_name=WRITER), left))

    async with appending(database, connect_writer=failing) as appender:
        with lock_held(database):
            waiting = [appender.append(event) for event in events]
        positions = await asyncio.gather(*waiting)
    assert left == []
    assert stored_ids(database) == ids_of(events)
    assert positions == sorted(set(positions))
    assert_sound(database, 5)


async def test_refusals_whose_acknowledgement_is_lost_are_counted_once(database: Database) -> None:
    """A bare count has no id by which a second try could know the first; its transaction has."""
    left = ["after the commit"]

    def failing() -> psycopg.Connection[Any]:
        return cast("psycopg.Connection[Any]", Failing(connect(database, application_name=WRITER), left))

    async with appending(database, connect_writer=failing) as appender:
        appender.count("refused:path_token")
    assert left == []
    assert_sound(database, 1)


async def test_a_fault_of_the_store_is_waited_out_and_blames_no_delivery(database: Database) -> None:
    """A table that cannot be written to now must not make malformed deliveries of genuine ones."""
    event = any_event()
    async with appending(database) as appender:
        with psycopg.connect(database.dsn, autocommit=True) as connection:
            connection.execute("ALTER TABLE streamledger.ledger_events RENAME TO ledger_elsewhere")
            waiting = appender.append(event)
            await until(lambda: appender.queue_length == 0)
            await asyncio.sleep(0)
            connection.execute("ALTER TABLE streamledger.ledger_elsewhere RENAME TO ledger_events")
        assert await waiting > 0
    assert stored_ids(database) == [str(event.delivery_id)]


async def test_a_fault_of_the_store_that_lasts_is_its_own_and_not_the_deliverys(database: Database) -> None:
    async with appending(database, limits(gone_after_s=0)) as appender:
        with psycopg.connect(database.dsn, autocommit=True) as connection:
            connection.execute("ALTER TABLE streamledger.ledger_events RENAME TO ledger_elsewhere")
        with pytest.raises(StoreUnavailable, match="ledger_events"):
            await appender.append(any_event())


async def test_two_appenders_number_the_versions_of_one_stream_without_a_conflict(
    any_database: Database,
) -> None:
    events = [any_event("room") for _ in range(120)]
    few = limits(batch_size_max=7)
    async with appending(any_database, few) as one, appending(any_database, few) as other:
        positions = await asyncio.gather(
            *(
                appender.append(event)
                for pair in zip(events[::2], events[1::2], strict=True)
                for appender, event in zip((one, other), pair, strict=True)
            )
        )
    assert len(set(positions)) == len(events)
    with connect(any_database, application_name="test") as connection:
        found = reader.read_after(connection, 0, 1000)
    assert [event.originator_version for event in found] == list(range(1, 121))
    assert {event.position: event.delivery_id for event in found} == dict(
        zip(positions, ids_of(events), strict=True)
    )


async def test_two_appenders_that_are_given_the_same_deliveries_store_each_once(database: Database) -> None:
    events = [any_event("room") for _ in range(10)]
    async with appending(database) as one, appending(database) as other:
        with lock_held(database):
            waiting = [[appender.append(event) for event in events] for appender in (one, other)]
        both = [await asyncio.gather(*some, return_exceptions=True) for some in waiting]
    assert stored_ids(database) == ids_of(events)
    for results in zip(*both, strict=True):
        assert sum(isinstance(result, int) for result in results) == 1


async def test_a_full_queue_refuses_at_once_and_counts_it(database: Database) -> None:
    async with appending(database, limits(queue_length_max=3)) as appender:
        with lock_held(database):
            plug = appender.append(any_event())
            await until(lambda: appender.queue_length == 0)
            waiting = [appender.append(any_event()) for _ in range(3)]
            with pytest.raises(QueueFull):
                appender.append(any_event())
            # A flood of refused deliveries has a queue of its own: it keeps no genuine one out.
            refused = [appender.quarantine(quarantined("unsigned")) for _ in range(3)]
            with pytest.raises(QueueFull):
                appender.quarantine(quarantined("unsigned"))
        await asyncio.gather(*refused)
        assert len(await asyncio.gather(plug, *waiting)) == 4
    assert_sound(database, 9)


async def test_closing_stores_what_waits_and_refuses_what_comes_later(database: Database) -> None:
    events = [any_event() for _ in range(50)]
    async with appending(database, limits(batch_size_max=8)) as appender:
        with lock_held(database):
            waiting = [appender.append(event) for event in events]
            closing = asyncio.create_task(appender.close())
            await asyncio.sleep(0)
            with pytest.raises(QueueFull):
                appender.append(any_event())
            assert not closing.done()
        await closing
        assert len({future.result() for future in waiting}) == 50
    assert stored_ids(database) == ids_of(events)


async def test_a_store_that_cannot_be_reached_fails_the_waiting_deliveries_and_later_ones_succeed(
    database: Database,
) -> None:
    reachable = threading.Event()

    def connect_when_reachable() -> psycopg.Connection[Any]:
        if not reachable.is_set():
            raise StoreUnavailable(cause="connection refused")
        return connect(database, application_name=WRITER)

    given = limits(gone_after_s=0)
    async with appending(database, given, connect_when_reachable) as appender:
        with pytest.raises(StoreUnavailable, match="connection refused"):
            await appender.append(any_event())
        with pytest.raises(StoreUnavailable, match="connection refused"):
            appender.append(any_event())  # known to be gone: nothing is waited for
        reachable.set()
        await until(lambda: appender.gone is None)
        assert await appender.append(any_event()) > 0
    assert_sound(database, 3)


async def test_a_client_that_hangs_up_loses_its_answer_and_not_its_delivery(database: Database) -> None:
    event = any_event()
    async with appending(database) as appender:
        with lock_held(database):
            appender.append(event).cancel()
            later = appender.append(any_event())
        await later
    assert stored_ids(database)[0] == str(event.delivery_id)


def test_nothing_is_lost_and_nothing_stored_twice_while_connections_are_terminated(
    any_database: Database,
) -> None:
    events = [any_event(f"room-{number % 5}") for number in range(600)]
    done = threading.Event()
    moments = random.Random(1)
    terminated = 0

    def terminate() -> None:
        nonlocal terminated
        with psycopg.connect(any_database.dsn, autocommit=True) as connection:
            # At no rhythm: on a busy machine each try would be cut by one that is shorter than a try.
            while not done.wait(moments.expovariate(20)):
                found = connection.execute(
                    "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity"
                    " WHERE application_name = %s AND datname = current_database()",
                    (WRITER,),
                ).fetchone()
                terminated += found[0] if found else 0

    async def send(appender: Any, some: list[NewEvent]) -> list[int]:
        return [await appender.append(event) for event in some]

    async def run() -> list[list[int]]:
        async with appending(any_database, limits(batch_size_max=4)) as appender:
            return await asyncio.gather(*(send(appender, events[number::10]) for number in range(10)))

    terminator = threading.Thread(target=terminate)
    terminator.start()
    try:
        positions = asyncio.run(run())
    finally:
        done.set()
        terminator.join()
    assert terminated > 0
    with connect(any_database, application_name="test") as connection:
        stored = {event.position: event.delivery_id for event in reader.read_all(connection)}
    assert len(stored) == len(events)
    for number, some in enumerate(positions):
        assert [stored[position] for position in some] == ids_of(events[number::10])
    assert_sound(any_database, len(events))
