"""Rows of a query, fetched in binary; what PostgreSQL cannot hold as a parameter is the asker's mistake."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncConnection, DataError
from psycopg_pool import AsyncConnectionPool

from streamledger.domain.errors import ParameterInvalid


@asynccontextmanager
async def one_generation(
    pool: AsyncConnectionPool[AsyncConnection], *tables: str
) -> AsyncIterator[AsyncConnection]:
    """A connection for an answer of several statements: while this lasts no rebuild switches these tables.

    Name them in the order of their projections, in which a switch locks them.
    """
    async with pool.connection() as connection, connection.transaction():
        await connection.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS SHARE MODE".encode())
        yield connection


def given(conditions: Mapping[str, str], facts: Mapping[str, Any]) -> list[str]:
    """Those of the conditions, by the parameter that each has, whose parameter is given."""
    return [condition for name, condition in conditions.items() if facts[name] is not None]


async def fetch(
    connection: AsyncConnection, sql: str, facts: Mapping[str, Any] = {}, *, prepare: bool | None = None
) -> list[tuple[Any, ...]]:
    """All rows of a query. Raises ParameterInvalid.

    `prepare=False` has it planned for the values asked for, each time.
    """
    try:
        async with connection.cursor(binary=True) as cursor:
            await cursor.execute(sql, facts, prepare=prepare)
            return await cursor.fetchall()
    except (DataError, UnicodeEncodeError) as error:
        # A NUL, a lone surrogate or a number past 64 bits: nothing in the store can be named so.
        raise ParameterInvalid(
            name="parameter", expected="text and numbers that PostgreSQL can hold", got=type(error).__name__
        ) from error
