"""What the pages ask for beside the queries of the JSON interface: counts, plots, a thinned timeline."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from streamledger.domain.answers import TimelineEntry
from streamledger.readmodel.fold.columns import columns_of, timeline_row
from streamledger.readmodel.fold.rows import TimelineRow
from streamledger.readmodel.projections.tallies import MINUTE_MS
from streamledger.readmodel.queries import presenters as answering
from streamledger.readmodel.queries.cursors import decode_cursor, encode_cursor
from streamledger.readmodel.queries.fetching import fetch
from streamledger.readmodel.queries.kinds import MEDIA, PUSHES
from streamledger.readmodel.queries.pacing import made_of
from streamledger.readmodel.queries.sessions import Page, entry_key
from streamledger.readmodel.queries.shown_events import events_at

MINUTES_SHOWN: Final = 60
PICTURE_ENTRIES_MAX: Final = 200
"""Recordings and others that a session's picture shows, or about as many."""
PICTURE_SCREENSHOTS_MAX: Final = 60
"""Screenshots that a session's picture shows of many, those at even steps of time."""
PICTURE_SCREENSHOTS_ALL_MAX: Final = 100
"""Up to so many are all shown: of few more than are shown, each that is left out would look like a gap."""
STREAMS_MATCHING_MAX: Final = 50
STREAMS_SEARCHED_MAX: Final = 50_000
"""Names that one search by a part of the name looks through: its time must not grow with the store."""
MATCHING_SQL: Final = (
    "SELECT stream_id FROM (SELECT stream_id, open_sessions FROM streams WHERE stream_id > %(after)s"
    " ORDER BY stream_id LIMIT %(searched)s) AS looked"
    " WHERE position(lower(%(text)s) IN lower(stream_id)) > 0 {open} ORDER BY stream_id LIMIT %(limit)s"
)
SEARCHED_SQL: Final = (
    # The last name that was looked through, and the one that follows.
    "SELECT stream_id FROM streams WHERE stream_id > %(after)s ORDER BY stream_id"
    " OFFSET %(searched)s - 1 LIMIT 2"
)
_MATCHING: Final = "streams-matching"
TABLES_SQL: Final = (
    # A table that a rebuild drops meanwhile has no size: it is left out.
    "SELECT name, rows, bytes FROM (SELECT c.relname AS name,"
    " greatest(c.reltuples, pg_stat_get_live_tuples(c.oid))::int8 AS rows,"
    " pg_total_relation_size(c.oid) AS bytes"
    " FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE n.nspname = current_schema() AND c.relkind = 'r' OFFSET 0) AS tables"
    " WHERE bytes IS NOT NULL ORDER BY bytes DESC, name LIMIT 20"
)
USAGE_SQL: Final = "SELECT budget, rows, bytes FROM quarantine_usage ORDER BY budget"

