"""Answers about a moment: a session and its timeline as far as it had happened and was known by then."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from psycopg import AsyncConnection

from streamledger.domain.answers import Session, TimelineEntry
from streamledger.domain.attributed import SLACK_MS
from streamledger.domain.errors import ParameterInvalid, SessionAmbiguous, SessionUnknown, SessionUnknownThen
from streamledger.domain.events import LedgerEvent
from streamledger.domain.instants import instant_ms
from streamledger.domain.notification import Kind
from streamledger.ledger import reader
from streamledger.readmodel.fold.facts import Fact
from streamledger.readmodel.fold.rows import SessionRow, TimelineRow
from streamledger.readmodel.moments import session as past
from streamledger.readmodel.moments.moment import NO_TIME_MS, Asked, KnownAt, Moment, known_us
from streamledger.readmodel.moments.session import PastSession
from streamledger.readmodel.moments.tables import PastTables
from streamledger.readmodel.queries import presenters as answering
from streamledger.readmodel.queries.absences import ALL_KNOWN_US, with_absences
from streamledger.readmodel.queries.cursors import decode_cursor, encode_cursor
from streamledger.readmodel.queries.entries import entries_of
from streamledger.readmodel.queries.presenters import Found
from streamledger.readmodel.queries.sessions import LIMIT_DEFAULT, EntryKey, Page, Queries, entry_key
from streamledger.readmodel.queries.shown_events import Shown, events_at

_PROBES: Final = 15
"""Positions looked at in one step of the search for a time of receipt."""
_OUT_OF_ORDER_MAX: Final = 1000
"""How many positions on a delivery that was received earlier may lie: deliveries wait for their commits."""

_BEGIN: Final = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ",
    # Locked before the snapshot is taken: a rebuild that switched in between would show empty tables.
    "LOCK TABLE sessions, timeline, session_folds, streams IN ACCESS SHARE MODE",
    # One stream may hold most of all rows, another a few: a plan for all of them would be wrong for each.
    "SET LOCAL plan_cache_mode = force_custom_plan",
    "SET LOCAL enable_seqscan = off",
    "SET LOCAL jit = off",
)


class PastQueries:
    """Queries about moments; shares the pool, the clock and the limits of the queries about now."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def session(self, sequence: str, asked: Asked | None, stream_id: str | None = None) -> Session:
        """The session at a moment; what still ran then has run until `as_of`, or until now without one.

        Without a moment as it is. Raises SessionUnknown, SessionUnknownThen when it is known now but was not
        then, or SessionAmbiguous.
        """
        if asked is None:
            return await self._queries.session(sequence, stream_id)
        async with self.found(sequence, asked, stream_id) as (found, shared):
            return await self.answer(found, asked, shared=shared)

    @asynccontextmanager
    async def found(
        self, sequence: str, asked: Asked, stream_id: str | None = None
    ) -> AsyncIterator[tuple[PastSession, bool]]:
        """The session at a moment, and whether other streams had its sequence too; with the snapshot open."""
        async with self._tables(asked) as tables:
            yield await self._find(tables, sequence, stream_id, asked)

    async def answer(self, found: PastSession, asked: Asked, *, shared: bool) -> Session:
        """The answer about a session that was read."""
        row = await past.found_of(found)
        positions = [] if row.screenshot_position is None else [row.screenshot_position]
        events = await events_at(found.tables.connection, positions)
        return self.answer_from(row, events, asked, found.tables.moment, shared=shared)

    def answer_from(
        self, row: Found, events: Mapping[int, Shown], asked: Asked, moment: Moment, *, shared: bool
    ) -> Session:
        """The answer from a row and the events that were read, the latest screenshot's among them."""
        latest = None if row.screenshot_position is None else events.get(row.screenshot_position)
        now_ms = self._queries.now_ms() if asked.as_of_ms is None else asked.as_of_ms
        limits = msgspec.structs.replace(self._queries.limits, absences=moment.absences)
        return answering.session_answer(row, latest, now_ms, limits, shared=shared)

    async def timeline(
        self,
        sequence: str,
        asked: Asked | None,
        stream_id: str | None = None,
        kind: Kind | None = None,
        limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
    ) -> Page[TimelineEntry]:
        """The session's timeline at a moment or as it is, of one kind or of all. Raises as `session` does."""
        if asked is None:
            return await self._queries.timeline(sequence, stream_id, kind, limit, cursor)
        after = after_of(kind, cursor)
        async with self.found(sequence, asked, stream_id) as (found, _):
            return await _timeline_page(found, kind, after, limit)

    async def defined_by(self, stream_id: str, sequence: str) -> tuple[SessionRow, list[Fact]]:
        """A session's row and the deliveries that define it, all that are known. Raises SessionUnknown."""
        async with self._tables(Asked()) as tables:
            rows = [row for row in await tables.sessions_named(sequence) if row.stream_id == stream_id]
            if not rows:
                raise SessionUnknown.of(sequence, stream_id)
            return rows[0], await tables.defining_facts([(stream_id, sequence)])

    async def _find(
        self, tables: PastTables, sequence: str, stream_id: str | None, asked: Asked
    ) -> tuple[PastSession, bool]:
        """The one session meant, and whether other streams had its sequence at the moment too."""
        rows = await tables.sessions_named(sequence)
        wanted = [row for row in rows if stream_id in (None, row.stream_id)]
        if not wanted:
            raise SessionUnknown.of(sequence, stream_id)
        known = {row.stream_id for row in rows}
        if len(rows) > 1:
            facts = await tables.defining_facts((row.stream_id, row.sequence) for row in rows)
            known = {fact.notification.stream_id or "" for fact in facts}
            wanted = [row for row in wanted if row.stream_id in known]
        if len(wanted) > 1:
            raise SessionAmbiguous(sequence=sequence, streams=", ".join(row.stream_id for row in wanted))
        found = await past.read_past(tables, wanted[0]) if wanted else None
        if found is None:
            raise SessionUnknownThen(sequence=sequence, moment=str(asked))
        return found, len(known) > 1

    @asynccontextmanager
    async def _tables(self, asked: Asked) -> AsyncIterator[PastTables]:
        """What the read model and the ledger hold for a moment, in one snapshot of both.

        Raises ParameterInvalid for a time that has not come.
        """
        now_ms = self._queries.now_ms()
        if asked.as_of_ms is not None and asked.as_of_ms > now_ms:
            raise ParameterInvalid(
                name="as_of",
                expected=f"a time up to now, {instant_ms(now_ms)}",
                got=instant_ms(asked.as_of_ms),
            )
        known_at, position = asked.known_at, None
        if known_at is not None and (
            known_at.position is None or known_at.position > await self._queries.position()
        ):
            async with self._queries.pool.connection() as connection:
                position = await _position_of(connection, known_at)
            await self._queries.wait_for(position)
        elif known_at is not None:
            position = known_at.position
        async with self._queries.pool.connection() as connection:
            try:
                taken_in = await _taken_in(connection)
                known = taken_in if position is None else min(position, taken_in)
                is_all_known = known == taken_in
                until_us = await _known_until_us(connection, known_at, None if is_all_known else known)
                limits = await with_absences(connection, self._queries.limits, until_us)
                as_of_ms = NO_TIME_MS if asked.as_of_ms is None else asked.as_of_ms
                moment = Moment(
                    position=known,
                    as_of_ms=as_of_ms,
                    is_all_known=is_all_known,
                    slack_ms=SLACK_MS if asked.slack_ms is None else asked.slack_ms,
                    absences=limits.absences,
                )
                yield PastTables(connection, moment)
            finally:
                if not connection.closed:
                    await connection.commit()  # of nothing; to roll back would forget what is prepared


