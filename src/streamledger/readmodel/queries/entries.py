"""Rows of the timeline as entries of a list, made of the events that they point to."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from psycopg import AsyncConnection

from streamledger.domain.events import LedgerEvent
from streamledger.readmodel.fold.rows import TimelineRow
from streamledger.readmodel.queries.pacing import made_of
from streamledger.readmodel.queries.shown_events import Shown, events_at

Entry = TypeVar("Entry")


async def entries_of(
    connection: AsyncConnection,
    rows: Sequence[TimelineRow],
    make: Callable[[TimelineRow, Shown | None], Entry],
) -> list[Entry]:
    """What `make` gives for each row, in order; fewer where the events are larger than an answer may be."""
    events = await events_at(connection, [row.position for row in rows])

    def size_of(row: TimelineRow) -> int:
        event = events.get(row.position)
        return len(event.delivery.body) if isinstance(event, LedgerEvent) else 0

    return await made_of(rows, lambda row: make(row, events.get(row.position)), size_of)
