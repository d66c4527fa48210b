"""Rows of a query, fetched in binary; what PostgreSQL cannot hold as a parameter is the asker's mistake."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from psycopg import AsyncConnection, DataError
from psycopg_pool import AsyncConnectionPool

from streamledger.domain.errors import ParameterInvalid

SHOWN_CHARACTERS_MAX: Final = 64


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
        name, got = next(_not_held(facts), ("parameter", type(error).__name__))
        expected = "text and numbers that PostgreSQL can hold"
        raise ParameterInvalid(name=name, expected=expected, got=got) from error


def can_be_held(value: str | int) -> bool:
    """Whether PostgreSQL can hold it: no NUL, no byte of an argument that is no UTF-8, at most 64 bits."""
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)


def _not_held(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is to blame, each by its name: facts are called as the parameters that they come from."""
    for name, value in facts.items():
        for each in value if isinstance(value, list | tuple) else (value,):
            if isinstance(each, str | int) and not can_be_held(each):
                yield name, ascii(each)[:SHOWN_CHARACTERS_MAX]
