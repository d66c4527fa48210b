"""How the knowledge of one session grew, step by step, and each delivery of what its picture shows."""

from collections.abc import Sequence
from typing import Final

import msgspec
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from streamledger.domain.instants import instant_ms
from streamledger.readmodel.delivery_queries import ALL_OF_NOTIFICATION
from streamledger.readmodel.fetching import fetch

STEPS_MAX: Final = 120
"""Steps of one session's slider; of more notifications, evenly chosen ones, and the first and the last."""
ALL_READ_MAX: Final = 1000
"""Notifications of a session up to which all are read to choose the steps among."""
DELIVERIES_MAX: Final = 600
"""Deliveries that one picture shows as dots."""

_OF_SESSION: Final = "stream_id = %(stream_id)s AND sequence = %(sequence)s"
_ROWS: Final = f"SELECT position, kind, received_ms, copies, rivals FROM timeline WHERE {_OF_SESSION}"  # noqa: S608  # constant text
_THINNED: Final = (
    # Reads a fixed number of rows however long the session is: a few from the beginning of each of so many
    # equal stretches of its time, and the latest; what carries the sequence is rare and found by the index.
    f"SELECT found.* FROM (SELECT (SELECT at_ms FROM timeline WHERE {_OF_SESSION} ORDER BY at_ms LIMIT 1),"  # noqa: S608  # constant text
    f" (SELECT at_ms FROM timeline WHERE {_OF_SESSION} ORDER BY at_ms DESC LIMIT 1))"
    " AS edge(from_ms, until_ms),"
    " generate_series(0, %(limit)s - 1) AS number CROSS JOIN LATERAL"
    f" ({_ROWS} AND at_ms >= edge.from_ms + (edge.until_ms - edge.from_ms) * number / %(limit)s"
    " ORDER BY at_ms, kind, key LIMIT 2) AS found"
    f" UNION ALL (SELECT * FROM ({_ROWS} ORDER BY at_ms DESC, kind DESC, key DESC LIMIT 2) AS latest)"
    f" UNION ALL {_ROWS} AND kind IN ('push_started', 'push_stopped', 'push_error')"
)
_STEPS: Final = (
    # Before the first notification that carries the sequence the session is unknown: media alone make none.
    "WITH known AS ({known}), found AS ("
    "SELECT position, kind, received_ms FROM known"
    " UNION SELECT copy::int8, kind, received_ms FROM known, jsonb_array_elements_text(copies) AS copy"
    " WHERE jsonb_typeof(copies) = 'array'"
    " UNION SELECT (rival ->> 1)::int8, kind, received_ms FROM known, jsonb_array_elements(rivals) AS rival"
    " WHERE jsonb_typeof(rivals) = 'array'), numbered AS ("
    "SELECT position, kind, received_ms, count(*) OVER () AS total,"
    " row_number() OVER (ORDER BY position DESC) - 1 AS number FROM found WHERE position >= ("
    "SELECT min(position) FROM found WHERE kind IN ('push_started', 'push_stopped', 'push_error')))"
    " SELECT n.position, n.kind, coalesce(d.received_ms, n.received_ms), n.total FROM numbered AS n"
    " LEFT JOIN deliveries AS d ON d.position = n.position WHERE number = total - 1"
    " OR number %% greatest(1, (total + %(limit)s - 1) / %(limit)s) = 0"
    " ORDER BY n.position"
)
STEPS_SQL: Final = _STEPS.replace("{known}", _ROWS)
STEPS_OF_MANY_SQL: Final = _STEPS.replace("{known}", _THINNED)
DELIVERIES_SQL: Final = (
    "SELECT e.position, d.position, d.received_ms, d.judged_as FROM deliveries AS e"  # noqa: S608  # constant text
    f" CROSS JOIN LATERAL {ALL_OF_NOTIFICATION.format(first='e.first_position')} AS d"
    " WHERE e.position = ANY(%(positions)s::int8[]) ORDER BY d.position LIMIT %(limit)s"
)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A position at which the ledger learned something of the session."""

    position: int
    kind: str
    """Of the notification that came."""
    received_at: str


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """The steps, oldest first, and how many deliveries there are in all that said something."""

    steps: list[Step]
    total: int

    def number_at(self, position: int) -> int:
        """Which step was the last by a position; the first one for positions before all."""
        return max((place for place, step in enumerate(self.steps) if step.position <= position), default=0)


class EntryDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery of the notification that an entry of a timeline stands for."""

    entry_position: int
    position: int
    received_ms: int
    judged_as: str
    """Its class."""


class GrowthQueries:
    """Queries about how and when the ledger learned of a session, on a pool that is given."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection]) -> None:
        self._pool = pool

    async def growth(self, stream_id: str, sequence: str, notifications: int) -> Growth:
        """The steps in which the session became known; of many notifications, evenly chosen ones."""
        is_long = notifications > ALL_READ_MAX
        facts = {"stream_id": stream_id, "sequence": sequence, "limit": STEPS_MAX}
        async with self._pool.connection() as connection:
            rows = await fetch(connection, STEPS_OF_MANY_SQL if is_long else STEPS_SQL, facts)
        return Growth(
            steps=[
                Step(position=position, kind=kind, received_at=instant_ms(received_ms))
                for position, kind, received_ms, _ in rows
            ],
            total=max(notifications, len(rows)) if is_long else rows[0][3] if rows else 0,
        )

    async def deliveries(
        self, entry_positions: Sequence[int], until: int | None = None
    ) -> list[EntryDelivery]:
        """All deliveries of these entries' notifications, those up to a position if one is given."""
        facts = {"positions": sorted(entry_positions), "limit": DELIVERIES_MAX}
        async with self._pool.connection() as connection:
            rows = await fetch(connection, DELIVERIES_SQL, facts)
        return [
            EntryDelivery(entry_position=entry, position=position, received_ms=received, judged_as=judged_as)
            for entry, position, received, judged_as in rows
            if until is None or position <= until
        ]
