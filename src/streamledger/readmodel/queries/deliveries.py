"""Queries about deliveries: lists, one beside the others of its notification, and a session's."""

import base64
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final

import msgspec
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from streamledger.domain.beliefs import belief_shown
from streamledger.domain.delivery_answers import DeliveryAnswer, DeliveryDetail, SetAsideDelivery
from streamledger.domain.errors import DeliveryUnknown, SessionAmbiguous, SessionUnknown
from streamledger.domain.events import By, Late, LedgerEvent
from streamledger.domain.forensics import DeliveryClass
from streamledger.readmodel.fold.columns import repeat_row
from streamledger.readmodel.fold.judging import key_of
from streamledger.readmodel.fold.rows import FactKey, NotificationRow, RepeatRow
from streamledger.readmodel.queries import delivery_presenters as answering
from streamledger.readmodel.queries.cursors import decode_cursor, encode_cursor
from streamledger.readmodel.queries.delivery_rows import (
    REPEATED_SQL,
    delivered_at,
    delivery_of,
    event_at,
    events_by_position,
    known_of,
    rows_of,
)
from streamledger.readmodel.queries.fetching import fetch, given, one_generation
from streamledger.readmodel.queries.ledger_scan import (
    POSITION_MAX,
    SCANNED_MAX,
    DeliveryFilter,
    Scanned,
    scan,
)
from streamledger.readmodel.queries.marks import marked
from streamledger.readmodel.queries.pacing import made_of, off_loop
from streamledger.readmodel.queries.sessions import LIMIT_DEFAULT, Page
from streamledger.readmodel.queries.shown_events import events_at
from streamledger.tencent.reader import read_notification
from streamledger.tencent.shown_body import headers_shown, shown_body

BESIDE_MAX: Final = 50
"""Deliveries of one notification that are shown side by side."""
SET_ASIDE_SEARCHED_MAX: Final = 200
"""Quarantined deliveries of the same stream and type that are searched for the same notification."""
_REPEATED: Final = {
    "class_": "r.judged_as = %(class_)s",
    "stream_id": "r.stream_id = %(stream_id)s",
    "sequence": "r.sequence = %(sequence)s",
    "key": "r.callback_key = %(key)s",
    "source_ip": "r.source_ip = %(source_ip)s",
    "event_type": "r.event_type = %(event_type)s",
    "from_ms": "r.received_ms >= %(from_ms)s::int8",
    "to_ms": "r.received_ms < %(to_ms)s::int8",
}

POSITION_SQL: Final = "SELECT position FROM projections WHERE name = 'sessions'"
OF_FIRST_SQL: Final = REPEATED_SQL.format(
    conditions="r.first_position = %(first)s AND r.position <> %(first)s ORDER BY r.position LIMIT %(limit)s"
)
BELONGS_SQL: Final = (
    "SELECT sequence FROM timeline WHERE stream_id = %(stream)s AND kind = %(kind)s AND key = %(key)s"
    " AND sequence <> '' ORDER BY part"
)
SESSION_SQL: Final = (
    # A notification's first delivery, then the others: few have any.
    "SELECT t.at_ms, t.kind, t.key, d.position"
    " FROM (SELECT stream_id, kind, key, at_ms, position FROM timeline"
    "  WHERE stream_id = %(stream_id)s AND sequence = %(sequence)s"
    "  AND (at_ms, kind, key) >= (%(after_ms)s::int8, %(after_kind)s::text, %(after_key)s::text)"
    "  ORDER BY at_ms, kind, key LIMIT %(limit)s + 1) AS t"
    " LEFT JOIN notifications AS n USING (stream_id, kind, key)"
    " CROSS JOIN LATERAL (SELECT coalesce(n.first_position, t.position) AS position UNION ALL"
    "  SELECT r.position FROM repeats AS r WHERE r.first_position = n.first_position"
    "  AND r.position <> r.first_position) AS d"
    " WHERE (t.at_ms, t.kind, t.key, d.position)"
    "  > (%(after_ms)s::int8, %(after_kind)s::text, %(after_key)s::text, %(after_position)s::int8)"
    " ORDER BY t.at_ms, t.kind, t.key, d.position LIMIT %(limit)s"
)
CARRIED_SQL: Final = (
    # All deliveries of the notifications that carry a sequence: few beside the media of its session.
    "WITH named AS (SELECT coalesce(n.first_position, t.position) AS first"
    " FROM (SELECT DISTINCT stream_id FROM sessions WHERE sequence = %(sequence)s) AS s"
    " JOIN timeline AS t ON t.stream_id = s.stream_id AND t.sequence = %(sequence)s"
    " AND t.kind NOT IN ('screenshot', 'recording', 'recording_status', 'recording_exception')"
    " LEFT JOIN notifications AS n ON (n.stream_id, n.kind, n.key) = (t.stream_id, t.kind, t.key))"
    " SELECT all_of.position FROM (SELECT first AS position FROM named UNION"
    " SELECT r.position FROM named JOIN repeats AS r ON r.first_position = named.first) AS all_of"
    " WHERE all_of.position < %(before)s ORDER BY all_of.position DESC LIMIT %(limit)s"
)


