"""Every list of sessions, streams and what belongs to a stream reads an index in the order it needs."""

import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from streamledger.domain.suspicion import SuspectLimits
from streamledger.postgres.connection import Database, open_pool_async
from streamledger.readmodel.queries import fetching, session_counts
from streamledger.readmodel.queries import sessions as queries
from streamledger.readmodel.queries import streams as stream_queries
from streamledger.readmodel.queries.session_counts import SessionCounts
from streamledger.readmodel.queries.sessions import Queries, SessionFilter
from streamledger.readmodel.queries.streams import StreamQueries
from tests.integration.readmodel.plans import filled_with, nodes

ROWS = 60_000
NOW_MS = 10_000_000_000_000 + ROWS * 1000
ROWS_READ_MAX = 2_000
"""A page reads tens of rows, and a few others for each; a list that is sorted whole reads them all."""
FILL = f"""
INSERT INTO sessions (stream_id, sequence, sort_ms, span_from_ms, span_until_ms, sure_from_ms, sure_until_ms,
                      last_sign_ms, newer_ms, reach_ms, witness_until_ms, ended, position, start_known,
                      files_ms, recording_bytes, deliveries, recordings, screenshots,
                      refused)
SELECT 'room-' || n % 300, n::text, ms, ms, until_ms, ms, until_ms, ms, 9223372036854775807, until_ms, -1,
       n % 100 <> 0, n, true, 0, 0, 2, 0, 0, false
FROM (SELECT n, ms, CASE WHEN n % 100 = 0 THEN 9223372036854775807 ELSE ms + 900 END AS until_ms
      FROM (SELECT n, 10000000000000 + n::bigint * 1000 AS ms
            FROM generate_series(1, {ROWS}) AS n) AS numbers)
     AS numbered;
INSERT INTO session_folds
SELECT stream_id, sequence, jsonb_build_object('stream_id', stream_id, 'sequence', sequence)::text
FROM sessions;
INSERT INTO timeline (stream_id, kind, key, part, sequence, at_ms, until_ms, position, received_ms,
                      deliveries)
SELECT 'room-' || n % 300, CASE WHEN n % 5 = 0 THEN 'other' ELSE 'screenshot' END, n::text, 0,
       CASE WHEN n % 3 = 0 THEN '' ELSE n::text END, ms, ms, n, ms, 1
FROM (SELECT n, 10000000000000 + n::bigint * 1000 AS ms FROM generate_series(1, {ROWS}) AS n) AS numbered;
INSERT INTO streams (stream_id, sessions, recordings, screenshots, others, unattributed, first_seen_us,
                     last_seen_us, position, open_sessions, latest_ms)
SELECT 'room-' || n, 200, 0, 0, 0, 0, 0, 0, n, CASE WHEN n % 100 = 0 THEN 200 ELSE 0 END, {NOW_MS}
FROM generate_series(0, 299) AS n;
INSERT INTO streams (stream_id, sessions, recordings, screenshots, others, unattributed, first_seen_us,
                     last_seen_us, position, open_sessions, latest_ms)
SELECT 'quiet-' || n, 1, 0, 0, 0, 0, 0, 0, n, 0, 0 FROM generate_series(1, {ROWS}) AS n;
"""

Asked = Callable[[Queries, StreamQueries], Awaitable[Any]]
LISTS: dict[str, Asked] = {
    "sessions": lambda sessions, _: sessions.sessions(SessionFilter()),
    "sessions of a stream": lambda sessions, _: sessions.sessions(SessionFilter(stream_id="room-7")),
    "ended sessions, oldest first": lambda sessions, _: sessions.sessions(
        SessionFilter(state="ended", descending=False)
    ),
    "live sessions": lambda sessions, _: sessions.sessions(SessionFilter(state="live")),
    "suspect sessions": lambda sessions, _: sessions.sessions(SessionFilter(state="suspect")),
    "sessions of a time": lambda sessions, _: sessions.sessions(
        SessionFilter(started_from_ms=NOW_MS - 90_000, started_to_ms=NOW_MS - 30_000)
    ),
    "streams": lambda sessions, _: sessions.streams(),
    "live streams": lambda sessions, _: sessions.streams("live"),
    "one session": lambda sessions, _: sessions.session("4007"),
    "timeline": lambda sessions, _: sessions.timeline("4007"),
    "unattributed": lambda _, streams: streams.unattributed(),
    "unattributed of a stream": lambda _, streams: streams.unattributed("room-9"),
    "notifications of a stream": lambda _, streams: streams.notifications("room-10"),
    "broadcasts": lambda _, streams: streams.broadcasts("room-7", 60_000, 5),
    "sessions by state": lambda sessions, _: SessionCounts(
        sessions, sessions.pool, judged_max=100, counted_max=100
    ).by_state(),
}


@pytest.fixture(scope="module")
def filled(postgres_server: Any, template_database: str) -> Iterator[Database]:
    with filled_with(FILL, postgres_server.dsn, template_database) as database:
        yield database


@pytest.mark.parametrize("listing", LISTS)
async def test_a_list_reads_no_more_rows_than_it_shows_and_scans_no_table(
    filled: Database, listing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[dict[str, Any]] = []

    async def explained(
        connection: AsyncConnection, sql: str, facts: dict[str, Any]
    ) -> list[tuple[Any, ...]]:
        cursor = psycopg.AsyncCursor(connection)
        await cursor.execute("EXPLAIN (ANALYZE, TIMING off, FORMAT json) " + sql, facts)
        row = await cursor.fetchone()
        assert row is not None
        plans.append(json.loads(row[0])[0]["Plan"] if isinstance(row[0], str) else row[0][0]["Plan"])
        return await fetching.fetch(connection, sql, facts)

    monkeypatch.setattr(queries, "fetch", explained)
    monkeypatch.setattr(stream_queries, "fetch", explained)
    monkeypatch.setattr(session_counts, "fetch", explained)
    async with await open_pool_async(filled, min_size=1, max_size=1, name="test") as pool:
        asked = Queries(pool, SuspectLimits(silence_ms_max=3_600_000), clock_ms=lambda: NOW_MS)
        await LISTS[listing](asked, StreamQueries(asked))
    assert plans
    for plan in plans:
        for node in nodes(plan):
            assert node["Node Type"] != "Seq Scan", node
            read = node["Actual Rows"] * node["Actual Loops"] + node.get("Rows Removed by Filter", 0)
            assert read <= ROWS_READ_MAX, node
