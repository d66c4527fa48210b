"""An appender for tests: its limits, its loop, a lock that makes it wait, and connections that fail."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg

from streamledger.ledger.append import HEAD_LOCK_SQL
from streamledger.ledger.appender import Appender, AppenderLimits
from streamledger.ledger.quarantining import QuarantineCaps
from streamledger.postgres.connection import Database, connect
from tests.deliveries import AMPLE, LEDGER

WRITER = "test appender"


def limits(
    *,
    batch_size_max: int = 500,
    queue_length_max: int = 10_000,
    store_wait_s_max: float = 20,
    gone_after_s: float = 20,
    caps: QuarantineCaps = AMPLE,
) -> AppenderLimits:
    return AppenderLimits(
        batch_size_max=batch_size_max,
        queue_length_max=queue_length_max,
        store_wait_s_max=store_wait_s_max,
        gone_after_s=gone_after_s,
        caps=caps,
    )


@asynccontextmanager
async def appending(
    database: Database,
    given: AppenderLimits | None = None,
    connect_writer: Callable[[], psycopg.Connection[Any]] | None = None,
) -> AsyncIterator[Appender]:
    """An appender on the running loop, closed at the end."""
    appender = Appender(
        connect_writer or (lambda: connect(database, application_name=WRITER)),
        LEDGER,
        given or limits(),
    )
    try:
        yield appender
    finally:
        await appender.close()


@contextmanager
def lock_held(database: Database) -> Iterator[None]:
    """Keeps every writer waiting, so that what is handed in meanwhile shares a batch."""
    with (
        connect(database, application_name="test") as connection,
        connection.transaction(force_rollback=True),
    ):
        connection.execute(HEAD_LOCK_SQL)
        yield


async def until(condition: Callable[[], bool], wait_s: float = 20) -> None:
    """Waits for a condition; fails when it does not come true."""
    async with asyncio.timeout(wait_s):
        while not condition():  # noqa: ASYNC110  # nobody tells of it
            await asyncio.sleep(0.005)


class Failing:
    """A connection whose transactions fail as planned: before the commit, or after it."""

    def __init__(self, connection: psycopg.Connection[Any], plan: list[str]) -> None:
        self._connection = connection
        self._plan = plan
        self._depth = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def cursor(self, **options: Any) -> Any:
        """A statement outside a transaction block is a transaction of its own, and fails like one."""
        cursor = self._connection.cursor(**options)
        return cursor if self._depth else _FailingCursor(cursor, self)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        fault = self._plan.pop(0) if self._plan and not self._depth else "none"
        self._depth += 1
        try:
            with self._connection.transaction():
                yield
                if fault == "before the commit":
                    raise psycopg.OperationalError("the connection was cut before the commit")
            if fault == "after the commit":
                self._connection.close()
                raise psycopg.OperationalError("the connection was cut before the acknowledgement")
        finally:
            self._depth -= 1


class _FailingCursor:
    """A cursor whose every statement is a transaction of its `Failing` connection."""

    def __init__(self, cursor: psycopg.Cursor[Any], connection: Failing) -> None:
        self._cursor = cursor
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def __enter__(self) -> "_FailingCursor":
        return self

    def __exit__(self, *_: object) -> None:
        self._cursor.close()

    def execute(self, *arguments: Any, **options: Any) -> None:
        with self._connection.transaction():
            self._cursor.execute(*arguments, **options)
