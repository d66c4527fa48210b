"""Queries while the database is away: an error of the store and not of ours, and it heals by itself."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from streamledger.domain.errors import StoreUnavailable
from streamledger.domain.suspicion import SuspectLimits
from streamledger.postgres.connection import Database, open_pool_async
from streamledger.readmodel.queries.sessions import Queries, SessionFilter

QUERIES: dict[str, Callable[[Queries], Awaitable[Any]]] = {
    "sessions": lambda queries: queries.sessions(SessionFilter()),
    "events": lambda queries: queries.events(),
    "position": lambda queries: queries.position(),
}


@contextmanager
def away(database: Database) -> Iterator[None]:
    """The database takes no connection, and those that there were are cut."""
    name = conninfo_to_dict(database.dsn)["dbname"]
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    with psycopg.connect(make_conninfo(database.dsn, dbname="postgres"), autocommit=True) as connection:
        connection.execute(allow.format(sql.Identifier(str(name)), sql.Literal(False)))
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", (name,)
        )
        try:
            yield
        finally:
            connection.execute(allow.format(sql.Identifier(str(name)), sql.Literal(True)))


@pytest.mark.parametrize("name", QUERIES)
async def test_a_query_says_that_the_store_is_away_and_answers_once_it_is_back(
    database: Database, name: str
) -> None:
    ask = QUERIES[name]
    async with await open_pool_async(database, min_size=1, max_size=2, name="test") as pool:
        pool.timeout = 0.3
        queries = Queries(pool, SuspectLimits(silence_ms_max=1000))
        before = await ask(queries)
        with away(database), pytest.raises(StoreUnavailable):
            await ask(queries)
        pool.timeout = 30
        assert await ask(queries) == before
