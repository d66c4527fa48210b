"""Deadlines of connections: a server that falls silent, or a way that swallows, is a lost connection."""

import asyncio
import time
from collections.abc import Callable

import psycopg
import pytest

from streamledger.domain.errors import StoreUnavailable
from streamledger.postgres.connection import Database, connect, connect_async, open_pool_async
from streamledger.postgres.patience import APPENDING, CANCEL_S_MAX, UNHURRIED, Patience
from streamledger.readmodel.feed import listening
from tests.drills.proxy import proxied

SHORT = Patience(answer_s_max=0.3)


def test_a_connection_that_is_swallowed_is_given_up_and_closed(database: Database) -> None:
    with proxied(database.dsn) as proxy:
        connection = connect(Database(proxy.dsn), application_name="test", patience=SHORT)
        assert connection.execute("SELECT 1").fetchone() == (1,)
        proxy.set(swallow_made=True)
        with pytest.raises(psycopg.OperationalError, match=r"did not answer within 0\.3 s"):
            connection.execute("SELECT 1")
        assert connection.closed
        with connect(Database(proxy.dsn), application_name="test", patience=SHORT) as another:
            assert another.execute("SELECT 1").fetchone() == (1,)


def test_an_answer_that_comes_byte_by_byte_is_overdue_as_well(database: Database) -> None:
    """The connection is never silent for so long as psycopg waits between two looks."""
    with proxied(database.dsn) as proxy:
        connection = connect(Database(proxy.dsn), application_name="test", patience=SHORT)
        proxy.set(trickle_s=0.02)
        began_s = time.monotonic()
        with pytest.raises(psycopg.OperationalError, match=r"did not answer within 0\.3 s"):
            connection.execute("SELECT repeat('x', 200)")
        assert time.monotonic() - began_s < 2  # all of it would take more than 4 s
        assert connection.closed


def test_a_transaction_on_a_swallowed_connection_ends_with_the_error_of_the_connection(
    database: Database,
) -> None:
    with proxied(database.dsn) as proxy:
        connection = connect(Database(proxy.dsn), application_name="test", patience=SHORT)
        with pytest.raises(psycopg.OperationalError, match="did not answer"):
            _in_transaction(connection, lambda: proxy.set(swallow=True))
        assert connection.closed


def _in_transaction(connection: psycopg.Connection, between: Callable[[], None]) -> None:
    with connection.transaction():
        connection.execute("SELECT 1")
        between()
        connection.execute("SELECT 1")


async def test_an_asynchronous_connection_and_a_pool_give_up_alike_and_the_pool_makes_another(
    database: Database,
) -> None:
    with proxied(database.dsn) as proxy:
        through = Database(proxy.dsn)
        one = await connect_async(through, application_name="test", patience=SHORT)
        async with await open_pool_async(
            through, min_size=1, max_size=1, name="test pool", patience=SHORT
        ) as pool:
            await pool.wait()
            proxy.set(swallow_made=True)
            with pytest.raises(psycopg.OperationalError, match="did not answer"):
                await one.execute("SELECT 1")
            with pytest.raises(StoreUnavailable, match="did not answer"):
                async with pool.connection() as connection:
                    await connection.execute("SELECT 1")
            async with pool.connection() as connection:
                assert await (await connection.execute("SELECT 1")).fetchone() == (1,)


async def test_a_query_that_is_cancelled_on_a_swallowed_connection_does_not_hang(database: Database) -> None:
    with proxied(database.dsn) as proxy:
        connection = await connect_async(
            Database(proxy.dsn), application_name="test", patience=Patience(answer_s_max=60)
        )
        proxy.set(swallow=True)
        asking = asyncio.create_task(connection.execute("SELECT 1"))
        await asyncio.sleep(0.2)
        asking.cancel()
        began_s = time.monotonic()
        await asyncio.wait([asking], timeout=20)
        assert asking.cancelled()
        assert time.monotonic() - began_s < CANCEL_S_MAX + 1  # the end of the program waits for it
        assert connection.closed


async def test_a_pool_answers_again_soon_after_a_long_absence(database: Database) -> None:
    """By itself the pool would try ever more seldom, for five minutes."""
    with proxied(database.dsn) as proxy:
        async with await open_pool_async(
            Database(proxy.dsn), min_size=1, max_size=2, name="test", patience=SHORT
        ) as pool:
            proxy.set(refuse=True)
            proxy.cut_all()
            pool.timeout = 0.2
            for _ in range(14):
                with pytest.raises(StoreUnavailable):
                    async with pool.connection() as connection:
                        await connection.execute("SELECT 1")
                await asyncio.sleep(0.1)
            proxy.set()
            back_s = time.monotonic()
            pool.timeout = 5
            async with pool.connection() as connection:
                await connection.execute("SELECT 1")
            assert time.monotonic() - back_s < 5


def test_both_ends_are_told_when_to_give_up(database: Database) -> None:
    with connect(database, application_name="test", patience=APPENDING) as connection:
        told = {
            name: connection.execute(f"SHOW {name}").fetchone()
            for name in (
                "idle_in_transaction_session_timeout",
                "lock_timeout",
                "statement_timeout",
                "client_connection_check_interval",
            )
        }
        assert told == {
            "idle_in_transaction_session_timeout": ("10s",),
            "lock_timeout": ("4s",),
            "statement_timeout": ("4500ms",),
            "client_connection_check_interval": ("5s",),
        }
    with connect(database, application_name="test", patience=UNHURRIED) as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("0",)
        ours = connection.info.get_parameters()
        assert (ours["tcp_user_timeout"], ours["keepalives_idle"]) == ("10000", "5")


def test_the_dsn_has_the_last_word(database: Database) -> None:
    named = Database(f"{database.dsn} connect_timeout=7 keepalives_idle=60 tcp_user_timeout=0")
    with connect(named, application_name="test", patience=APPENDING) as connection:
        parameters = connection.info.get_parameters()
    assert parameters["connect_timeout"] == "7"
    assert parameters["keepalives_idle"] == "60"
    assert "tcp_user_timeout" not in parameters or parameters["tcp_user_timeout"] == "0"


async def test_a_listener_whose_connection_is_swallowed_listens_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "LOOK_S", 0.2)
    monkeypatch.setattr(listening, "RECONNECT_S", 0.1)
    with proxied(database.dsn) as proxy:
        listener = listening.Listener(
            lambda: connect_async(Database(proxy.dsn), application_name="test", patience=SHORT),
            database.schema,
        )
        first = listener.ledger.arm()
        async with listener.listening():
            assert await listening.wait_at_most(first, 10)
            proxy.set(swallow_made=True)
            again = listener.ledger.arm()
            assert await listening.wait_at_most(again, 10)
