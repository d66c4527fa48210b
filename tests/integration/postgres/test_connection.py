"""Connections: what they see, what their errors say, and the library's way to the same database."""

import asyncio
import time
from unittest import mock

import psycopg
import pytest
from eventsourcing.application import Application
from eventsourcing.postgres import PostgresDatastore, PostgresFactory
from eventsourcing.utils import Environment
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool
from rich.pretty import pretty_repr

from streamledger.domain.errors import SettingInvalid, StoreUnavailable
from streamledger.postgres import connection as connection_module
from streamledger.postgres.connection import (
    STORE_FAULTS,
    Database,
    StorePool,
    carry_connection,
    connect,
    connect_async,
    eventsourcing_env,
    following,
    open_pool_async,
)
from streamledger.postgres.errors import PostgresTooOld

SECRET = "s3cr3t-word"
ASKED = (
    "SELECT current_setting('search_path'), current_setting('timezone'), current_setting('client_encoding')"
)
EXPECTED = ("streamledger", "UTC", "UTF8")


def test_a_connection_sees_its_schema_alone_in_utc_and_utf8(any_database: Database) -> None:
    with connect(any_database, application_name="streamledger test") as connection:
        assert connection.execute(ASKED).fetchone() == EXPECTED
        assert connection.execute("SHOW application_name").fetchone() == ("streamledger test",)
        assert connection.autocommit


async def test_an_asynchronous_connection_and_a_pool_are_set_up_alike(database: Database) -> None:
    answers: list[object] = []
    async with await connect_async(database, application_name="one") as connection:
        answers.append(await (await connection.execute(ASKED)).fetchone())
    pool = await open_pool_async(database, min_size=1, max_size=2, name="several")
    async with pool, pool.connection() as connection:
        answers.append(await (await connection.execute(ASKED)).fetchone())
        answers.append(connection.autocommit)
    assert answers == [EXPECTED, EXPECTED, True]


@pytest.mark.parametrize(
    "state",
    [
        "SET default_transaction_read_only = on",
        "SET idle_in_transaction_session_timeout = 1",  # as of a server that had hung
        "SELECT pg_terminate_backend(pg_backend_pid())",
        "SET statement_timeout = 1",
    ],
)
def test_what_the_state_of_the_store_raises_is_told_from_a_fault_of_what_was_asked(
    database: Database, state: str
) -> None:
    def ask() -> None:
        with connect(database, application_name="test") as connection:
            connection.execute(state.encode())
            with connection.transaction():
                connection.execute("SELECT 1")
                time.sleep(0.1)
                connection.execute("UPDATE ledger_head SET position = position; SELECT pg_sleep(1)")

    with pytest.raises(STORE_FAULTS):
        ask()
    with connect(database, application_name="test") as connection, pytest.raises(psycopg.Error) as raised:
        connection.execute("SELECT 1 / 0")
    assert not isinstance(raised.value, STORE_FAULTS)


def test_options_of_the_dsn_are_kept(database: Database) -> None:
    named = Database(make_conninfo(database.dsn, options="-c work_mem=3MB"))
    with connect(named, application_name="test") as connection:
        assert connection.execute("SHOW work_mem").fetchone() == ("3MB",)
        assert connection.execute(ASKED).fetchone() == EXPECTED


def test_plans_are_not_compiled_unless_the_dsn_says_so(database: Database) -> None:
    asking = Database(make_conninfo(database.dsn, options="-c jit=on"))
    for named, expected in ((database, "off"), (asking, "on")):
        with connect(named, application_name="test") as connection:
            assert connection.execute("SHOW jit").fetchone() == (expected,)


def test_no_form_of_a_database_shows_its_password() -> None:
    for dsn in (f"postgresql://me:{SECRET}@db/ledger", f"host=db user=me password={SECRET}"):
        shown = Database(dsn)
        for text in (repr(shown), str(shown), pretty_repr(shown), shown.shown_dsn()):
            assert SECRET not in text
            assert "***" in text


def test_a_dsn_that_cannot_be_parsed_is_refused_without_being_quoted() -> None:
    with pytest.raises(SettingInvalid) as refused:
        Database(f"postgresql://me:{SECRET}%zz@db/ledger")
    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_password_with_an_at_is_refused_before_its_rest_is_shown_as_a_host() -> None:
    for dsn in (f"postgresql://me:a@{SECRET}@db/ledger", f"postgresql://me:a@{SECRET}@db1,db2/ledger"):
        with pytest.raises(SettingInvalid, match="written as %40") as refused:
            Database(dsn)
        assert SECRET not in str(refused.value)
    for dsn in ("postgresql://me:a%40b@db/ledger", "host=@abstract", "host=/run/a@b", "postgresql:///ledger"):
        Database(dsn)


@pytest.mark.parametrize("name", ["", "Ledger", "1st", "a-b", 'x"; drop', "pg_own", "a" * 49, "é", "a\n"])
def test_a_schema_name_that_would_need_quoting_is_refused(name: str) -> None:
    with pytest.raises(SettingInvalid, match="setting STREAMLEDGER_DATABASE_SCHEMA"):
        Database("", schema=name)


