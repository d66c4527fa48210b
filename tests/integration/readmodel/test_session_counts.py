"""Sessions by state, counted for a monitor: as the lists have them, bounded, and not at each question."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import psycopg
import pytest

from streamledger.domain.suspicion import SuspectLimits
from streamledger.postgres.connection import Database, connect, open_pool_async
from streamledger.readmodel.queries import session_counts
from streamledger.readmodel.queries.session_counts import FRESH_S, SHARE_MAX, SessionCounts
from streamledger.readmodel.queries.sessions import Queries, SessionFilter
from streamledger.simulator.truth import Shape
from tests.deliveries import SCHEMA
from tests.integration.readmodel.histories import STARTS_AT_MS, bodies, project, store
from tests.received import BEGAN_S, keep, received, started, stopped

HOUR_MS = 3_600_000
SILENCE_MS_MAX = 600_000


def ask(database: Database, now_ms: int, question: Callable[[Queries], Awaitable[Any]]) -> Any:
    async def asked() -> Any:
        async with await open_pool_async(database, min_size=1, max_size=2, name="test") as pool:
            return await question(
                Queries(
                    pool,
                    SuspectLimits(silence_ms_max=SILENCE_MS_MAX, unheard_ms_max=HOUR_MS),
                    clock_ms=lambda: now_ms,
                )
            )

    return asyncio.run(asked())


def counting(queries: Queries, **limits: Any) -> SessionCounts:
    return SessionCounts(queries, queries.pool, **limits)


async def listed(queries: Queries) -> dict[str, int]:
    """The same by the lists of sessions."""
    counts = {"unjudged": 0}
    for state in ("live", "suspect", "ended"):
        page = await queries.sessions(SessionFilter(state=state), limit=500)
        assert page.next_cursor is None
        counts[state] = len(page.items)
    return counts


@pytest.mark.parametrize("seed", range(3))
def test_the_counts_are_those_of_the_lists_at_any_time(database: Database, seed: int) -> None:
    shape = Shape(streams=8, duration_s=1200, stop_unreported=0.4, start_unreported=0.1, backed_up=0.3)
    found = bodies(seed, shape)
    with connect(database, application_name="test") as connection:
        store(connection, found)
        project(connection, SCHEMA)
    mixed = 0
    for at_ms in (0, HOUR_MS // 3, HOUR_MS // 2, HOUR_MS, 6 * HOUR_MS, 30 * HOUR_MS):
        now_ms = STARTS_AT_MS + at_ms
        wanted = ask(database, now_ms, listed)
        assert ask(database, now_ms, lambda queries: counting(queries).by_state()) == wanted
        mixed += min(wanted["live"], wanted["suspect"]) > 0
    assert mixed
    assert wanted["ended"]


def pushes(database: Database) -> None:
    """Five open sessions of streams of their own, and three ended ones."""
    opened = [started(f"room-{number}", str(number), BEGAN_S + number) for number in range(8)]
    closed = [stopped(f"room-{number}", str(number), BEGAN_S + 60) for number in range(3)]
    with connect(database, application_name="test") as connection:
        keep(connection, [received(body, body["event_time"]) for body in [*opened, *closed]])
        project(connection, SCHEMA)
        connection.execute("SELECT pg_stat_force_next_flush()")  # or they are added to what ANALYZE counts
        connection.execute("ANALYZE")


def test_beyond_a_number_open_sessions_are_not_judged_and_those_that_began_last_are(
    database: Database,
) -> None:
    pushes(database)
    now_ms = (BEGAN_S + 5) * 1000 + HOUR_MS  # all but the last two began more than an hour ago
    assert ask(
        database,
        now_ms,
        lambda queries: counting(queries, judged_max=3, counted_max=4).by_state(),
    ) == {"live": 3, "suspect": 0, "unjudged": 2, "ended": 3}
    assert ask(database, now_ms, lambda queries: counting(queries).by_state()) == {
        "live": 3,
        "suspect": 2,
        "unjudged": 0,
        "ended": 3,
    }


def test_who_asks_again_soon_is_told_what_was_counted_and_what_took_long_is_counted_seldom(
    database: Database,
) -> None:
    pushes(database)
    ticks = iter([0.0, 0.0, FRESH_S - 1, FRESH_S, FRESH_S + 2, FRESH_S + 2 / SHARE_MAX - 1])
    more = iter([FRESH_S + 2 / SHARE_MAX, FRESH_S + 2 / SHARE_MAX])

    async def several(queries: Queries) -> list[Mapping[str, int]]:
        clock = iter([*ticks, *more])
        counts = counting(queries, clock=lambda: next(clock))
        found = [await counts.by_state()]
        async with queries.pool.connection() as connection:
            await connection.execute("DELETE FROM sessions WHERE ended")
        return [*found, *[await counts.by_state() for _ in range(4)]]

    ended = [each["ended"] for each in ask(database, BEGAN_S * 1000, several)]
    assert ended == [3, 3, 0, 0, 0]


def test_what_cannot_be_counted_in_time_is_not_told_and_nobody_waits_for_it(database: Database) -> None:
    pushes(database)

    async def locked(queries: Queries) -> list[Mapping[str, int]]:
        clock = iter([0.0, 0.0, FRESH_S, FRESH_S])
        counts = counting(queries, count_s_max=0.2, clock=lambda: next(clock))
        with connect(database, application_name="test") as connection, connection.transaction():
            connection.execute("LOCK TABLE sessions")
            found = [await counts.by_state()]
        counts = counting(queries, clock=lambda: next(clock))
        return [*found, await counts.by_state()]

    nothing, counted = ask(database, BEGAN_S * 1000, locked)
    assert nothing == {}
    assert counted["ended"] == 3


def test_a_count_whose_connection_is_lost_leaves_the_other_metrics(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_: object) -> None:
        raise psycopg.OperationalError("canceling statement due to statement timeout")

    monkeypatch.setattr(session_counts, "fetch", lost)
    assert ask(database, STARTS_AT_MS, lambda queries: counting(queries).by_state()) == {}
