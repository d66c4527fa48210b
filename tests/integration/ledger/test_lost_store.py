"""The appender without its store: everybody is answered in time, and each delivery is counted once."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from streamledger.domain.errors import StoreUnavailable
from streamledger.ledger import reader
from streamledger.ledger.appender import Appender, StoreGivenUp
from streamledger.ledger.application import Batch
from streamledger.ledger.attempt import Attempt
from streamledger.ledger.reachability import Doubts
from streamledger.ledger.session import Session
from streamledger.operations.diagnose import diagnose
from streamledger.postgres.connection import Database, connect
from streamledger.postgres.patience import Patience
from tests.deliveries import AMPLE, LEDGER, any_event, quarantined
from tests.drills.proxy import Proxy, proxied
from tests.integration.ledger.writing import WRITER, appending, limits, lock_held, until

HASTY = Patience(connect_s_max=2, answer_s_max=0.5)


def through(proxy: Proxy) -> Callable[[], psycopg.Connection[Any]]:
    return lambda: connect(Database(proxy.dsn), application_name=WRITER, patience=HASTY)


def assert_counted(database: Database, **expected: int) -> None:
    with connect(database, application_name="test") as connection:
        assert [each.detail for each in diagnose(connection, 0) if each.level == "bad"] == []
        counters = dict(connection.execute("SELECT outcome, count FROM intake_counters").fetchall())
        stored = len(list(reader.read_all(connection)))
    refused = counters.get("refused:store_unavailable", 0)
    assert {"received": counters["received"], "stored": stored, "refused": refused} == expected


async def warm(appender: Appender) -> None:
    """The connection is made, and its statements are known to it."""
    for _ in range(2):
        await appender.append(any_event())


async def back(appender: Appender) -> None:
    await until(lambda: appender.gone is None)


@pytest.mark.parametrize("kind", ["event", "quarantined", "count"])
@pytest.mark.parametrize("cut", ["before", "after"])
async def test_what_is_given_up_in_doubt_is_in_the_ledger_or_counted_as_refused_and_never_both(
    database: Database, kind: str, cut: str
) -> None:
    with proxied(database.dsn) as proxy:
        async with appending(database, limits(gone_after_s=0.3), through(proxy)) as appender:
            await warm(appender)
            # The transaction of several statements is cut at its commit, and then nothing answers.
            proxy.set(refuse=True, **{f"cut_{cut}": 1})
            if kind == "count":
                appender.count("refused:path_token")
                await until(lambda: appender.gone is not None)
            else:
                with pytest.raises(StoreUnavailable):
                    await (
                        appender.append(any_event())
                        if kind == "event"
                        else appender.quarantine(quarantined("expired"))
                    )
            proxy.set()
            await back(appender)
    stored = 3 if (kind, cut) == ("event", "after") else 2
    refused = int(kind != "count" and cut == "before")
    with connect(database, application_name="test") as connection:
        row = connection.execute("SELECT count(*) FROM quarantine").fetchone()
    assert row == (int((kind, cut) == ("quarantined", "after")),)
    assert_counted(database, received=3, stored=stored, refused=refused)


async def test_a_connection_that_is_swallowed_is_replaced_and_everything_stored_once(
    database: Database,
) -> None:
    with proxied(database.dsn) as proxy:
        async with appending(database, limits(), through(proxy)) as appender:
            await warm(appender)
            proxy.set(swallow_made=True)
            assert await appender.append(any_event()) > 0
    assert_counted(database, received=3, stored=3, refused=0)


async def test_a_statement_that_the_server_had_received_is_not_carried_out_after_it_was_given_up(
    database: Database,
) -> None:
    """The session's process stands still, as all do on a server that hangs, with the append in its ears."""
    connections: list[psycopg.Connection[Any]] = []

    def connect_writer() -> psycopg.Connection[Any]:
        if len(connections) == 1 and not thawed:
            raise psycopg.OperationalError("connection refused")
        connections.append(connect(database, application_name=WRITER, patience=HASTY))
        return connections[-1]

    thawed: list[bool] = []
    async with appending(database, limits(gone_after_s=0.1), connect_writer) as appender:
        await warm(appender)
        pid = connections[0].info.backend_pid
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnavailable):
                await appender.append(any_event())
            thawed.append(True)
            await back(appender)
        finally:
            os.kill(pid, signal.SIGCONT)
        await until(lambda: not Path(f"/proc/{pid}").exists())
    assert_counted(database, received=3, stored=2, refused=1)