_OF_SESSION: Final = "stream_id = %(stream_id)s AND sequence = %(sequence)s"
_SHOTS: Final = f"FROM timeline WHERE {_OF_SESSION} AND kind = 'screenshot'"
OPEN_COUNTED_MAX: Final = 10_000
STREAMS_COUNTED_MAX: Final = 2000
"""How many of either the first page counts; beyond, it estimates: its time must not grow with the store."""
COUNTS_SQL: Final = (
    # The estimate of open sessions is that of an index which holds them alone.
    "SELECT CASE WHEN o.few < %(open)s THEN o.few ELSE greatest(o.few, i.reltuples)::int8 END,"
    " CASE WHEN s.few < %(few)s THEN s.few ELSE"
    " greatest(s.few, c.reltuples, pg_stat_get_live_tuples(c.oid))::int8 END FROM"
    " (SELECT count(*) AS few FROM (SELECT FROM sessions WHERE NOT ended LIMIT %(open)s) AS first) AS o,"
    " (SELECT count(*) AS few FROM (SELECT FROM streams LIMIT %(few)s) AS first) AS s,"
    " pg_class AS c LEFT JOIN pg_class AS i ON i.oid = to_regclass('sessions_open_sort_idx')"
    " WHERE c.oid = 'streams'::regclass"
)
EVENLY: Final = (
    f"kind IN ({PUSHES}) OR number = 1 OR number = total"
    " OR number * %(others)s / total > (number - 1) * %(others)s / total"
)
"""Of numbered rows about as many as `others`, at even steps; start, stop, the first and the last always."""
PICTURE_SQL: Final = (
    # What is taken is chosen by the index alone, and only its rows are read. Of many screenshots each of so
    # many equal stretches of time gives its first, and the last is always taken: it is looked for while
    # more come. What is no screenshot is found by the partial indexes of recordings and of all else: by
    # the session's own index it would be searched for among all screenshots. Each row is looked up by
    # itself (LIMIT 1): the planner takes all sessions for short ones, and would read this one through.
    f"WITH others AS (SELECT kind, key, at_ms, total FROM ("  # noqa: S608  # constant names
    "SELECT kind, key, at_ms, count(*) OVER () AS total,"
    " row_number() OVER (ORDER BY at_ms, kind, key) AS number FROM ("
    f"SELECT 'recording' AS kind, key, at_ms FROM timeline WHERE {_OF_SESSION} AND kind = 'recording'"
    f" UNION ALL SELECT kind, key, at_ms FROM timeline WHERE {_OF_SESSION}"
    # True of all rows, and not to be known from the session's index: the planner shall not search that one.
    f" AND kind NOT IN ({MEDIA}) AND deliveries > 0) AS rare) AS numbered WHERE {EVENLY}),"
    f" edge AS (SELECT (SELECT at_ms {_SHOTS} ORDER BY at_ms LIMIT 1) AS from_ms,"
    f" (SELECT at_ms {_SHOTS} ORDER BY at_ms DESC LIMIT 1) AS until_ms,"
    # Given, not read: a statement that waits for `sessions` with `timeline` locked stands in a switch's way.
    " %(total)s::int8 AS total),"
    f" last AS (SELECT key, at_ms {_SHOTS} ORDER BY at_ms DESC, key DESC LIMIT 1),"
    f" few AS (SELECT key, at_ms {_SHOTS} AND (SELECT total FROM edge) <= %(all)s"
    " ORDER BY at_ms, key LIMIT %(all)s),"
    " thinned AS (SELECT found.key, found.at_ms"
    " FROM edge, generate_series(0, %(screenshots)s - 2) AS step(number)"
    f" CROSS JOIN LATERAL (SELECT key, at_ms {_SHOTS} AND at_ms >="
    " edge.from_ms + (edge.until_ms - edge.from_ms) * number / (%(screenshots)s - 1)"
    " ORDER BY at_ms, key LIMIT 1) AS found WHERE edge.total > %(all)s),"
    " shots AS (TABLE few UNION TABLE thinned UNION TABLE last)"
    f" SELECT {columns_of('timeline', 't')}, total, is_screenshot FROM ("
    "SELECT kind, key, at_ms, total, false AS is_screenshot FROM others"
    " UNION ALL SELECT 'screenshot', key, at_ms, (SELECT total FROM edge), true FROM shots OFFSET 0) AS taken"
    f" CROSS JOIN LATERAL (SELECT * FROM timeline AS found WHERE {_OF_SESSION}"
    " AND found.at_ms = taken.at_ms AND found.kind = taken.kind AND found.key = taken.key LIMIT 1) AS t"
)


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """What the first page counts."""

    open_sessions: int
    """Without a stop: live and suspect ones together. Beyond OPEN_COUNTED_MAX by the planner's statistics."""
    streams: int
    """Beyond STREAMS_COUNTED_MAX by the planner's statistics."""
    from_minute_ms: int
    minutes: dict[str, list[int]]
    """Per kind, the deliveries of each of the last 60 minutes, oldest first."""


class SessionHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How an open session does."""

    latest_ms: int | None
    """Time of its latest notification, media included."""
    push_errors: int
    """Reports of event type 321."""


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """What a session's picture is drawn from; the counts say how much there is in all."""

    entries: list[TimelineEntry]
    screenshots: int
    others: int


class Storage(msgspec.Struct, frozen=True, kw_only=True):
    """What the store holds and how big it is."""

    server: str
    database_bytes: int
    tables: list[tuple[str, int, int]]
    """Name, rows by the planner's statistics, bytes with indexes; the largest first."""
    counters: dict[str, int]
    """The intake's counters by outcome."""
    quarantine: list[tuple[str, int, int]]
    """Budget, rows, bytes."""


