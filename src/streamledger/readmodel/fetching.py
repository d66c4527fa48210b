"""Rows of a query, fetched in binary; what PostgreSQL cannot hold as a parameter is the asker's mistake."""

from typing import Any

from psycopg import AsyncConnection, DataError

from streamledger.domain.errors import ParameterInvalid


async def fetch(
    connection: AsyncConnection, sql: str, facts: dict[str, Any], *, prepare: bool | None = None
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
