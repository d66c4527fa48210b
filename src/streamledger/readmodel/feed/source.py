"""Where the feed reads: the ledger whole, or as much of it as the sessions projection has taken in."""

from typing import Any, Final

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from streamledger.ledger import reader
from streamledger.readmodel.queries.shown_events import Shown, bounded_sql, shown_of

_HEAD_SQL: Final = reader.HEAD_SQL
_PROJECTED_SQL: Final = "SELECT coalesce(max(position), 0) FROM projections WHERE name = 'sessions'"


class LedgerSource:
    """Every event as soon as it is stored; with `projected` only once the read model shows it."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection], *, projected: bool = False) -> None:
        self._pool = pool
        self._head_sql = _PROJECTED_SQL if projected else _HEAD_SQL
        self._bound = f" AND notification_id <= ({_PROJECTED_SQL})" if projected else ""

    async def head(self) -> int:
        """The position of the last event that can be read; 0 when there is none."""
        rows = await self._fetch(self._head_sql, {})
        return int(rows[0][0])

    async def after(self, position: int, limit: int, originator_id: str | None = None) -> list[Shown]:
        """Up to `limit` events after a position, in order, of one event stream or of all; fewer if large."""
        of_one = "" if originator_id is None else " AND originator_id = %(originator_id)s"
        rows = await self._fetch(
            bounded_sql(f"notification_id > %(position)s{self._bound}{of_one}"),
            {"position": position, "limit": limit, "originator_id": originator_id},
        )
        return shown_of(rows)

    async def _fetch(self, sql: str, facts: dict[str, Any]) -> list[tuple[Any, ...]]:
        async with self._pool.connection() as connection, connection.cursor(binary=True) as cursor:
            await cursor.execute(sql.encode(), facts)
            return await cursor.fetchall()
