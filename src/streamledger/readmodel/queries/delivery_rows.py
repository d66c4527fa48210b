"""Deliveries by their positions: what each is, as its row says or, of a first one, the ledger."""

from collections.abc import Iterable, Sequence
from typing import Final

from psycopg import AsyncConnection

from streamledger.domain import errors
from streamledger.domain.errors import DeliveryUnknown, MalformedBody
from streamledger.domain.events import Delivery, LedgerEvent, is_notification
from streamledger.readmodel.fold.columns import columns_of, notification_row, repeat_row
from streamledger.readmodel.fold.facts import fact_of
from streamledger.readmodel.fold.judging import begun, judged_first, row_of
from streamledger.readmodel.fold.rows import FactKey, NotificationRow, RepeatRow
from streamledger.readmodel.projections.reading import read_facts
from streamledger.readmodel.queries.fetching import fetch
from streamledger.readmodel.queries.pacing import Pace, off_loop
from streamledger.readmodel.queries.shown_events import NotShown, Shown, bounded_sql, shown_of

AT_SQL: Final = bounded_sql("notification_id = ANY(%(positions)s) AND notification_id > %(after)s")
REPEATED_SQL: Final = f"SELECT {columns_of('repeats', 'r')} FROM repeats AS r WHERE {{conditions}}"  # noqa: S608  # constant names


async def delivered_at(connection: AsyncConnection, positions: Iterable[int]) -> dict[int, RepeatRow]:
    """What the deliveries at these positions are."""
    rows = await rows_of(connection, (await events_by_position(connection, positions)).values())
    return {row.position: row for row in rows}


async def rows_of(connection: AsyncConnection, events: Iterable[LedgerEvent]) -> list[RepeatRow]:
    """What these deliveries are: as their rows say, or the first ones of their notifications."""
    events = list(events)
    if not events:
        return []
    sql = REPEATED_SQL.format(conditions="r.position = ANY(%(positions)s)")
    found = await fetch(connection, sql, {"positions": [event.position for event in events]})
    repeated = {row.position: row for row in map(repeat_row, found)}
    pace = Pace()
    rows = []
    for event in events:
        row = repeated.get(event.position) or await off_loop(len(event.delivery.body), first_row, event)
        if row is not None:
            rows.append(row)
        await pace.rest()
    return rows


def first_row(event: LedgerEvent) -> RepeatRow | None:
    if not is_notification(event.name):
        return None
    try:
        fact = fact_of(event.position, event.delivery)
    except MalformedBody:  # of an older reader: it is parked
        return None
    return row_of(fact, judged_first(fact), event.position)


async def known_of(connection: AsyncConnection, keys: Sequence[FactKey]) -> dict[FactKey, NotificationRow]:
    """What is known of these notifications; of those that came once, from the ledger."""
    streams, kinds, names = ([key[column] for key in keys] for column in range(3))
    facts = {"streams": streams, "kinds": kinds, "names": names}
    given = (
        "FROM unnest(%(streams)s::text[], %(kinds)s::text[], %(names)s::text[])"
        " AS named(stream_id, kind, key)"
    )
    found = await fetch(
        connection,
        f"SELECT {columns_of('notifications', 'n')} {given}"  # constant names
        " JOIN notifications AS n USING (stream_id, kind, key)",
        facts,
    )
    known = {(row.stream_id, row.kind, row.key): row for row in map(notification_row, found)}
    once = await fetch(
        connection,
        f"SELECT t.position {given} JOIN timeline AS t USING (stream_id, kind, key)"  # constant names
        " WHERE t.part = 0 AND t.deliveries = 1",
        facts,
    )
    for event in (await events_by_position(connection, [position for (position,) in once])).values():
        firsts = await off_loop(len(event.delivery.body), read_facts, [event])
        known |= {(row.stream_id, row.kind, row.key): row for row in map(begun, firsts)}
    return known


async def events_by_position(connection: AsyncConnection, positions: Iterable[int]) -> dict[int, LedgerEvent]:
    """The events at these positions, those that can be read; few bytes at a time."""
    wanted = sorted(set(positions))
    found: dict[int, LedgerEvent] = {}
    after = -1
    while wanted and after < wanted[-1]:
        facts = {"positions": wanted, "after": after, "limit": len(wanted)}
        events = shown_of(await fetch(connection, AT_SQL, facts))
        if not events:
            break
        found |= {event.position: event for event in events if isinstance(event, LedgerEvent)}
        after = events[-1].position
    return found


async def event_at(connection: AsyncConnection, position: int) -> Shown | None:
    facts = {"positions": [position], "after": -1, "limit": 1}
    return next(iter(shown_of(await fetch(connection, AT_SQL, facts))), None)


def delivery_of(event: Shown | None, position: int) -> Delivery:
    """Raises DeliveryUnknown or EventNotShown."""
    if event is None:
        raise DeliveryUnknown(position=position)
    if isinstance(event, NotShown):
        raise errors.EventNotShown(position=position, name=event.name, cause=event.cause)
    return event.delivery
