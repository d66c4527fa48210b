"""How the knowledge of one session grew, step by step: the deliveries of what its picture shows."""

from collections.abc import Sequence
from typing import Final

import msgspec
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from streamledger.domain.answers import TimelineEntry
from streamledger.domain.forensics import DeliveryClass
from streamledger.domain.instants import instant_ms, parse_instant_ms
from streamledger.domain.kinds import SEQUENCED_KINDS
from streamledger.readmodel.queries.delivery_rows import delivered_at
from streamledger.readmodel.queries.fetching import fetch
from streamledger.readmodel.queries.pages import Picture

FIRST: Final = DeliveryClass.FIRST.value
STEPS_MAX: Final = 120
"""Steps of one session's slider; of more deliveries, evenly chosen ones, and the first and the last."""
DELIVERIES_MAX: Final = 600
"""Deliveries that one picture shows as dots."""
DELIVERIES_SQL: Final = (
    "SELECT e.position, d.position, c.received_ms, c.judged_as"
    " FROM unnest(%(positions)s::int8[]) AS e(position)"
    " CROSS JOIN LATERAL (SELECT coalesce((SELECT r.first_position FROM repeats AS r"
    "  WHERE r.position = e.position), e.position) AS position) AS f"
    " CROSS JOIN LATERAL (SELECT f.position UNION ALL SELECT r.position FROM repeats AS r"
    "  WHERE r.first_position = f.position AND r.position <> f.position) AS d(position)"
    " LEFT JOIN repeats AS c ON c.position = d.position"
    " ORDER BY 2 LIMIT %(limit)s"
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
    pool: AsyncConnectionPool[AsyncConnection], entries: Sequence[TimelineEntry], until: int | None = None
) -> list[EntryDelivery]:
    """All deliveries of these entries' notifications, those up to a position if one is given.

    What has no row of its own is the first of its notification, and most often the entry's own delivery:
    then nothing of the ledger is read.
    """
    received = {entry.position: entry.received_at for entry in entries}
    facts = {"positions": sorted(received), "limit": DELIVERIES_MAX}
    async with pool.connection() as connection:
        found = await fetch(connection, DELIVERIES_SQL, facts)
        known = {}
        for _, position, received_ms, judged_as in found:
            if judged_as is not None:
                known[position] = (received_ms, judged_as)
            elif position in received:
                known[position] = (parse_instant_ms(received[position]), FIRST)
        others = {position for _, position, *_ in found} - known.keys()
        for row in (await delivered_at(connection, others)).values():
            known[row.position] = (row.received_ms, row.judged_as)
    return [
        EntryDelivery(
            entry_position=entry,
            position=position,
            received_ms=known[position][0],
            judged_as=known[position][1],
        )
        for entry, position, *_ in found
        if position in known and (until is None or position <= until)
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
    # Media alone make no session.
    naming_it = [position for position, step in found.items() if step.kind in SEQUENCED_KINDS]
    known_from = min(naming_it, default=0)
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
