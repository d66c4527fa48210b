"""Answers from the read model: sessions, timelines, streams, events, projections."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Generic, TypeVar

import msgspec
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from streamledger.domain.answers import LedgerEntry, ProjectionStatus, Session, Stream, TimelineEntry
from streamledger.domain.errors import (
    PositionNotReached,
    SessionAmbiguous,
    SessionUnknown,
    StreamUnknown,
)
from streamledger.domain.notification import Kind
from streamledger.domain.suspicion import SuspectLimits
from streamledger.readmodel.feed.listening import Pulse, wait_at_most
from streamledger.readmodel.fold.columns import columns_of, stream_row, timeline_row
from streamledger.readmodel.fold.rows import StreamRow, TimelineRow
from streamledger.readmodel.queries import presenters as answering
from streamledger.readmodel.queries import shown_events as shown
from streamledger.readmodel.queries.absences import with_absences
from streamledger.readmodel.queries.cursors import decode_cursor, encode_cursor
from streamledger.readmodel.queries.entries import entries_of
from streamledger.readmodel.queries.evidence import (
    EVIDENCE,
    MAY_BE_SUSPECT,
    SIGNS,
    STREAM_NOT_SILENT,
    SUSPECT,
    found_of,
    live_beyond,
    sequences_of_several_streams,
    suspect_facts,
)
from streamledger.readmodel.queries.fetching import fetch, given, one_generation
from streamledger.readmodel.queries.pacing import made_of
from streamledger.readmodel.queries.presenters import Found
from streamledger.readmodel.queries.shown_events import bounded_sql, events_at, is_full, shown_of

Item = TypeVar("Item")
Row = TypeVar("Row")
EntryKey = tuple[int, str, str]
"""(at_ms, kind, key): the order of a timeline"""

LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 500
MIN_POSITION_WAIT_S_MAX: Final = 5.0
_LOOK_AGAIN_S: Final = 0.01
_LOOK_AGAIN_ANYWAY_S: Final = 0.1
"""With a listener, whose beat comes first unless its connection is lost."""
STREAM_OPEN_SESSIONS_MAX: Final = 100
EVENTS_SQL: Final = bounded_sql("notification_id > %(after)s")
_FILTER: Final = {
    "stream_id": "s.stream_id = %(stream_id)s",
    "started_from_ms": "s.sort_ms >= %(started_from_ms)s",
    "started_to_ms": "s.sort_ms < %(started_to_ms)s",
}


class Page(msgspec.Struct, Generic[Item], frozen=True):
    """One page of a list; `next_cursor` is null on the last."""

    items: list[Item]
    next_cursor: str | None = None


def page_of(
    listing: str, items: list[Item], rows: Sequence[Row], key_of: Callable[[Row], list[Any]]
) -> Page[Item]:
    """The page of these items, that were made of the first of the rows; whatever rows are left follow it."""
    more = 0 < len(items) < len(rows)
    return Page(items, encode_cursor(listing, key_of(rows[len(items) - 1])) if more else None)


def entry_key(row: TimelineRow) -> EntryKey:
    """The order of a timeline."""
    return row.at_ms, row.kind, row.key


class SessionFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which sessions to list. Times are by `started_at` (or the earliest time known without one)."""

    stream_id: str | None = None
    state: str | None = None
    started_from_ms: int | None = None
    started_to_ms: int | None = None
    descending: bool = True

    def conditions(self) -> list[str]:
        """SQL on `sessions AS s`, whose parameters are the fields; who is live or suspect is left open."""
        found = given(_FILTER, msgspec.structs.asdict(self))
        if self.state is not None:
            found.append("s.ended" if self.state == "ended" else "NOT s.ended")
        return found

    def following(self, listing: str, cursor: str | None) -> tuple[list[str], dict[str, Any]]:
        """The condition of the page behind a cursor, with its parameters. Raises CursorInvalid."""
        if cursor is None:
            return [], {}
        key = decode_cursor(listing, cursor, (int, str, str))
        condition = (
            f"(s.sort_ms, s.stream_id, s.sequence) {'<' if self.descending else '>'}"
            " (%(after_ms)s::int8, %(after_stream)s::text, %(after_sequence)s::text)"
        )
        return [condition], dict(zip(("after_ms", "after_stream", "after_sequence"), key, strict=True))


