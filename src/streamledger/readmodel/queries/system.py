"""What the system says of itself: intake counters, use of the quarantine, projections, tokens in force."""

import time
from typing import Final

import msgspec
import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from streamledger.domain.errors import StoreUnavailable
from streamledger.ledger import reader
from streamledger.postgres.errors import first_line
from streamledger.readmodel.queries.fetching import fetch
from streamledger.readmodel.queries.pages import USAGE_SQL


class Usage(msgspec.Struct, frozen=True):
    """What one budget of the quarantine holds now."""

    budget: str
    rows: int
    bytes: int


class ProjectionLag(msgspec.Struct, frozen=True):
    """How far a projection is behind the ledger: in positions, and since when the first event waits."""

    name: str
    position: int
    head: int
    lag_s: float
    parked: int


class SystemState(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the store."""

    counters: dict[str, int]
    usage: list[Usage]
    projections: list[ProjectionLag]
    head: int
    last_received_us: dict[str, int]
    """Receipt of the latest delivery in `ledger` and in `quarantine`; nothing for one that is empty."""


LATEST_MAX: Final = 20
"""Of the newest events, among which the receipt of one that can be read is looked for: a metric that is gone
while the last event is of a later version would silence the alert that goes by it."""

_FIRST_BEHIND: Final = (
    f"SELECT p.name, {', '.join(f'e.{each.strip()}' for each in reader.COLUMNS.split(','))}"  # noqa: S608  # constants
    " FROM projections AS p, LATERAL (SELECT * FROM ledger_events WHERE notification_id > p.position"
    " ORDER BY notification_id LIMIT 1) AS e"
)


class SystemQueries:
    """Queries of the system's own state."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection]) -> None:
        self.pool = pool
        """The connections, which queries never take."""

    async def state(self) -> SystemState:
        """Counters, usage and projections. Raises StoreUnavailable."""
        try:
            async with self.pool.connection() as connection, connection.transaction():
                await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                counters = await fetch(connection, "SELECT outcome, count FROM intake_counters")
                usage = await fetch(connection, USAGE_SQL)
                projections = await fetch(
                    connection,
                    "SELECT name, position, (SELECT count(*) FROM parked WHERE projection = projections.name)"
                    " FROM projections ORDER BY name",
                )
                behind = {row[0]: row[1:] for row in await fetch(connection, _FIRST_BEHIND)}
                latest = await fetch(
                    connection,
                    f"SELECT {reader.COLUMNS} FROM ledger_events"  # noqa: S608  # constant columns
                    " ORDER BY notification_id DESC LIMIT %(latest)s",
                    {"latest": LATEST_MAX},
                )
                aside = await fetch(
                    connection,
                    "SELECT received_at_us FROM quarantine ORDER BY received_at_us DESC, id DESC LIMIT 1",
                )
        except psycopg.Error as error:
            raise StoreUnavailable(cause=first_line(error)) from error
        now_s = time.time()
        # What cannot be decoded has no receipt to tell of; it is parked, and counted there.
        told = {each.position: each for each in reader.events_and_errors([*behind.values(), *latest])[0]}
        waiting_since = {
            name: told[row[0]].delivery.received_at_us for name, row in behind.items() if row[0] in told
        }
        head = latest[0][0] if latest else 0
        readable = [told[row[0]] for row in latest if row[0] in told]
        last_received_us = {"ledger": readable[0].delivery.received_at_us} if readable else {}
        return SystemState(
            counters=dict(sorted(counters)),
            usage=[Usage(*row) for row in usage],
            projections=[
                ProjectionLag(
                    name,
                    position,
                    head,
                    max(0.0, now_s - waiting_since[name] / 1e6) if name in waiting_since else 0.0,
                    parked,
                )
                for name, position, parked in projections
            ],
            head=head,
            last_received_us=last_received_us | ({"quarantine": aside[0][0]} if aside else {}),
        )

    async def active_tokens(self) -> list[tuple[str, str, bytes]]:
        """Name, scope and SHA-256 of every stored token in force. Raises StoreUnavailable."""
        try:
            async with self.pool.connection() as connection:
                rows = await fetch(
                    connection,
                    "SELECT name, scope, secret_sha256 FROM api_tokens WHERE revoked_at_us IS NULL"
                    " ORDER BY name",
                )
        except psycopg.Error as error:
            raise StoreUnavailable(cause=first_line(error)) from error
        return [(name, scope, bytes(digest)) for name, scope, digest in rows]