@pytest.mark.parametrize("name", ["streamledger", "_", "t1", "a" * 48])
def test_a_plain_schema_name_is_accepted(name: str) -> None:
    assert Database("", schema=name).schema == name


def test_a_database_that_cannot_be_reached_is_reported_without_the_password() -> None:
    unreachable = Database(f"host=/nowhere/{SECRET} user=me password={SECRET} dbname=ledger")
    with pytest.raises(StoreUnavailable, match="cannot be reached") as sync:
        connect(unreachable, application_name="test")
    with pytest.raises(StoreUnavailable) as pooled:
        asyncio.run(open_pool_async(unreachable, min_size=1, max_size=1, name="test"))
    for failed in (sync, pooled):
        assert SECRET not in str(failed.value)
        assert "***" in str(failed.value)


def test_a_database_that_is_too_old_is_refused(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "POSTGRES_MAJOR_MIN", 99)
    with pytest.raises(PostgresTooOld, match=r"is PostgreSQL 18\.\d+; streamledger needs 99 or newer"):
        connect(database, application_name="test")


def test_the_library_finds_the_same_database(database: Database) -> None:
    env = {
        **eventsourcing_env(database),
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "CREATE_TABLE": "yes",
    }
    application: Application[str] = Application(env)
    try:
        assert application.recorder.max_notification_id() is None
    finally:
        application.close()
    with connect(database, application_name="test") as connection:
        found = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'streamledger'"
        ).fetchall()
    assert ("application_events",) in found


def test_the_environment_of_the_library_names_every_fact() -> None:
    env = eventsourcing_env(Database(f"postgresql://me:{SECRET}@db:6432/ledger", schema="tenant"))
    assert env == env | {
        "POSTGRES_DBNAME": "ledger",
        "POSTGRES_HOST": "db",
        "POSTGRES_PORT": "6432",
        "POSTGRES_USER": "me",
        "POSTGRES_PASSWORD": SECRET,
        "POSTGRES_SCHEMA": "tenant",
        "ORIGINATOR_ID_TYPE": "text",
    }
    without_password = eventsourcing_env(Database("host=db user=me"))
    assert without_password["POSTGRES_DBNAME"] == "me"
    assert "POSTGRES_PASSWORD" in without_password


def test_the_library_connects_with_every_parameter_of_the_dsn(database: Database) -> None:
    demanding = Database(make_conninfo(database.dsn, options="-c work_mem=3MB", sslmode="disable"))
    factory = PostgresFactory(Environment(env=eventsourcing_env(demanding)))
    try:
        datastore: PostgresDatastore = factory.datastore
        carry_connection(datastore, demanding, application_name="streamledger library")
        with datastore.get_connection() as connection:
            shown = connection.execute("SHOW work_mem").fetchone()
            assert shown is not None
            assert shown["work_mem"] == "3MB"
            assert connection.info.get_parameters()["sslmode"] == "disable"
    finally:
        factory.close()


async def test_a_connection_that_the_server_ended_is_never_given_out_and_a_quiet_one_is_not_asked(
    database: Database,
) -> None:
    async def taken(pool: StorePool) -> int:
        async with pool.connection() as connection:
            row = await (await connection.execute("SELECT 1")).fetchone()
            assert row == (1,)
            return connection.info.backend_pid

    async with await open_pool_async(database, min_size=1, max_size=1, name="test") as pool:
        asking = AsyncConnectionPool.check_connection
        with mock.patch.object(AsyncConnectionPool, "check_connection", side_effect=asking) as checked:
            first, second = await taken(pool), await taken(pool)
            asked_while_quiet = checked.call_count
            with connect(database, application_name="operator") as operator:
                operator.execute("SELECT pg_terminate_backend(%s, 10000)", (first,))
            third = await taken(pool)
    assert first == second != third
    assert asked_while_quiet == 0


async def test_however_many_connections_a_failover_ended_the_next_query_does_not_wait_for_each(
    database: Database,
) -> None:
    """By the pool's own check it would pause for 1, 2 and 4 s beside a database that is there."""
    async with await open_pool_async(database, min_size=5, max_size=5, name="to be ended") as pool:
        await pool.wait()
        with connect(database, application_name="operator") as operator:
            ended = operator.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                " WHERE application_name = 'to be ended'"
            ).fetchall()
        assert ended == [(True,)] * 5
        async with pool.connection(timeout=3) as connection:
            await connection.execute("SELECT 1")


def test_of_several_hosts_the_one_that_can_be_written_to_is_taken_unless_the_dsn_says_otherwise() -> None:
    for several in ("postgresql://role@one,two/ledger", "host=one,two port=5432,5433"):
        assert conninfo_to_dict(following(several))["target_session_attrs"] == "read-write"
    for as_it_is in ("postgresql://role@one/ledger", "host=one,two target_session_attrs=any", "no dsn =", ""):
        assert following(as_it_is) == as_it_is