class Queries:
    """All reading queries of one ledger's read model; `clock_ms` gives now, for what is still running."""

    def __init__(
        self,
        pool: AsyncConnectionPool[AsyncConnection],
        limits: SuspectLimits,
        *,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        projected: Pulse | None = None,
    ) -> None:
        self.pool = pool
        self.limits = limits
        self.now_ms = clock_ms
        self._projected = projected

    async def sessions(
        self, wanted: SessionFilter, limit: int = LIMIT_DEFAULT, cursor: str | None = None
    ) -> Page[Session]:
        """Sessions in the order of their starts. Raises CursorInvalid."""
        now_ms = self.now_ms()
        listing = "sessions-desc" if wanted.descending else "sessions-asc"
        following, after = wanted.following(listing, cursor)
        facts: dict[str, Any] = {"limit": limit + 1, **msgspec.structs.asdict(wanted), **after}
        conditions = ["true", *wanted.conditions(), *following]
        if wanted.state == "live":  # lost stops of streams long silent need no evidence looked up
            conditions.append(STREAM_NOT_SILENT)
        if wanted.state == "suspect":
            conditions.append(MAY_BE_SUSPECT)
        direction = "DESC" if wanted.descending else "ASC"
        outer = {"live": f"NOT {SUSPECT}", "suspect": SUSPECT}.get(wanted.state or "", "true")
        sql = (
            f"SELECT {columns_of('sessions', 's')}, {EVIDENCE} FROM sessions AS s {SIGNS}"  # noqa: S608  # constant names
            f" WHERE {' AND '.join(conditions)} AND {outer}"
            f" ORDER BY s.sort_ms {direction}, s.stream_id {direction}, s.sequence {direction}"
            " LIMIT %(limit)s"
        )
        async with self.pool.connection() as connection:
            limits = await with_absences(connection, self.limits)
            rows = await fetch(connection, sql, facts | suspect_facts(limits, now_ms))
            found = await made_of(rows, found_of)
            items = await self.answers_of(connection, found[:limit], now_ms, limits)
        return page_of(
            listing, items, found, lambda each: [each.row.sort_ms, each.row.stream_id, each.row.sequence]
        )

    async def session(self, sequence: str, stream_id: str | None = None) -> Session:
        """One session. Raises SessionUnknown, or SessionAmbiguous when several streams have the sequence."""
        async with self.pool.connection() as connection:
            limits = await with_absences(connection, self.limits)
            found = await self._find(connection, sequence, stream_id, limits)
            return (await self.answers_of(connection, [found], self.now_ms(), limits))[0]

    async def timeline(
        self,
        sequence: str,
        stream_id: str | None = None,
        kind: Kind | None = None,
        limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
    ) -> Page[TimelineEntry]:
        """A session's notifications in order of time, of one kind or of all. Raises as `session` does."""
        listing = f"timeline-{kind or 'all'}"
        facts: dict[str, Any] = {"limit": limit + 1, "kind": kind.value if kind else None}
        conditions = ["stream_id = %(stream_id)s", "sequence = %(sequence)s"]
        if kind is Kind.RECORDING:
            conditions.append("kind = 'recording'")  # a constant, so that the partial index fits
        elif kind is not None:
            rare = " AND kind NOT IN ('screenshot', 'recording')"  # likewise
            conditions.append("kind = %(kind)s" + rare * (kind is not Kind.SCREENSHOT))
        if cursor is not None:
            key = decode_cursor(listing, cursor, (int, str, str))
            facts |= {"after_ms": key[0], "after_kind": key[1], "after_key": key[2]}
            conditions.append(
                "(at_ms, kind, key) > (%(after_ms)s::int8, %(after_kind)s::text, %(after_key)s::text)"
            )
        sql = (
            f"SELECT {columns_of('timeline')} FROM timeline WHERE {' AND '.join(conditions)}"  # noqa: S608  # constant names
            " ORDER BY at_ms, kind, key LIMIT %(limit)s"
        )
        async with one_generation(self.pool, "sessions", "timeline") as connection:
            session = (await self._find(connection, sequence, stream_id, self.limits)).row
            facts |= {"stream_id": session.stream_id, "sequence": sequence}
            rows = [timeline_row(values) for values in await fetch(connection, sql, facts)]
            items = await entries_of(connection, rows[:limit], answering.timeline_entry)
        return page_of(listing, items, rows, lambda row: [*entry_key(row)])

    async def streams(
        self,
        presence: str | None = None,
        limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
        names: Sequence[str] | None = None,
    ) -> Page[Stream]:
        """Streams by name: all, with presence "live" those that are live, or those of `names`."""
        after = decode_cursor("streams", cursor, (str,))[0] if cursor is not None else ""
        if presence == "live":
            return await self._live_streams(after, limit)
        condition = "true" if names is None else "stream_id = ANY(%(names)s::text[])"
        async with self.pool.connection() as connection:
            rows = await self._stream_rows(
                connection, condition, {"after": after, "limit": limit + 1, "names": names}
            )
            limits = await with_absences(connection, self.limits)
            items = await self._streams(connection, rows[:limit], limits)
        return page_of("streams", items, rows, lambda row: [row.stream_id])

    async def _live_streams(self, after: str, limit: int) -> Page[Stream]:
        """Streams that are live. Those with nothing but lost stops, silent for long, are skipped in SQL."""
        items: list[Stream] = []
        async with self.pool.connection() as connection:
            limits = await with_absences(connection, self.limits)
            facts = {"after": after, "limit": limit + 1, **suspect_facts(limits, self.now_ms())}
            while len(items) <= limit:
                rows = await self._stream_rows(
                    connection, "open_sessions > 0 AND latest_ms >= %(silent_since_ms)s", facts
                )
                found = await self._streams(connection, rows, limits)
                items += [stream for stream in found if stream.presence == "live"]
                if len(rows) <= limit:
                    break
                facts["after"] = rows[-1].stream_id
        return page_of("streams", items[:limit], items, lambda stream: [stream.stream_id])

    async def _stream_rows(
        self, connection: AsyncConnection, condition: str, facts: dict[str, Any]
    ) -> list[StreamRow]:
        sql = (
            f"SELECT {columns_of('streams')} FROM streams WHERE stream_id > %(after)s AND {condition}"  # noqa: S608  # constant conditions
            " ORDER BY stream_id LIMIT %(limit)s"
        )
        return [stream_row(values) for values in await fetch(connection, sql, facts)]

    async def stream(self, stream_id: str) -> Stream:
        """One stream. Raises StreamUnknown."""
        sql = f"SELECT {columns_of('streams')} FROM streams WHERE stream_id = %(stream_id)s"  # noqa: S608  # constant names
        async with self.pool.connection() as connection:
            rows = [stream_row(values) for values in await fetch(connection, sql, {"stream_id": stream_id})]
            if not rows:
                raise StreamUnknown(stream_id=stream_id)
            return (await self._streams(connection, rows, await with_absences(connection, self.limits)))[0]

    async def events(
        self, after: int = 0, limit: int = LIMIT_DEFAULT, *, whole: bool = False
    ) -> tuple[list[LedgerEntry], bool]:
        """Events after a position, in order, and whether more follow; `whole` with what cannot be read."""
        async with self.pool.connection() as connection:
            rows = await fetch(connection, EVENTS_SQL, {"after": after, "limit": limit + 1})
        events = shown_of(rows)
        entries = await made_of(events[:limit], partial(answering.ledger_entry, whole=whole), shown.size_of)
        return entries, is_full(events, limit + 1)

    async def projections(self) -> list[ProjectionStatus]:
        """How far the projections have come."""
        async with self.pool.connection() as connection:
            rows = await fetch(
                connection,
                "SELECT p.name, p.position, p.digest, p.digest_position, h.head,"
                " (SELECT count(*) FROM parked WHERE parked.projection = p.name),"
                " (SELECT state FROM ledger_events WHERE notification_id > p.position"
                "  ORDER BY notification_id LIMIT 1)"
                " FROM projections AS p,"
                " LATERAL (SELECT coalesce(max(notification_id), 0) FROM ledger_events) AS h(head)"
                " ORDER BY p.name",
            )
        return [answering.projection_status(row, self.now_ms()) for row in rows]

    async def position(self) -> int:
        """The position that the sessions have taken in."""
        async with self.pool.connection() as connection:
            rows = await fetch(connection, "SELECT position FROM projections WHERE name = 'sessions'")
        return int(rows[0][0]) if rows else 0

    async def wait_for(self, min_position: int) -> None:
        """Return once the sessions have taken a position in. Raises PositionNotReached after 5 s."""
        deadline = time.monotonic() + MIN_POSITION_WAIT_S_MAX
        while True:
            armed = self._projected.arm() if self._projected else None
            if (position := await self.position()) >= min_position:
                return
            if time.monotonic() >= deadline:
                raise PositionNotReached(
                    position=position, min_position=min_position, waited_s=MIN_POSITION_WAIT_S_MAX
                )
            if armed is None:
                await asyncio.sleep(_LOOK_AGAIN_S)
            else:
                await wait_at_most(armed, _LOOK_AGAIN_ANYWAY_S)

    async def _find(
        self, connection: AsyncConnection, sequence: str, stream_id: str | None, limits: SuspectLimits
    ) -> Found:
        sql = (
            f"SELECT {columns_of('sessions', 's')}, {EVIDENCE} FROM sessions AS s {SIGNS}"  # noqa: S608  # constant names
            " WHERE s.sequence = %(sequence)s"
        )
        if stream_id is not None:
            sql += " AND s.stream_id = %(stream_id)s"
        facts = {"sequence": sequence, "stream_id": stream_id, **suspect_facts(limits, self.now_ms())}
        rows = await fetch(connection, sql + " ORDER BY s.stream_id LIMIT 10", facts)
        if not rows:
            raise SessionUnknown.of(sequence, stream_id)
        found = [found_of(values) for values in rows]
        if len(found) > 1:
            raise SessionAmbiguous(sequence=sequence, streams=", ".join(each.row.stream_id for each in found))
        return found[0]

    async def answers_of(
        self, connection: AsyncConnection, found: Sequence[Found], now_ms: int, limits: SuspectLimits
    ) -> list[Session]:
        """The answers about sessions that were found, by these limits."""
        positions = [each.screenshot_position for each in found if each.screenshot_position is not None]
        latest = await events_at(connection, positions)
        shared = await sequences_of_several_streams(connection, [each.row.sequence for each in found])

        def answer(each: Found) -> Session:
            return answering.session_answer(
                each,
                latest.get(each.screenshot_position or -1),
                now_ms,
                limits,
                shared=each.row.sequence in shared,
            )

        return await made_of(found, answer, size_of_item=lambda item: len(msgspec.json.encode(item)))

    async def _streams(
        self, connection: AsyncConnection, rows: Sequence[StreamRow], limits: SuspectLimits
    ) -> list[Stream]:
        now_ms = self.now_ms()
        sql = (
            f"SELECT {columns_of('sessions', 's')}, {EVIDENCE}"  # noqa: S608  # constant names
            " FROM unnest(%(streams)s::text[]) AS named(stream_id) CROSS JOIN LATERAL"
            " (SELECT * FROM sessions AS o WHERE o.stream_id = named.stream_id AND NOT o.ended"
            f"  ORDER BY o.sort_ms DESC, o.sequence DESC LIMIT {STREAM_OPEN_SESSIONS_MAX}) AS s {SIGNS}"
        )
        asked = suspect_facts(limits, now_ms)
        facts = {"streams": [row.stream_id for row in rows], **asked}
        found = await fetch(connection, sql, facts)
        open_sessions: dict[str, list[Found]] = {}
        for each in await made_of(found, found_of):
            open_sessions.setdefault(each.row.stream_id, []).append(each)
        cut = [row.stream_id for row in rows if row.open_sessions > STREAM_OPEN_SESSIONS_MAX]
        live = await live_beyond(connection, asked, cut) if cut else set()
        return await made_of(
            rows,
            lambda row: answering.stream_answer(
                row,
                open_sessions.get(row.stream_id, []),
                now_ms,
                limits,
                is_live=row.stream_id in live,
            ),
        )