def test_a_role_that_may_end_no_session_goes_on_with_the_next(database: Database) -> None:
    with connect(database, application_name="test") as connection:
        connection.execute("CREATE ROLE may_not_end")
        connection.execute("REVOKE EXECUTE ON FUNCTION pg_terminate_backend(int, bigint) FROM PUBLIC")

    def connect_narrow() -> psycopg.Connection[Any]:
        connection = connect(database, application_name=WRITER)
        connection.execute("SET ROLE may_not_end")
        return connection

    try:
        session = Session(connect_narrow)
        first = session.connection().info.backend_pid
        session.close()
        assert session.connection().info.backend_pid != first
        session.close()
    finally:
        with connect(database, application_name="test") as connection:
            connection.execute("DROP ROLE may_not_end")


def test_while_the_store_is_gone_all_are_told_at_once_and_each_change_is_one_line(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> list[object]:
        with proxied(database.dsn) as proxy:
            async with appending(database, limits(gone_after_s=0.3), through(proxy)) as appender:
                await warm(appender)
                proxy.set(swallow=True)
                answers: list[object] = list(
                    await asyncio.gather(
                        *(appender.append(any_event()) for _ in range(20)), return_exceptions=True
                    )
                )
                for _ in range(30):
                    with pytest.raises(StoreUnavailable):
                        appender.append(any_event())
                proxy.set()
                await back(appender)
                assert await appender.append(any_event()) > 0
                return answers

    with caplog.at_level(logging.INFO, logger="streamledger"):
        answers = asyncio.run(run())
    assert [type(answer) for answer in answers] == [StoreUnavailable] * 20
    assert [record.message.partition(":")[0].partition(" after")[0] for record in caplog.records] == [
        "the store is gone",
        "the store is back",
    ]
    assert_counted(database, received=53, stored=3, refused=50)


async def test_a_delivery_that_waits_too_long_is_told_so_whatever_the_writer_does(database: Database) -> None:
    """The writer hangs in its statement: only the event loop can answer. What it then stores is kept."""
    async with appending(database, limits(store_wait_s_max=0.2)) as appender:
        with lock_held(database):
            first = appender.append(any_event())
            await until(lambda: appender.queue_length == 0)
            queued = appender.append(any_event())
            for waiting in (first, queued):
                with pytest.raises(StoreGivenUp):
                    await waiting
        await until(lambda: appender.queue_length == 0)
    assert_counted(database, received=2, stored=1, refused=1)


async def test_the_program_ends_in_time_although_the_store_does_not_answer(database: Database) -> None:
    with proxied(database.dsn) as proxy:
        appender = Appender(through(proxy), LEDGER, limits(gone_after_s=0.1))
        await warm(appender)
        proxy.set(swallow=True)
        waiting = appender.append(any_event())
        async with asyncio.timeout(10):
            await appender.close()
        with pytest.raises(StoreUnavailable):
            await waiting


@pytest.mark.parametrize("heard", [True, False])
def test_a_doubt_is_settled_by_the_server_that_took_over(
    database: Database, system_database: Database, heard: bool
) -> None:
    """A standby has heard of the transaction, or gives its id to another: the id alone would tell nothing."""
    batch, attempt = Batch(quarantined=[quarantined("expired")]), Attempt()
    lost = Attempt()
    for each, kept in ((database, attempt), (system_database, attempt if heard else lost)):
        with connect(each, application_name="test") as connection:
            LEDGER.receive(connection, batch, AMPLE, kept)
    doubts = Doubts()
    doubts.add(batch, attempt)
    with connect(system_database, application_name="test") as connection:
        assert doubts.settle(connection) == ({} if heard else {"refused:store_unavailable": 1})
