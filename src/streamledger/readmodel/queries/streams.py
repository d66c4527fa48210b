"""Answers about one stream: its broadcasts, what is unattributed, and what belongs to no session."""

from collections.abc import Sequence
from typing import Any, Final

from psycopg import AsyncConnection

from streamledger.domain import broadcast
from streamledger.domain.answers import RecordingTotals
from streamledger.domain.broadcast import Broadcast, Part
from streamledger.domain.errors import StreamUnknown
from streamledger.domain.instants import instant_ms
from streamledger.domain.stream_answers import BroadcastAnswer, BroadcastGap, BroadcastPart, StreamEntry
from streamledger.readmodel.fold.columns import columns_of, timeline_row
from streamledger.readmodel.queries import presenters as answering
from streamledger.readmodel.queries.absences import with_absences
from streamledger.readmodel.queries.cursors import decode_cursor, encode_cursor
from streamledger.readmodel.queries.entries import entries_of
from streamledger.readmodel.queries.evidence import EVIDENCE, SIGNS, found_of, suspect_facts
from streamledger.readmodel.queries.fetching import fetch
from streamledger.readmodel.queries.kinds import ATTRIBUTED, SEQUENCED, UNPLACED
from streamledger.readmodel.queries.sessions import LIMIT_DEFAULT, Page, Queries, page_of

CHUNK_SESSIONS: Final = 200
BROADCAST_SESSIONS_MAX: Final = 5000
"""Sessions looked at for one page of broadcasts; a broadcast that has more is cut there and says so."""

_ATTRIBUTED: Final = f"sequence = '' AND stream_id <> '' AND kind IN ({ATTRIBUTED})"
_OF_STREAM: Final = f"(kind IN ({UNPLACED}) OR (sequence = '' AND kind IN ({SEQUENCED})))"


