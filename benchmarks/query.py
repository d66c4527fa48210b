"""Queries on a filled store, beside a bare look-up by primary key in the same run, directly and over HTTP."""

import argparse
import asyncio
import http.client
import os
import random
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from benchmarks.filling import (
    LONG_SEQUENCE,
    SESSIONS_PER_STREAM,
    STREAMS,
    fill,
    fill_long_stream,
)
from benchmarks.server import start_server
from benchmarks.table import print_table
from streamledger.domain.suspicion import SuspectLimits
from streamledger.postgres.connection import Database, connect, open_pool_async
from streamledger.postgres.embedded import start_embedded
from streamledger.postgres.schema import migrate
from streamledger.readmodel.moments.moment import Asked, KnownAt
from streamledger.readmodel.moments.queries import PastQueries
from streamledger.readmodel.queries.sessions import Queries

SESSIONS, LONG_SCREENSHOTS = 100_000, 100_000
FULL_SESSIONS, FULL_LONG_SCREENSHOTS = 1_000_000, 1_000_000
ROUNDS, ASKED_A_ROUND = 5, 300
LONG_ASKED = 10
LIMIT_MS = 10**12  # the filled history stands still: its open sessions shall not become suspect

Question = Callable[[random.Random], Awaitable[Any]]


def main(arguments: list[str] | None = None) -> None:
    """`python -m benchmarks query --full` fills a million sessions with ten million media."""
    parser = argparse.ArgumentParser(prog="benchmarks query")
    parser.add_argument("--sessions", type=int, default=SESSIONS)
    parser.add_argument("--long-screenshots", type=int, default=LONG_SCREENSHOTS)
    parser.add_argument("--full", action="store_true", help="a million sessions, ten million media")
    given = parser.parse_args(arguments or [])
    sessions = FULL_SESSIONS if given.full else given.sessions
    screenshots = FULL_LONG_SCREENSHOTS if given.full else given.long_screenshots
    with tempfile.TemporaryDirectory(prefix="streamledger-bench-") as directory:
        with start_embedded(Path(directory)) as server:
            database = Database(server.owner_dsn)
            _fill(database, sessions, screenshots)
            asyncio.run(_ask(database, sessions))
        _ask_over_http(Path(directory), sessions)


def _fill(database: Database, sessions: int, screenshots: int) -> None:
    began = time.monotonic()
    migrate(database)
    now_s = int(time.time())
    with connect(database, application_name="benchmark") as connection:
        fill(connection, database.schema, sessions, now_s=now_s)
        fill_long_stream(connection, database.schema, screenshots, now_s=now_s)
        row = connection.execute(
            "SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM timeline),"
            " (SELECT count(*) FROM ledger_events), pg_size_pretty(pg_database_size(current_database()))"
        ).fetchone()
    assert row is not None
    print(
        f"  filled in {time.monotonic() - began:.0f} s: {row[0]:,} sessions, {row[1]:,} timeline rows,"
        f" {row[2]:,} events, {row[3]}\n",
        flush=True,
    )


