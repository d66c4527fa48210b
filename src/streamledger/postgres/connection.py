"""How the program names its database and connects to it: DSN and schema, connections, pools, the library."""

import re
import select
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec
import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool

from streamledger.domain.errors import SettingInvalid, StoreUnavailable
from streamledger.postgres.errors import PostgresTooOld, on_one_line
from streamledger.postgres.patience import (
    ANSWERING,
    CONNECT_S_MAX,
    KEEPALIVE,
    UNACKNOWLEDGED_MS_MAX,
    UNHURRIED,
    HastyAsyncConnection,
    HastyConnection,
    Patience,
)

if TYPE_CHECKING:  # importing it silences psycopg's loggers
    from eventsourcing.postgres import PostgresDatastore

POSTGRES_MAJOR_MIN: Final = 15
STORE_FAULTS: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,  # a primary that has become a standby, or a server set to it
    psycopg.errors.IdleInTransactionSessionTimeout,  # of a server that had hung, about a client that waited
)
"""What is raised for the state that the store is in, whatever is asked of it: later it may be done.

A lost connection, a deadlock, a full disk, a server that only reads now.
"""
POOL_WAIT_S_MAX: Final = 5.0
"""How long a query waits for a connection of its pool."""
POOL_RECONNECT_S_MAX: Final = 3.0
"""How long a pool tries to replace a connection by itself, ever more seldom; then the next query does."""

_SCHEMA_NAME: Final = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,47}")
_SECRETS: Final = ("password", "sslpassword", "oauth_client_secret")


def following(dsn: str) -> str:
    """The DSN, which of several hosts takes the one that can be written to unless it says otherwise.

    After a failover the old primary may still answer, as a standby.
    """
    with suppress(psycopg.Error):  # `Database` says what is wrong with it
        facts = conninfo_to_dict(dsn)
        hosts = str(facts.get("host") or facts.get("hostaddr") or "")
        if "," in hosts and "target_session_attrs" not in facts:
            return make_conninfo(dsn, target_session_attrs="read-write")
    return dsn


class Database(msgspec.Struct, frozen=True):
    """One ledger's place: a libpq connection string or URL, and the schema that holds the ledger.

    Raises SettingInvalid, with nothing of the DSN in its text, when either cannot be used.
    """

    dsn: str
    schema: str = "streamledger"

    def __post_init__(self) -> None:
        try:
            facts = conninfo_to_dict(self.dsn)
        except psycopg.Error:
            # Not chained: libpq quotes the part it could not read, which may be the password.
            raise SettingInvalid(
                name="STREAMLEDGER_DATABASE_URL",
                expected="a PostgreSQL URL or connection string",
                got="one that cannot be parsed",
            ) from None
        if any("@" in host[1:] and host[0] != "/" for host in str(facts.get("host") or "").split(",")):
            # libpq ends a password at its first @; the rest would be shown as a host that is not found.
            raise SettingInvalid(
                name="STREAMLEDGER_DATABASE_URL",
                expected="@ in a user or password written as %40",
                got="a host with @ in it",
            )
        if not _SCHEMA_NAME.fullmatch(self.schema):
            raise SettingInvalid(
                name="STREAMLEDGER_DATABASE_SCHEMA",
                expected="a letter or _, then up to 47 of a-z, 0-9 and _, not beginning with pg_",
                got=repr(self.schema),
            )

    def __repr__(self) -> str:
        return f"Database({self.shown_dsn()!r}, schema={self.schema!r})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("dsn", self.shown_dsn()), ("schema", self.schema)]

    def shown_dsn(self) -> str:
        """The DSN with its secrets starred, fit for logs."""
        facts = conninfo_to_dict(self.dsn)
        return make_conninfo(self.dsn, **{name: "***" for name in _SECRETS if name in facts})


def connect(
    database: Database, *, application_name: str, patience: Patience = UNHURRIED
) -> psycopg.Connection:
    """An autocommit connection whose search_path is the schema alone, in UTC and UTF8.

    Raises StoreUnavailable, or PostgresTooOld below `POSTGRES_MAJOR_MIN`.
    """
    parameters = _parameters(database, application_name, patience)
    try:
        connection = HastyConnection.connect(database.dsn, autocommit=True, **parameters)
        connection.answer_s_max = patience.answer_s_max
    except psycopg.OperationalError as error:
        raise _unavailable(database, error) from None
    try:
        _check_version(connection)
    except BaseException:
        connection.close()
        raise
    return connection


async def connect_async(
    database: Database, *, application_name: str, patience: Patience = UNHURRIED
) -> psycopg.AsyncConnection:
    """Like `connect`, for asyncio."""
    parameters = _parameters(database, application_name, patience)
    try:
        connection = await HastyAsyncConnection.connect(database.dsn, autocommit=True, **parameters)
        connection.answer_s_max = patience.answer_s_max
    except psycopg.OperationalError as error:
        raise _unavailable(database, error) from None
    try:
        _check_version(connection)
    except BaseException:
        await connection.close()
        raise
    return connection


