"""Queries about deliveries: lists, one beside the others of its notification, and a session's."""

import base64
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from streamledger.domain.delivery_answers import DeliveryAnswer, DeliveryDetail, SetAsideDelivery
from streamledger.domain.errors import DeliveryUnknown, SessionAmbiguous, SessionUnknown
from streamledger.domain.events import LedgerEvent
from streamledger.domain.forensics import DeliveryClass
from streamledger.ledger import reader
from streamledger.readmodel import delivery_answering as answering
from streamledger.readmodel.cursors import decode_cursor, encode_cursor
from streamledger.readmodel.delivery_judging import begun, key_of
from streamledger.readmodel.delivery_rows import (
    IDENTITY_SQL,
    DeliveryRow,
    NotificationKey,
    NotificationRow,
    columns_of,
    delivery_row,
    notification_row,
)
from streamledger.readmodel.fetching import fetch, one_generation
from streamledger.readmodel.first_delivery import identity_of
from streamledger.readmodel.projection import read_facts
from streamledger.readmodel.queries import LIMIT_DEFAULT, Page
from streamledger.tencent.reader import read_notification
from streamledger.tencent.redaction import redact
from streamledger.tencent.tolerant import parse_object

BESIDE_MAX: Final = 50
"""Deliveries of one notification that are shown side by side."""
SET_ASIDE_SEARCHED_MAX: Final = 200
"""Quarantined deliveries of the same stream and type that are searched for the same notification."""

# A delivery is found by its notification in two steps, each with an index of its own: the first one
# by the notification's identity, the others, which are few, by the first.
ALL_OF_NOTIFICATION: Final = """
    (SELECT * FROM deliveries WHERE position = {first}
     UNION ALL
     SELECT * FROM deliveries WHERE first_position = {first} AND position <> first_position)
"""


class DeliveryFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries to list; times are those of receipt, `to_ms` is not included."""

    class_: DeliveryClass | None = None
    stream_id: str | None = None
    sequence: str | None = None
    key: str | None = None
    """Name of the callback key that verified them."""
    source_ip: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None


# The expressions of two indexes: see their migration.
_SECOND: Final = "(d.received_ms / 1000)"
_IS_SENDER: Final = (
    "hashtextextended(d.{column}, 0) = hashtextextended(%({name})s::text, 0) AND d.{column} = %({name})s"
)


def list_sql(wanted: DeliveryFilter, *, goes_on: bool) -> str:
    """The statement of a list, newest first; constants where a partial index must be recognised."""
    conditions = ["true"]
    if wanted.class_ is not None:
        conditions.append(f"d.judged_as = '{DeliveryClass(wanted.class_).value}'")
    if wanted.stream_id is not None:
        conditions.append("d.stream_id = %(stream_id)s")
    if wanted.sequence is not None:
        conditions.append("d.sequence = %(sequence)s AND d.sequence <> ''")
    if wanted.key is not None:
        conditions.append(_IS_SENDER.format(column="callback_key", name="key"))
    if wanted.source_ip is not None:
        conditions.append(_IS_SENDER.format(column="source_ip", name="source_ip"))
    # A sender's deliveries are indexed by the second: within one they are sorted when they are read.
    by_second = wanted.key is not None or wanted.source_ip is not None
    if wanted.from_ms is not None:
        conditions.append("d.received_ms >= %(from_ms)s::int8")
        conditions += [f"{_SECOND} >= %(from_ms)s::int8 / 1000"] * by_second
    if wanted.to_ms is not None:
        conditions.append("d.received_ms < %(to_ms)s::int8")
        conditions += [f"{_SECOND} <= %(to_ms)s::int8 / 1000"] * by_second
    if goes_on:
        conditions.append("(d.received_ms, d.position) < (%(after_ms)s::int8, %(after_position)s::int8)")
        conditions += [f"{_SECOND} <= %(after_ms)s::int8 / 1000"] * by_second
    # Within a stream, or of one sequence, the order is that of their own indexes.
    by_second = by_second and wanted.stream_id is None and wanted.sequence is None
    order = f"{_SECOND} DESC, " if by_second else ""
    return (
        f"SELECT {columns_of('deliveries', 'd')} FROM deliveries AS d WHERE {' AND '.join(conditions)}"  # noqa: S608  # constant names, and an enum's value
        f" ORDER BY {order}d.received_ms DESC, d.position DESC LIMIT %(limit)s"
    )


SESSION_SQL: Final = (
    f"SELECT t.at_ms, t.kind, t.key, {columns_of('deliveries', 'd')}"  # noqa: S608  # constant names
    " FROM (SELECT stream_id, kind, key, at_ms FROM timeline"
    "  WHERE stream_id = %(stream_id)s AND sequence = %(sequence)s"
    "  AND (at_ms, kind, key) >= (%(after_ms)s::int8, %(after_kind)s::text, %(after_key)s::text)"
    "  ORDER BY at_ms, kind, key LIMIT %(limit)s + 1) AS t"
    " JOIN deliveries AS f ON f.position = f.first_position"
    f" AND f.identity = {IDENTITY_SQL.format(row='t')}"
    f" CROSS JOIN LATERAL {ALL_OF_NOTIFICATION.format(first='f.position')} AS d"
    " WHERE (t.at_ms, t.kind, t.key, d.position)"
    "  > (%(after_ms)s::int8, %(after_kind)s::text, %(after_key)s::text, %(after_position)s::int8)"
    " ORDER BY t.at_ms, t.kind, t.key, d.position LIMIT %(limit)s"
)


class DeliveryQueries:
    """All reading queries of the deliveries projection."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection]) -> None:
        self._pool = pool

    async def deliveries(
        self, wanted: DeliveryFilter, limit: int = LIMIT_DEFAULT, cursor: str | None = None
    ) -> Page[DeliveryAnswer]:
        """Deliveries by time of receipt, newest first. Raises CursorInvalid."""
        facts: dict[str, Any] = {**msgspec.structs.asdict(wanted), "limit": limit + 1}
        if cursor is not None:
            after_ms, after_position = decode_cursor("deliveries", cursor, (int, int))
            facts |= {"after_ms": after_ms, "after_position": after_position}
        facts.pop("class_")
        async with one_generation(self._pool, "deliveries") as connection:
            # What is rare and what is not decides between the indexes of two conditions.
            found = await fetch(
                connection, list_sql(wanted, goes_on=cursor is not None), facts, prepare=False
            )
            rows = [delivery_row(values) for values in found[:limit]]
            items = await self._answers(connection, rows)
        last = rows[-1] if len(found) > limit else None
        return Page(items, encode_cursor("deliveries", [last.received_ms, last.position]) if last else None)

    async def delivery(self, position: int, *, whole: bool = False) -> DeliveryDetail:
        """One delivery, with its body and the others of its notification. Raises DeliveryUnknown.

        `whole` shows the exact body too, secrets included.
        """
        async with one_generation(self._pool, "deliveries", "notifications") as connection:
            found = await _rows(connection, "d.position = %(position)s", {"position": position})
            if not found:
                raise DeliveryUnknown(position=position)
            row = found[0]
            sql = (
                f"SELECT {columns_of('deliveries', 'd')}"  # noqa: S608  # constant names
                f" FROM {ALL_OF_NOTIFICATION.format(first='%(first)s::int8')} AS d"
                " ORDER BY d.position LIMIT %(limit)s"
            )
            facts = {"first": row.first_position, "limit": BESIDE_MAX}
            listed = [delivery_row(values) for values in await fetch(connection, sql, facts)]
            shown = {row.position, row.first_position, *(each.position for each in listed)}
            events = await _events(connection, shown)
            body = events[row.position].delivery.body
            key = key_of(read_notification(body))
            notification = (await known_of(connection, [key]))[key]
            set_aside = await self._set_aside(connection, row, key, notification)
        first = events.get(row.first_position)
        first_body = first.delivery.body if first else None
        obj, mended = parse_object(body)
        return DeliveryDetail(
            delivery=answering.delivery_answer(row, notification.source_ip),
            notification=answering.notification_summary(notification),
            body=redact(obj),
            body_text=body.decode("utf-8", "replace") if whole else None,
            body_base64=base64.b64encode(body).decode() if whole else None,
            mended=list(mended),
            same_notification=[
                answering.beside(
                    each, notification.source_ip, first_body, events[each.position].delivery.body
                )
                for each in listed
                if each.position in events
            ],
            more=max(0, notification.deliveries - len(listed)),
            set_aside=set_aside,
        )

    async def of_session(
        self,
        sequence: str,
        stream_id: str | None = None,
        limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
    ) -> Page[DeliveryAnswer]:
        """All deliveries of the notifications in a session's timeline, in its order, each with its copies.

        Raises SessionUnknown, SessionAmbiguous, CursorInvalid.
        """
        after: list[Any] = [-(2**63), "", "", 0]
        if cursor is not None:
            after = decode_cursor("session-deliveries", cursor, (int, str, str, int))
        names = ("after_ms", "after_kind", "after_key", "after_position")
        facts: dict[str, Any] = {**dict(zip(names, after, strict=True)), "sequence": sequence}
        async with one_generation(self._pool, "sessions", "timeline", "deliveries") as connection:
            facts["stream_id"] = await _stream_of(connection, sequence, stream_id)
            found = await fetch(connection, SESSION_SQL, {**facts, "limit": limit + 1})
            rows = [delivery_row(values[3:]) for values in found[:limit]]
            items = await self._answers(connection, rows)
        next_cursor = None
        if len(found) > limit:
            next_cursor = encode_cursor("session-deliveries", [*found[limit - 1][:3], rows[-1].position])
        return Page(items, next_cursor)

    async def _answers(
        self, connection: AsyncConnection, rows: Sequence[DeliveryRow]
    ) -> list[DeliveryAnswer]:
        firsts = await first_rows(connection, {row.first_position for row in rows})
        return [
            answering.delivery_answer(row, firsts[row.first_position].source_ip)
            for row in rows
            if row.first_position in firsts
        ]

    async def _set_aside(
        self, connection: AsyncConnection, row: DeliveryRow, key: NotificationKey, known: NotificationRow
    ) -> list[SetAsideDelivery]:
        stream = "stream_id = %(stream_id)s" if row.stream_id else "stream_id IS NULL"
        found = await fetch(
            connection,
            f"SELECT {answering.QUARANTINE_COLUMNS} FROM quarantine"  # noqa: S608  # constant names
            f" WHERE {stream} AND event_type = %(event_type)s"
            " ORDER BY received_at_us DESC, id DESC LIMIT %(limit)s",
            {"stream_id": row.stream_id, "event_type": row.event_type, "limit": SET_ASIDE_SEARCHED_MAX},
        )
        rows = [answering.quarantined(values) for values in found]
        keys = answering.keys_of(rows)
        return [answering.set_aside(each, known) for each in rows if keys.get(each.id) == key]


