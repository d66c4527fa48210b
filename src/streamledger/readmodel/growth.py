"""How the knowledge of one session grew, step by step: the deliveries of what its picture shows."""

from collections.abc import Sequence
from typing import Final

import msgspec
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from streamledger.domain.instants import instant_ms
from streamledger.domain.notification import Kind
from streamledger.readmodel.delivery_queries import ALL_OF_NOTIFICATION
from streamledger.readmodel.fetching import fetch
from streamledger.readmodel.page_queries import Picture

STEPS_MAX: Final = 120
"""Steps of one session's slider; of more deliveries, evenly chosen ones, and the first and the last."""
DELIVERIES_MAX: Final = 600
"""Deliveries that one picture shows as dots."""
_DEFINING: Final = (Kind.PUSH_STARTED, Kind.PUSH_STOPPED, Kind.PUSH_ERROR)
"""Before the first of these the session is unknown: media alone make none."""

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


async def deliveries_of(
    pool: AsyncConnectionPool[AsyncConnection], entry_positions: Sequence[int], until: int | None = None
) -> list[EntryDelivery]:
    """All deliveries of these entries' notifications, those up to a position if one is given."""
    facts = {"positions": sorted(entry_positions), "limit": DELIVERIES_MAX}
    async with pool.connection() as connection:
        rows = await fetch(connection, DELIVERIES_SQL, facts)
    return [
        EntryDelivery(entry_position=entry, position=position, received_ms=received, judged_as=judged_as)
        for entry, position, received, judged_as in rows
        if until is None or position <= until
    ]


def growth_of(drawn: Picture, delivered: Sequence[EntryDelivery], notifications: int) -> Growth:
    """The steps in which the session became known, by what its picture draws; pure.

    Of a long session the picture draws evenly chosen entries, and so are the steps; `notifications` says
    how many there are in all.
    """
    kinds = {entry.position: entry.kind for entry in drawn.entries}
    found = {
        entry.position: Step(position=entry.position, kind=entry.kind, received_at=entry.received_at)
        for entry in drawn.entries
    }
    for each in delivered:
        found[each.position] = Step(
            position=each.position,
            kind=kinds[each.entry_position],
            received_at=instant_ms(each.received_ms),
        )
    known_from = min((position for position, step in found.items() if step.kind in _DEFINING), default=0)
    steps = [step for position, step in sorted(found.items()) if position >= known_from]
    is_whole = len(drawn.entries) == drawn.screenshots + drawn.others
    return Growth(steps=_thinned(steps), total=len(steps) if is_whole else max(notifications, len(steps)))


def _thinned(steps: list[Step]) -> list[Step]:
    """Every so many-th counted from the last, and the first."""
    every = -(-len(steps) // STEPS_MAX)
    if every <= 1:
        return steps
    kept = steps[::-1][::every][::-1]
    return kept if kept[0] is steps[0] else [steps[0], *kept]