class StorePool(AsyncConnectionPool[psycopg.AsyncConnection]):
    """A pool whose users see StoreUnavailable, not psycopg's errors, when the database cannot be reached.

    Lost connections are not given out. The pool's own `check` pauses after each that it finds, for 1 s,
    then 2, then 4: after a failover a query would wait in vain beside a database that is there.
    """

    async def getconn(
        self,
        timeout: float | None = None,  # noqa: ASYNC109  # the signature of the pool
    ) -> psycopg.AsyncConnection:
        """A connection that is not lost; those that are go back to the pool, which replaces them."""
        deadline_s = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            connection = await super().getconn(deadline_s - time.monotonic())
            try:
                await _check_unless_quiet(connection)
            except psycopg.Error:
                await self.putconn(connection)
            except BaseException:
                await self.putconn(connection)
                raise
            else:
                return connection

    @asynccontextmanager
    async def connection(
        self,
        timeout: float | None = None,  # noqa: ASYNC109  # the signature of the pool
    ) -> AsyncIterator[psycopg.AsyncConnection]:
        """A connection while this lasts. Raises StoreUnavailable."""
        try:
            async with super().connection(timeout) as connection:
                yield connection
        except STORE_FAULTS as error:
            raise StoreUnavailable(cause=on_one_line(error)) from error


async def open_pool_async(
    database: Database, *, min_size: int = 1, max_size: int, name: str, patience: Patience = ANSWERING
) -> StorePool:
    """An open pool of autocommit connections as `connect_async` makes them.

    `name` is also the connections' application_name. Raises as `connect` does; the caller closes the pool.
    """
    # One connection first: it fails with the cause, where the pool would only say that it waited.
    await (await connect_async(database, application_name=name, patience=patience)).close()

    async def make_hasty(connection: psycopg.AsyncConnection) -> None:
        assert isinstance(connection, HastyAsyncConnection)  # noqa: S101 -- the pool was told so
        connection.answer_s_max = patience.answer_s_max

    pool = StorePool(
        database.dsn,
        connection_class=HastyAsyncConnection,
        kwargs={"autocommit": True, **_parameters(database, name, patience)},
        min_size=min_size,
        max_size=max_size,
        name=name,
        open=False,
        configure=make_hasty,
        timeout=POOL_WAIT_S_MAX,
        reconnect_timeout=POOL_RECONNECT_S_MAX,
    )
    await pool.open()
    return pool


async def _check_unless_quiet(connection: psycopg.AsyncConnection) -> None:
    """Raises psycopg.Error for a lost connection.

    The server says nothing while it is not asked; when it ends a connection, that can be read. So only one
    that has something to say costs a question: a page takes a connection a dozen times.
    """
    quiet = select.poll()
    quiet.register(connection.fileno(), select.POLLIN)
    if quiet.poll(0):
        await AsyncConnectionPool.check_connection(connection)


def eventsourcing_env(database: Database) -> dict[str, str]:
    """The environment from which the `eventsourcing` library finds the same database, with small pools.

    The library knows five facts of a connection only; `carry_connection` gives it the rest (TLS and others).
    """
    facts = _all_facts(database)
    user = facts.get("user", "")
    return {
        "POSTGRES_DBNAME": facts.get("dbname") or user,
        "POSTGRES_HOST": facts.get("host", ""),
        "POSTGRES_PORT": facts.get("port") or "5432",
        "POSTGRES_USER": user,
        "POSTGRES_PASSWORD": facts.get("password", ""),
        "POSTGRES_SCHEMA": database.schema,
        "POSTGRES_CONNECT_TIMEOUT": str(CONNECT_S_MAX),
        "POSTGRES_POOL_SIZE": "1",
        "POSTGRES_MAX_OVERFLOW": "3",
        "POSTGRES_PRE_PING": "yes",
        "ORIGINATOR_ID_TYPE": "text",
        "CREATE_TABLE": "no",
    }


def carry_connection(datastore: "PostgresDatastore", database: Database, *, application_name: str) -> None:
    """Makes the library's pool, not opened yet, connect with every parameter of the DSN.

    Without this a DSN that demands sslmode=verify-full would be followed by connections that do not.
    """
    datastore.pool.conninfo = database.dsn
    row_factory = datastore.pool.kwargs["row_factory"]  # type: ignore[index] # the library passes a dict
    datastore.pool.kwargs = {
        "row_factory": row_factory,
        **_parameters(database, application_name, UNHURRIED),
    }


def _parameters(database: Database, application_name: str, patience: Patience) -> dict[str, Any]:
    facts = conninfo_to_dict(database.dsn)
    ours = {"connect_timeout": patience.connect_s_max, "tcp_user_timeout": UNACKNOWLEDGED_MS_MAX, **KEEPALIVE}
    # Compiling a plan takes PostgreSQL a hundred milliseconds and more; every query here is done sooner.
    # Before the options of the DSN, so that they may say otherwise.
    options = (
        f"-c jit=off {patience.server_options()} {facts.get('options') or ''}"
        f" -c search_path={database.schema} -c timezone=UTC"
    )
    return {
        **{name: value for name, value in ours.items() if not facts.get(name)},
        "application_name": application_name,
        "client_encoding": "UTF8",
        "options": options,
    }


def _all_facts(database: Database) -> dict[str, str]:
    """The DSN's parameters completed by libpq's defaults (PGHOST and its like, the user's name)."""
    facts = {option.keyword.decode(): option.val for option in pq.Conninfo.get_defaults()}
    named = {name: str(value) for name, value in conninfo_to_dict(database.dsn).items() if value is not None}
    return {name: value.decode() for name, value in facts.items() if value is not None} | named


def _check_version(connection: "psycopg.Connection | psycopg.AsyncConnection") -> None:
    found = connection.info.server_version
    if found < POSTGRES_MAJOR_MIN * 10000:
        raise PostgresTooOld(found=f"{found // 10000}.{found % 10000}", needed=POSTGRES_MAJOR_MIN)


def _unavailable(database: Database, error: psycopg.OperationalError) -> StoreUnavailable:
    cause = on_one_line(error)
    for name, value in _all_facts(database).items():
        if name in _SECRETS and value:
            cause = cause.replace(value, "***")
    return StoreUnavailable(cause=cause)
