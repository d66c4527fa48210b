"""What the system says of itself: intake counters, use of the quarantine, projections, tokens in force."""

import msgspec
import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from streamledger.domain.errors import StoreUnavailable
from streamledger.readmodel.fetching import fetch


class Usage(msgspec.Struct, frozen=True):
    """What one budget of the quarantine holds now."""

    budget: str
    rows: int
    bytes: int


class ProjectionLag(msgspec.Struct, frozen=True):
    """How far a projection is behind the ledger, in positions (which have gaps)."""

    name: str
    position: int
    head: int


class SystemState(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the store."""

    counters: dict[str, int]
    usage: list[Usage]
    projections: list[ProjectionLag]
    head: int


class SystemQueries:
    """Queries of the system's own state."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection]) -> None:
        self._pool = pool

    async def state(self) -> SystemState:
        """Counters, usage and projections. Raises StoreUnavailable."""
        try:
            async with self._pool.connection() as connection, connection.transaction():
                await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                counters = await fetch(connection, "SELECT outcome, count FROM intake_counters", {})
                usage = await fetch(
                    connection, "SELECT budget, rows, bytes FROM quarantine_usage ORDER BY budget", {}
                )
                projections = await fetch(
                    connection, "SELECT name, position FROM projections ORDER BY name", {}
                )
                head = await fetch(
                    connection, "SELECT coalesce(max(notification_id), 0) FROM ledger_events", {}
                )
        except psycopg.Error as error:
            raise StoreUnavailable(cause=str(error).partition("\n")[0]) from error
        return SystemState(
            counters=dict(sorted(counters)),
            usage=[Usage(*row) for row in usage],
            projections=[ProjectionLag(name, position, head[0][0]) for name, position in projections],
            head=head[0][0],
        )

    async def active_tokens(self) -> list[tuple[str, str, bytes]]:
        """Name, scope and SHA-256 of every stored token in force. Raises StoreUnavailable."""
        try:
            async with self._pool.connection() as connection:
                rows = await fetch(
                    connection,
                    "SELECT name, scope, secret_sha256 FROM api_tokens WHERE revoked_at_us IS NULL"
                    " ORDER BY name",
                    {},
                )
        except psycopg.Error as error:
            raise StoreUnavailable(cause=str(error).partition("\n")[0]) from error
        return [(name, scope, bytes(digest)) for name, scope, digest in rows]