class Received(msgspec.Struct, frozen=True):
    """What its event alone tells of a delivery, and a list shows."""

    by: By
    late: Late | None
    bytes: int


def received_by(events: Iterable[LedgerEvent]) -> dict[int, Received]:
    """The same of these events, by position."""
    return {
        each.position: Received(
            each.delivery.believed.by, each.delivery.believed.late, len(each.delivery.body)
        )
        for each in events
    }


class _Listed(msgspec.Struct):
    rows: list[RepeatRow]
    more: tuple[int, int] | None
    """Where the next page begins."""
    received: dict[int, Received] = {}
    """By position, where the events had to be read to find them."""


def repeated_sql(wanted: DeliveryFilter) -> str:
    """The statement that lists deliveries of a class that all have rows, newest first."""
    conditions = ["r.position < %(before)s", *given(_REPEATED, msgspec.structs.asdict(wanted))]
    return REPEATED_SQL.format(conditions=" AND ".join(conditions)) + (
        " ORDER BY r.position DESC LIMIT %(limit)s"
    )


class DeliveryQueries:
    """All reading queries about deliveries."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection]) -> None:
        self._pool = pool

    async def deliveries(
        self,
        wanted: DeliveryFilter,
        limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
        searched_max: int = SCANNED_MAX,
    ) -> Page[DeliveryAnswer]:
        """Deliveries by position, newest first. Raises CursorInvalid.

        A page may hold fewer than `limit` though more follow: it looks through `searched_max`.
        """
        page, _ = await self.as_received(wanted, limit, cursor, searched_max)
        return page

    async def as_received(
        self, wanted: DeliveryFilter, limit: int, cursor: str | None, searched_max: int
    ) -> tuple[Page[DeliveryAnswer], dict[int, Received]]:
        """The same, with what the events say that had to be read for it, by position."""
        before, version = POSITION_MAX, POSITION_MAX
        if cursor is not None:
            before, version = decode_cursor("deliveries", cursor, (int, int))
        tables = ("delivery_marks", "sessions", "timeline", "repeats")
        async with one_generation(self._pool, *tables) as connection:
            found = await self._listed(connection, wanted, before, version, limit, searched_max)
            items = await self._answers(connection, found.rows)
        more = encode_cursor("deliveries", list(found.more)) if found.more else None
        return Page(items, more), found.received

    async def _listed(
        self,
        connection: AsyncConnection,
        wanted: DeliveryFilter,
        before: int,
        version: int,
        limit: int,
        searched_max: int,
    ) -> _Listed:
        """Rows before a position, and where the next page begins."""
        found = await fetch(connection, POSITION_SQL)
        before = min(before, (found[0][0] if found else 0) + 1)  # what is not taken in has no class
        facts = {**msgspec.structs.asdict(wanted), "before": before, "limit": limit + 1}
        if wanted.class_ not in (None, DeliveryClass.FIRST):
            # What is rare and what is not decides between the indexes of two conditions.
            values = await fetch(connection, repeated_sql(wanted), facts, prepare=False)
            rows, received = [repeat_row(each) for each in values], {}
        elif wanted.sequence is not None:
            positions = [row[0] for row in await fetch(connection, CARRIED_SQL, facts)]
            events = await events_by_position(connection, positions)
            rows, received = await rows_of(connection, events.values()), received_by(events.values())
            rows = [row for row in sorted(rows, key=lambda row: -row.position) if wanted.fits(row)]
            if len(positions) > limit and len(rows) <= limit:
                return _Listed(rows, (positions[-1], POSITION_MAX), received)
        else:
            chunks = scan(
                connection,
                wanted,
                before,
                version,
                first_chunk=limit + 1,
                searched_max=searched_max,
            )
            return await self._scanned(connection, wanted, chunks, limit)
        if len(rows) <= limit:
            return _Listed(rows, None, received)
        return _Listed(rows[:limit], (rows[limit - 1].position, POSITION_MAX), received)

    async def _scanned(
        self,
        connection: AsyncConnection,
        wanted: DeliveryFilter,
        chunks: AsyncIterator[Scanned],
        limit: int,
    ) -> _Listed:
        rows: list[RepeatRow] = []
        received: dict[int, Received] = {}
        versions: dict[int, int] = {}
        reached: tuple[int, int] | None = None
        async for each in chunks:
            versions |= {event.position: event.originator_version for event in each.events}
            received |= received_by(each.events)
            chunk = await rows_of(connection, each.events)
            rows += [row for row in sorted(chunk, key=lambda row: -row.position) if wanted.fits(row)]
            if len(rows) > limit:
                last = rows[limit - 1].position
                version = versions[last] if wanted.stream_id is not None else POSITION_MAX
                return _Listed(rows[:limit], (last, version), received)
            reached = (each.position, each.version)
        ended = reached is None or reached[0] <= 1 or (wanted.stream_id is not None and reached[1] == 0)
        return _Listed(rows, None if ended else reached, received)

    async def delivery(self, position: int, *, whole: bool = False) -> DeliveryDetail:
        """One delivery, with its body and the others of its notification. Raises DeliveryUnknown.

        `whole` shows the exact body too, secrets included.
        """
        tables = ("delivery_marks", "timeline", "repeats", "notifications")
        async with one_generation(self._pool, *tables) as connection:
            this = await events_by_position(connection, [position])
            found = await fetch(connection, POSITION_SQL)
            if not found or found[0][0] < position:
                raise DeliveryUnknown(position=position)
            if position not in this:
                delivery_of(await event_at(connection, position), position)
            rows = await rows_of(connection, this.values())
            if not rows:
                raise DeliveryUnknown(position=position)
            row = rows[0]
            facts = {"first": row.first_position, "limit": BESIDE_MAX - 1}
            others = [repeat_row(values) for values in await fetch(connection, OF_FIRST_SQL, facts)]
            firsts = await rows_of(
                connection, (await events_by_position(connection, [row.first_position])).values()
            )
            row, *listed = await marked(connection, [row, *firsts, *others])
            events = await events_at(connection, [row.first_position, *(each.position for each in listed)])
            delivery = delivery_of(await event_at(connection, position), position)
            body = delivery.body
            key = key_of(await off_loop(len(body), read_notification, body))
            notification = (await known_of(connection, [key]))[key]
            set_aside = await self._set_aside(connection, row, key, notification)
            belongs = await fetch(
                connection, BELONGS_SQL, dict(zip(("stream", "kind", "key"), key, strict=True))
            )
        shown = await off_loop(len(body), shown_body, body)
        first = events.get(row.first_position)
        beside = await made_of(
            [each for each in listed if each.position in events],
            lambda each: answering.beside(each, notification.source_ip, first, events[each.position]),
        )
        return DeliveryDetail(
            delivery=answering.delivery_answer(row, notification.source_ip),
            sessions=[sequence for (sequence,) in belongs],
            notification=answering.notification_summary(notification),
            body=shown.fields,
            cut=shown.cut,
            body_text=body.decode("utf-8", "replace") if whole else None,
            body_base64=base64.b64encode(body).decode() if whole else None,
            believed=belief_shown(delivery),
            headers=headers_shown(delivery.headers),
            mended=list(shown.mended),
            same_notification=beside,
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
        tables = ("delivery_marks", "sessions", "timeline", "repeats", "notifications")
        async with one_generation(self._pool, *tables) as connection:
            facts["stream_id"] = await _stream_of(connection, sequence, stream_id)
            found = await fetch(connection, SESSION_SQL, {**facts, "limit": limit + 1})
            positions = [values[3] for values in found[:limit]]
            by_position = await delivered_at(connection, positions)
            rows = [by_position[position] for position in positions if position in by_position]
            items = await self._answers(connection, rows)
        next_cursor = None
        if len(found) > limit:
            next_cursor = encode_cursor("session-deliveries", list(found[limit - 1]))
        return Page(items, next_cursor)

    async def _answers(self, connection: AsyncConnection, rows: Sequence[RepeatRow]) -> list[DeliveryAnswer]:
        rows = await marked(connection, rows)
        firsts: dict[int, str] = {
            row.position: row.source_ip for row in rows if row.position == row.first_position
        }
        missing = {row.first_position for row in rows} - firsts.keys()
        for position, event in (await events_by_position(connection, missing)).items():
            firsts[position] = event.delivery.source_ip
        return await made_of(
            [row for row in rows if row.first_position in firsts],
            lambda row: answering.delivery_answer(row, firsts[row.first_position]),
        )

    async def _set_aside(
        self, connection: AsyncConnection, row: RepeatRow, key: FactKey, known: NotificationRow
    ) -> list[SetAsideDelivery]:
        stream = "stream_id = %(stream_id)s" if row.stream_id else "stream_id IS NULL"
        found = await fetch(
            connection,
            f"SELECT {answering.QUARANTINE_COLUMNS} FROM quarantine"  # noqa: S608  # constant names
            f" WHERE {stream} AND event_type = %(event_type)s"
            " ORDER BY received_at_us DESC, id DESC LIMIT %(limit)s",
            {"stream_id": row.stream_id, "event_type": row.event_type, "limit": SET_ASIDE_SEARCHED_MAX},
        )
        rows = [answering.Quarantined(*values) for values in found]
        keys = await answering.keys_of(rows)
        same = [each for each in rows if keys.get(each.id) == key]
        return await made_of(same, lambda each: answering.set_aside(each, known))


async def _stream_of(connection: AsyncConnection, sequence: str, stream_id: str | None) -> str:
    sql = "SELECT stream_id FROM sessions WHERE sequence = %(sequence)s"
    if stream_id is not None:
        sql += " AND stream_id = %(stream_id)s"
    found = await fetch(
        connection, sql + " ORDER BY stream_id LIMIT 10", {"sequence": sequence, "stream_id": stream_id}
    )
    if not found:
        raise SessionUnknown.of(sequence, stream_id)
    if len(found) > 1:
        raise SessionAmbiguous(sequence=sequence, streams=", ".join(row[0] for row in found))
    return str(found[0][0])