async def _taken_in(connection: AsyncConnection) -> int:
    """Begins the transaction of a moment; the position of the sessions projection in its snapshot."""
    async with connection.pipeline():  # one round trip
        for statement in _BEGIN:
            await connection.execute(statement)
        cursor = await connection.execute("SELECT position FROM projections WHERE name = 'sessions'")
    row = await cursor.fetchone()
    return int(row[0]) if row and row[0] is not None else 0


async def _known_until_us(connection: AsyncConnection, known_at: KnownAt | None, position: int | None) -> int:
    """When what is known by a moment was known: the time that is named, or the receipt at its position.

    Without a position all that has come is known.
    """
    if known_at is not None and known_at.received_us is not None:
        return known_at.received_us
    if position is None:
        return ALL_KNOWN_US
    event = (await _next_events(connection, [position])).get(position)
    return ALL_KNOWN_US if event is None else known_us(event.delivery)


async def _position_of(connection: AsyncConnection, known_at: KnownAt) -> int:
    """The last position that was known: the one that is named, or the last received by the time named.

    Positions rise in the order of commits, so receipts lie a little out of order among neighbours: what
    counts is the last event received by that time, and everything before it.
    """
    row = await (await connection.execute(reader.HEAD_SQL)).fetchone()
    head = int(row[0]) if row else 0
    if known_at.received_us is None:
        return min(head, known_at.position or 0)
    low, high = 0, head  # known at `low`, not known after `high`
    while high - low > _PROBES:
        step = (high - low) // (_PROBES + 1)
        probes = [low + step * number for number in range(1, _PROBES + 1)]
        events = await _next_events(connection, probes)
        for probe in probes:
            event = events.get(probe)
            if event is None or known_us(event.delivery) > known_at.received_us:
                high = probe
                break
            low = max(low, event.position)
        else:
            if high <= low:
                break
    cursor = connection.cursor(binary=True)
    await cursor.execute(reader.AFTER_SQL, (low, _PROBES + _OUT_OF_ORDER_MAX))
    later = reader.events_of(await cursor.fetchall())
    known = [event.position for event in later if known_us(event.delivery) <= known_at.received_us]
    return max(known, default=low)