def sequence_of(sessions: int, drawn: random.Random) -> tuple[str, str]:
    """Stream and sequence of any session, as `filling.multiply` names them."""
    number = drawn.randrange(STREAMS * SESSIONS_PER_STREAM)
    copy = drawn.randrange(max(1, sessions // (STREAMS * SESSIONS_PER_STREAM)))
    stream = f"room-{number // SESSIONS_PER_STREAM:03d}"
    name = stream if copy == 0 else f"{stream}-{copy}"
    return name, str(3_000_000_000_000_000_000 + number + copy * 1_000_000)


async def _ask(database: Database, sessions: int) -> None:
    async with await open_pool_async(database, min_size=1, max_size=1, name="benchmark") as pool:
        queries = Queries(
            pool,
            SuspectLimits(
                silence_ms_max=LIMIT_MS, newer_push_ms_max=LIMIT_MS, recording_ended_ms_max=LIMIT_MS
            ),
        )
        past = PastQueries(queries)
        happened, known = await _middle_of_long_session(pool)
        slack = Asked(slack_ms=60_000)

        async def live(drawn: random.Random) -> None:
            page = await queries.streams("live")
            assert page.items

        questions: dict[str, Question] = {
            "bare look-up by primary key": lambda drawn: _bare(pool, *sequence_of(sessions, drawn)),
            "one session": lambda drawn: queries.session(sequence_of(sessions, drawn)[1]),
            "its timeline's first page": lambda drawn: queries.timeline(sequence_of(sessions, drawn)[1]),
            "/v1/streams?presence=live": live,
        }
        taken = await _measure(questions, ROUNDS, ASKED_A_ROUND)
        taken |= await _measure(
            {
                "the long session now": lambda _: queries.session(LONG_SEQUENCE),
                "the long session as of its middle": lambda _: past.session(LONG_SEQUENCE, happened),
                "its timeline as of its middle": lambda _: past.timeline(LONG_SEQUENCE, happened),
                "the long session known at its middle": lambda _: past.session(LONG_SEQUENCE, known),
                "the long session with a minute of slack": lambda _: past.session(LONG_SEQUENCE, slack),
            },
            1,
            LONG_ASKED,
        )
    bare = percentile(taken["bare look-up by primary key"], 50)
    print_table(
        ("query", "p50 ms", "p99 ms", "p50 of the bare look-up's"),
        [
            (
                name,
                f"{percentile(each, 50):.2f}",
                f"{percentile(each, 99):.2f}",
                f"{percentile(each, 50) / bare:.1f}",
            )
            for name, each in taken.items()
        ],
        benchmark="query",
    )
    print()


async def _bare(pool: AsyncConnectionPool[AsyncConnection], stream_id: str, sequence: str) -> None:
    async with pool.connection() as connection, connection.cursor(binary=True) as cursor:
        await cursor.execute(
            "SELECT * FROM sessions WHERE stream_id = %s AND sequence = %s", (stream_id, sequence)
        )
        assert len(await cursor.fetchall()) == 1


async def _middle_of_long_session(pool: AsyncConnectionPool[AsyncConnection]) -> tuple[Asked, Asked]:
    """Its middle by what had happened, and by what was known."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT (min(at_ms) + max(at_ms)) / 2, (min(position) + max(position)) / 2"
            " FROM timeline WHERE stream_id = 'long'"
        )
        row = await cursor.fetchone()
    assert row is not None
    return Asked(as_of_ms=row[0]), Asked(known_at=KnownAt(position=row[1]))


async def _measure(questions: dict[str, Question], rounds: int, count: int) -> dict[str, list[float]]:
    """Milliseconds of each question, asked one after another, interleaved in rounds."""
    taken: dict[str, list[float]] = {name: [] for name in questions}
    for number in range(rounds + 1):  # the first round warms caches and prepared statements
        for name, question in questions.items():
            drawn = random.Random(number)
            for _ in range(count):
                began = time.perf_counter()
                await question(drawn)
                if number:
                    taken[name].append((time.perf_counter() - began) * 1000)
    return taken


def percentile(values: list[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def _ask_over_http(directory: Path, sessions: int) -> None:
    """The same through the installed program, one connection, one request after another."""
    for name in ("SILENCE", "NEWER_PUSH", "RECORDING_ENDED"):
        os.environ[f"STREAMLEDGER_{name}_S_MAX"] = str(LIMIT_MS // 1000)
    server, url, _ = start_server(directory)
    try:
        connection = http.client.HTTPConnection(url.removeprefix("http://"))
        paths: dict[str, Callable[[random.Random], str]] = {
            "GET /health/live": lambda _: "/health/live",
            "GET one session": lambda drawn: f"/v1/sessions/{sequence_of(sessions, drawn)[1]}",
            "GET its timeline's first page": lambda drawn: (
                f"/v1/sessions/{sequence_of(sessions, drawn)[1]}/timeline"
            ),
            "GET /v1/streams?presence=live": lambda _: "/v1/streams?presence=live",
        }
        taken: dict[str, list[float]] = {name: [] for name in paths}
        for number in range(ROUNDS + 1):
            for name, path in paths.items():
                drawn = random.Random(number)
                for _ in range(ASKED_A_ROUND):
                    began = time.perf_counter()
                    connection.request("GET", path(drawn))
                    response = connection.getresponse()
                    response.read()
                    assert response.status == 200, response.status
                    if number:
                        taken[name].append((time.perf_counter() - began) * 1000)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    print_table(
        ("over HTTP", "p50 ms", "p99 ms"),
        [
            (name, f"{percentile(each, 50):.2f}", f"{percentile(each, 99):.2f}")
            for name, each in taken.items()
        ],
        benchmark="query",
    )