async def first_rows(connection: AsyncConnection, positions: set[int]) -> dict[int, DeliveryRow]:
    """The first deliveries at these positions."""
    found = await _rows(connection, "d.position = ANY(%(positions)s)", {"positions": sorted(positions)})
    return {row.position: row for row in found}


async def known_of(
    connection: AsyncConnection, keys: Sequence[NotificationKey]
) -> dict[NotificationKey, NotificationRow]:
    """What is known of these notifications; of those that came once, from the ledger."""
    by_identity = {identity_of(*key): key for key in keys}
    found = await fetch(
        connection,
        "SELECT d.identity, d.position FROM deliveries AS d WHERE d.position = d.first_position"
        " AND d.identity = ANY(%(identities)s::text[]::uuid[])",
        {"identities": [identity.hex() for identity in by_identity]},
    )
    came = {by_identity[identity.bytes]: position for identity, position in found}
    known = await _repeated(connection, list(came))
    once = {position for key, position in came.items() if key not in known}
    if once:
        firsts = read_facts((await _events(connection, once)).values())
        known |= {(row.stream_id, row.kind, row.key): row for row in map(begun, firsts)}
    return known


async def _repeated(
    connection: AsyncConnection, keys: Sequence[NotificationKey]
) -> dict[NotificationKey, NotificationRow]:
    streams, kinds, names = ([key[column] for key in keys] for column in range(3))
    found = await fetch(
        connection,
        f"SELECT {columns_of('notifications', 'n')}"  # noqa: S608  # constant names
        " FROM unnest(%(streams)s::text[], %(kinds)s::text[], %(names)s::text[])"
        " AS named(stream_id, kind, key)"
        " JOIN notifications AS n USING (stream_id, kind, key)",
        {"streams": streams, "kinds": kinds, "names": names},
    )
    rows = map(notification_row, found)
    return {(row.stream_id, row.kind, row.key): row for row in rows}


async def _rows(connection: AsyncConnection, condition: str, facts: dict[str, Any]) -> list[DeliveryRow]:
    sql = f"SELECT {columns_of('deliveries', 'd')} FROM deliveries AS d WHERE {condition}"  # noqa: S608  # constant names
    return [delivery_row(values) for values in await fetch(connection, sql, facts)]


async def _events(connection: AsyncConnection, positions: set[int]) -> dict[int, LedgerEvent]:
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(reader.AT_SQL, (sorted(positions),))
        return {event.position: event for event in reader.events_of(await cursor.fetchall())}


async def _stream_of(connection: AsyncConnection, sequence: str, stream_id: str | None) -> str:
    sql = "SELECT stream_id FROM sessions WHERE sequence = %(sequence)s"
    if stream_id is not None:
        sql += " AND stream_id = %(stream_id)s"
    found = await fetch(
        connection, sql + " ORDER BY stream_id LIMIT 10", {"sequence": sequence, "stream_id": stream_id}
    )
    if not found:
        raise SessionUnknown(sequence=sequence)
    if len(found) > 1:
        raise SessionAmbiguous(sequence=sequence, streams=", ".join(row[0] for row in found))
    return str(found[0][0])