class StreamQueries:
    """Reading queries about streams, on the connections and with the clock and limits of `Queries`."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def unattributed(
        self, stream_id: str | None = None, limit: int = LIMIT_DEFAULT, cursor: str | None = None
    ) -> Page[StreamEntry]:
        """Media that belong to no session, newest first, of one stream or of all. Raises StreamUnknown."""
        return await self._entries("unattributed", _ATTRIBUTED, stream_id, limit, cursor)

    async def notifications(
        self, stream_id: str, limit: int = LIMIT_DEFAULT, cursor: str | None = None
    ) -> Page[StreamEntry]:
        """A stream's notifications of types not modelled, and pushes without a sequence, newest first.

        Raises StreamUnknown.
        """
        return await self._entries("notifications", _OF_STREAM, stream_id, limit, cursor)

    async def _entries(
        self, listing: str, condition: str, stream_id: str | None, limit: int, cursor: str | None
    ) -> Page[StreamEntry]:
        listing = listing if stream_id is None else f"{listing}-of-stream"
        facts: dict[str, Any] = {"limit": limit + 1, "stream_id": stream_id}
        conditions = [condition]
        if stream_id is not None:
            conditions.append("stream_id = %(stream_id)s")
        if cursor is not None:
            key = decode_cursor(listing, cursor, (int, str, str, str))
            facts |= dict(zip(("at_ms", "after_stream", "kind", "key"), key, strict=True))
            before = "%(at_ms)s::int8, %(after_stream)s::text, %(kind)s::text, %(key)s::text"
            conditions.append(f"(at_ms, stream_id, kind, key) < ({before})")
            conditions.append("at_ms <= %(at_ms)s::int8")  # for the index that begins with the stream
        sql = (
            f"SELECT {columns_of('timeline')} FROM timeline WHERE {' AND '.join(conditions)}"  # noqa: S608  # constant conditions
            " ORDER BY at_ms DESC, stream_id DESC, kind DESC, key DESC LIMIT %(limit)s"
        )
        async with self._queries.pool.connection() as connection:
            if stream_id is not None:
                await _must_exist(connection, stream_id)
            rows = [timeline_row(values) for values in await fetch(connection, sql, facts)]
            items = await entries_of(connection, rows[:limit], answering.stream_entry)
        return page_of(listing, items, rows, lambda row: [row.at_ms, row.stream_id, row.kind, row.key])

    async def broadcasts(
        self, stream_id: str, window_ms: int, limit: int = LIMIT_DEFAULT, cursor: str | None = None
    ) -> Page[BroadcastAnswer]:
        """A stream's broadcasts, newest first. Raises StreamUnknown, CursorInvalid.

        The cursor names the oldest session of the last broadcast: what began before it is in the next page.
        """
        listing = f"broadcasts-{window_ms}"
        before: tuple[int, str] | None = None
        if cursor is not None:
            sort_ms, sequence = decode_cursor(listing, cursor, (int, str))
            before = sort_ms, sequence
        async with self._queries.pool.connection() as connection:
            await _must_exist(connection, stream_id)
            found, truncated, more = await self._newest(connection, stream_id, window_ms, limit, before)
            totals = await _recordings(connection, stream_id, found)
        items = [
            _answer(stream_id, each, total, truncated=truncated and number == len(found) - 1)
            for number, (each, total) in enumerate(zip(found, totals, strict=True))
        ]
        if not more or not found:
            return Page(items)
        oldest = found[-1].parts[0]
        return Page(items, encode_cursor(listing, [oldest.from_ms, oldest.sequence]))

    async def _newest(
        self,
        connection: AsyncConnection,
        stream_id: str,
        window_ms: int,
        limit: int,
        before: tuple[int, str] | None,
    ) -> tuple[list[Broadcast], bool, bool]:
        """The newest broadcasts before a session, whether the last of them is cut, whether there are more.

        Sessions are read from the newest back until enough broadcasts are complete: all are but the
        oldest, to which sessions that are not read yet may belong.
        """
        now_ms = self._queries.now_ms()
        parts: dict[str, Part] = {}
        position = before
        while True:
            chunk = await self._parts(connection, stream_id, now_ms, position)
            parts.update((part.sequence, part) for part in chunk)
            exhausted = len(chunk) < CHUNK_SESSIONS
            read = dict(parts)
            if not exhausted:
                oldest = chunk[-1]
                position = oldest.from_ms, oldest.sequence
                reaching = await self._parts(
                    connection, stream_id, now_ms, position, reach_ms=oldest.from_ms - window_ms
                )
                read.update((part.sequence, part) for part in reaching)
            found = broadcast.broadcasts(read.values(), window_ms)[::-1]
            if exhausted:
                return found[:limit], False, len(found) > limit
            if len(found) > limit:
                return found[:limit], False, True
            if len(parts) >= BROADCAST_SESSIONS_MAX:
                return _cut(found, parts), True, True

    async def _parts(
        self,
        connection: AsyncConnection,
        stream_id: str,
        now_ms: int,
        before: tuple[int, str] | None,
        reach_ms: int | None = None,
    ) -> list[Part]:
        """The chunk of sessions that began before a given one, newest first; or all that reach to a time."""
        limits = await with_absences(connection, self._queries.limits)
        facts: dict[str, Any] = {"stream_id": stream_id, "limit": CHUNK_SESSIONS, "reach_ms": reach_ms}
        facts |= suspect_facts(limits, now_ms)
        conditions = ["s.stream_id = %(stream_id)s", "s.sort_ms > 0"]  # 0: no time is known of it
        if before is not None:
            facts |= {"sort_ms": before[0], "sequence": before[1]}
            conditions.append("(s.sort_ms, s.sequence) < (%(sort_ms)s::int8, %(sequence)s::text)")
        limit = "ORDER BY s.sort_ms DESC, s.sequence DESC LIMIT %(limit)s"
        if reach_ms is not None:
            conditions.append("(s.span_until_ms >= %(reach_ms)s::int8 OR NOT s.ended)")
            limit = ""
        sql = (
            f"SELECT {columns_of('sessions', 's')}, {EVIDENCE} FROM sessions AS s {SIGNS}"  # noqa: S608  # constant names
            f" WHERE {' AND '.join(conditions)} {limit}"
        )
        parts = [
            broadcast.part_of(found.row.fold, answering.evidence_of(found, now_ms, limits))
            for found in map(found_of, await fetch(connection, sql, facts))
        ]
        return parts if reach_ms is None else [part for part in parts if part.until_ms >= reach_ms]


def _cut(found: Sequence[Broadcast], read: dict[str, Part]) -> list[Broadcast]:
    """The same broadcasts, the oldest without the sessions that lie beyond what was read in full."""
    *complete, oldest = found
    kept = [part for part in oldest.parts if part.sequence in read]
    return [*complete, *broadcast.broadcasts(kept, 2**62)]


async def _must_exist(connection: AsyncConnection, stream_id: str) -> None:
    rows = await fetch(
        connection, "SELECT FROM streams WHERE stream_id = %(stream_id)s", {"stream_id": stream_id}
    )
    if not rows:
        raise StreamUnknown(stream_id=stream_id)


async def _recordings(
    connection: AsyncConnection, stream_id: str, found: Sequence[Broadcast]
) -> list[RecordingTotals]:
    """What was recorded of each broadcast, every file once."""
    named = [(number, part.sequence) for number, each in enumerate(found) for part in each.parts]
    rows = await fetch(
        connection,
        "SELECT number, count(*), coalesce(sum(duration_ms), 0)::int8, coalesce(sum(bytes), 0)::int8,"
        " coalesce(sum(greatest(0, until_ms - greatest(at_ms, reached_ms))), 0)::int8"
        " FROM (SELECT f.*, coalesce(max(f.until_ms) OVER (PARTITION BY f.number ORDER BY f.at_ms, f.until_ms"
        "  ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS reached_ms FROM"
        " (SELECT DISTINCT ON (named.number, t.key)"
        "  named.number, t.at_ms, t.until_ms, t.duration_ms, t.bytes"
        "  FROM unnest(%(numbers)s::int8[], %(sequences)s::text[]) AS named(number, sequence)"
        "  JOIN timeline AS t ON t.stream_id = %(stream_id)s AND t.sequence = named.sequence"
        "  AND t.kind = 'recording') AS f) AS files GROUP BY number",
        {
            "stream_id": stream_id,
            "numbers": [number for number, _ in named],
            "sequences": [sequence for _, sequence in named],
        },
    )
    totals = {
        number: RecordingTotals(count=count, recorded_ms=recorded_ms, files_ms=files_ms, bytes=file_bytes)
        for number, count, files_ms, file_bytes, recorded_ms in rows
    }
    return [totals.get(number, RecordingTotals()) for number in range(len(found))]


def _answer(stream_id: str, found: Broadcast, totals: RecordingTotals, *, truncated: bool) -> BroadcastAnswer:
    return BroadcastAnswer(
        stream_id=stream_id,
        state=found.state,
        started_at=instant_ms(found.from_ms),
        ended_at=instant_ms(found.until_ms) if found.state == "ended" else None,
        on_air_ms=found.on_air_ms,
        off_air_ms=sum(gap.until_ms - gap.from_ms for gap in found.gaps),
        reconnects=found.reconnects,
        recordings=totals,
        parts=[
            BroadcastPart(
                sequence=part.sequence,
                state=part.state,
                started_at=instant_ms(part.from_ms) if part.start_known else None,
                until=instant_ms(part.until_ms),
                on_air_ms=part.until_ms - part.from_ms,
            )
            for part in found.parts
        ],
        gaps=[
            BroadcastGap(
                at=instant_ms(gap.from_ms),
                until=instant_ms(gap.until_ms),
                duration_ms=gap.until_ms - gap.from_ms,
            )
            for gap in found.gaps
        ],
        truncated=truncated,
    )