class PageQueries:
    """The pages' own queries, on a pool that is given."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection], *, clock_ms: Callable[[], int]) -> None:
        self._pool = pool
        self.clock_ms = clock_ms

    async def overview(self) -> Overview:
        """Counts of now and of the last hour."""
        until_ms = self.clock_ms() // MINUTE_MS * MINUTE_MS
        from_ms = until_ms - (MINUTES_SHOWN - 1) * MINUTE_MS
        async with self._pool.connection() as connection:
            counted = await fetch(
                connection, COUNTS_SQL, {"open": OPEN_COUNTED_MAX, "few": STREAMS_COUNTED_MAX}
            )
            rows = await fetch(
                connection,
                "SELECT minute_ms, kind, deliveries FROM minutes"
                " WHERE minute_ms BETWEEN %(from)s AND %(until)s",
                {"from": from_ms, "until": until_ms},
            )
        minutes: dict[str, list[int]] = {}
        for minute_ms, kind, deliveries in rows:
            minutes.setdefault(kind, [0] * MINUTES_SHOWN)[(minute_ms - from_ms) // MINUTE_MS] = deliveries
        return Overview(
            open_sessions=counted[0][0], streams=counted[0][1], from_minute_ms=from_ms, minutes=minutes
        )

    async def health(self, sessions: Sequence[tuple[str, str]]) -> dict[tuple[str, str], SessionHealth]:
        """The health of sessions, named by stream and sequence."""
        async with self._pool.connection() as connection:
            rows = await fetch(
                connection,
                "SELECT s.stream_id, s.sequence,"
                " (SELECT t.at_ms FROM timeline AS t WHERE t.stream_id = s.stream_id"
                "  AND t.sequence = s.sequence ORDER BY t.at_ms DESC LIMIT 1),"
                " (SELECT coalesce((f.fold::jsonb #>> '{health,reports}')::int8, 0) FROM session_folds AS f"
                "  WHERE f.stream_id = s.stream_id AND f.sequence = s.sequence)"
                " FROM unnest(%(streams)s::text[], %(sequences)s::text[]) AS named(stream_id, sequence)"
                " JOIN sessions AS s USING (stream_id, sequence)",
                {
                    "streams": [stream_id for stream_id, _ in sessions],
                    "sequences": [sequence for _, sequence in sessions],
                },
            )
        return {
            (stream_id, sequence): SessionHealth(latest_ms=latest_ms, push_errors=reports)
            for stream_id, sequence, latest_ms, reports in rows
        }

    async def streams_matching(
        self, text: str, *, are_open: bool = False, cursor: str | None = None
    ) -> Page[str]:
        """Names of streams that contain a text, whatever its case, in order; at most 50, and not all at once.

        No index finds a part of a name, so a page looks through so many of them; the next goes on from
        there. `are_open` wants only those with an open session. Raises CursorInvalid.
        """
        after = decode_cursor(_MATCHING, cursor, (str,))[0] if cursor is not None else ""
        facts = {
            "text": text.replace("\0", ""),
            "after": after,
            "limit": STREAMS_MATCHING_MAX,
            "searched": STREAMS_SEARCHED_MAX,
        }
        async with self._pool.connection() as connection:
            rows = await fetch(
                connection, MATCHING_SQL.format(open="AND open_sessions > 0" * are_open), facts
            )
            names = [name for (name,) in rows]
            if len(names) == STREAMS_MATCHING_MAX:
                return Page(names, encode_cursor(_MATCHING, [names[-1]]))
            ended = await fetch(connection, SEARCHED_SQL, facts)
        return Page(names, encode_cursor(_MATCHING, [ended[0][0]]) if len(ended) == 2 else None)

    async def has_stream(self, name: str) -> bool:
        """Whether there is a stream of exactly this name."""
        async with self._pool.connection() as connection:
            sql = "SELECT FROM streams WHERE stream_id = %(name)s"
            return bool(await fetch(connection, sql, {"name": name.replace("\0", "")}))

    async def streams_of(self, sequence: str) -> list[str]:
        """The streams that have a session of this sequence, at most two: one, as a rule."""
        async with self._pool.connection() as connection:
            rows = await fetch(
                connection,
                "SELECT stream_id FROM sessions WHERE sequence = %(sequence)s ORDER BY stream_id LIMIT 2",
                {"sequence": sequence.replace("\0", "")},
            )
        return [stream_id for (stream_id,) in rows]

    async def picture(
        self, stream_id: str, sequence: str, screenshots: int, *, details: bool = True
    ) -> Picture:
        """The entries that a session's picture shows, in order of time; without details, the rows alone.

        `screenshots` is how many the session has.
        """
        facts = {
            "stream_id": stream_id,
            "sequence": sequence,
            "others": PICTURE_ENTRIES_MAX,
            "screenshots": PICTURE_SCREENSHOTS_MAX,
            "all": PICTURE_SCREENSHOTS_ALL_MAX,
            "total": screenshots,
        }
        async with self._pool.connection() as connection:
            rows = await fetch(connection, PICTURE_SQL, facts)
            found = sorted((timeline_row(row[:-2]) for row in rows), key=entry_key)
            entries = (
                await self._entries(connection, found)
                if details
                else [answering.timeline_entry(row, None) for row in found]
            )
        return Picture(
            entries=entries,
            screenshots=next((row[-2] for row in rows if row[-1]), 0),
            others=next((row[-2] for row in rows if not row[-1]), 0),
        )

    async def storage(self) -> Storage:
        """What the store holds."""
        async with self._pool.connection() as connection:
            about = await fetch(
                connection, "SELECT current_setting('server_version'), pg_database_size(current_database())"
            )
            tables = await fetch(connection, TABLES_SQL)
            counters = await fetch(connection, "SELECT outcome, count FROM intake_counters ORDER BY outcome")
            quarantine = await fetch(connection, USAGE_SQL)
        return Storage(
            server=about[0][0],
            database_bytes=about[0][1],
            tables=[(name, rows, size) for name, rows, size in tables],
            counters=dict(counters),
            quarantine=[(budget, rows, size) for budget, rows, size in quarantine],
        )

    async def _entries(self, connection: AsyncConnection, rows: Sequence[TimelineRow]) -> list[TimelineEntry]:
        events = await events_at(connection, [row.position for row in rows])
        return await made_of(rows, lambda row: answering.picture_entry(row, events.get(row.position)))