async def _next_events(connection: AsyncConnection, positions: Sequence[int]) -> dict[int, LedgerEvent]:
    """By position, the first event at or after it."""
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(
            f"SELECT probe.at, found.* FROM unnest(%b::int8[]) AS probe(at) CROSS JOIN LATERAL"  # noqa: S608  # constant columns
            f" (SELECT {reader.COLUMNS} FROM ledger_events WHERE notification_id >= probe.at"
            "  ORDER BY notification_id LIMIT 1) AS found",
            (list(positions),),
        )
        return {values[0]: reader.event_of(values[1:]) for values in await cursor.fetchall()}


def after_of(kind: Kind | None, cursor: str | None) -> EntryKey | None:
    """The key of the entry that a page of a timeline follows. Raises CursorInvalid."""
    if cursor is None:
        return None
    at_ms, of_kind, key = decode_cursor(_listing(kind), cursor, (int, str, str))
    return at_ms, of_kind, key


def _listing(kind: Kind | None) -> str:
    return f"timeline-{kind or 'all'}"


async def _timeline_page(
    found: PastSession, kind: Kind | None, after: EntryKey | None, limit: int
) -> Page[TimelineEntry]:
    """A page of the session's timeline at the moment."""
    rows, more = await past.page_of(found, kind, after, limit)
    entries = await entries_of(found.tables.connection, rows, answering.timeline_entry)
    more, rows = more or len(entries) < len(rows), rows[: len(entries)]
    return Page(entries, cursor_after(kind, rows) if more else None)


def cursor_after(kind: Kind | None, rows: Sequence[TimelineRow]) -> str:
    """The cursor of the page that follows these rows."""
    return encode_cursor(_listing(kind), list(entry_key(rows[-1])))
