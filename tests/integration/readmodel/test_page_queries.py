"""The minutes projection, and what the pages ask of the read model, on a real database."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

from streamledger.ledger import reader
from streamledger.postgres.connection import Database, connect, open_pool_async
from streamledger.readmodel.feed.source import LedgerSource
from streamledger.readmodel.projections.reading import events_and_errors
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.projections.runner import catch_up
from streamledger.readmodel.projections.tallies import TalliesView
from streamledger.readmodel.queries import pages as page_queries
from streamledger.readmodel.queries.pages import COUNTS_SQL, PICTURE_SCREENSHOTS_MAX, PageQueries
from tests.received import BEGAN_S, SCHEMA, keep, received, screenshot, started, stopped

NOW_S = BEGAN_S + 3600


def filled(database: Database) -> psycopg.Connection[Any]:
    """A session with many screenshots, delivered minute by minute, some twice."""
    connection = connect(database, application_name="test")
    bodies = [started("room-1", "1"), *(screenshot("room-1", BEGAN_S + number) for number in range(1, 301))]
    bodies += [stopped("room-1", "1", BEGAN_S + 400), started("Room-2", "2", BEGAN_S + 500)]
    at = [body.get("event_time") or body["create_time"] for body in bodies]
    keep(connection, [received(body, second) for body, second in zip(bodies, at, strict=True)])
    keep(connection, [received(bodies[1], at[1] + 60)])
    return connection


def ask(database: Database, question: Callable[[PageQueries], Awaitable[Any]]) -> Any:
    async def asked() -> Any:
        async with await open_pool_async(database, min_size=1, max_size=2, name="test") as pool:
            return await question(PageQueries(pool, clock_ms=lambda: NOW_S * 1000))

    return asyncio.run(asked())


def test_deliveries_are_counted_by_the_minute_of_their_receipt(database: Database) -> None:
    with filled(database) as connection:
        catch_up(connection, SCHEMA, PROJECTIONS)
    overview = ask(database, lambda pages: pages.overview())
    within = [second for second in range(1, 301) if BEGAN_S + second >= overview.from_minute_ms // 1000]
    assert (overview.open_sessions, overview.streams) == (1, 2)
    assert {kind: sum(counts) for kind, counts in overview.minutes.items()} == {
        "push_started": 1,  # the other was received an hour and more ago
        "push_stopped": 1,
        "screenshot": len(within) + 1,
    }


def test_beyond_a_limit_open_sessions_and_streams_are_estimated_and_not_counted(database: Database) -> None:
    with filled(database) as connection:
        catch_up(connection, SCHEMA, PROJECTIONS)
        for _ in range(2):
            counted = connection.execute(COUNTS_SQL, {"open": 1, "few": 2}).fetchone()
            assert counted == (1, 2)
            connection.execute(
                "SELECT pg_stat_force_next_flush()"
            )  # or they are added to what ANALYZE counts
            connection.execute("ANALYZE")
        plan = connection.execute(
            "EXPLAIN (ANALYZE, FORMAT json) " + COUNTS_SQL, {"open": 1, "few": 1}
        ).fetchone()
    assert plan is not None
    assert "'Actual Rows': 2" not in str(plan[0])


@pytest.mark.parametrize("seed", range(3))
def test_the_tallies_do_not_depend_on_where_batches_were_cut(database: Database, seed: int) -> None:
    chance = random.Random(seed)
    with filled(database) as connection:
        rows = list(reader.read_rows_after(connection, 0, 10_000))
        events, _ = events_and_errors(rows)
        found = []
        for cuts in ([], sorted(chance.sample(range(1, len(events)), 7))):
            connection.execute("TRUNCATE minutes, senders")
            tallies = TalliesView(connection, SCHEMA)
            for begin, end in zip([0, *cuts], [*cuts, len(events)], strict=True):
                tallies.take_in(events[begin:end])
            found.append(
                [
                    connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall()
                    for table in TalliesView.tables
                ]
            )
    assert all(found[0])
    assert found[0] == found[1]


def test_a_picture_has_few_enough_screenshots_spread_evenly_and_the_last_among_them(
    database: Database,
) -> None:
    with filled(database) as connection:
        catch_up(connection, SCHEMA, PROJECTIONS)
    picture = ask(database, lambda pages: pages.picture("room-1", "1", 300))
    shots = [entry for entry in picture.entries if entry.kind == "screenshot"]
    assert (picture.screenshots, picture.others) == (300, 2)
    assert PICTURE_SCREENSHOTS_MAX / 2 < len(shots) <= PICTURE_SCREENSHOTS_MAX
    assert shots[-1].detail["pic_url"].endswith(f"{BEGAN_S + 300}.jpg")
    assert [entry.at for entry in picture.entries] == sorted(entry.at for entry in picture.entries)


def test_streams_are_found_by_a_part_of_their_name_whatever_its_case(database: Database) -> None:
    def matching(text: str, *, are_open: bool = False) -> list[str]:
        found = ask(database, lambda pages: pages.streams_matching(text, are_open=are_open))
        assert found.next_cursor is None
        return list(found.items)

    with filled(database) as connection:
        catch_up(connection, SCHEMA, PROJECTIONS)
    assert matching("ROOM") == ["Room-2", "room-1"]
    assert matching("ROOM", are_open=True) == ["Room-2"]
    assert matching("m-1") == ["room-1"]
    assert matching("%") == []
    assert matching("\0") != []
    assert ask(database, lambda pages: pages.streams_of("1")) == ["room-1"]
    for name, known in (("room-1", True), ("ROOM-1", False), ("\0", False)):
        assert ask(database, lambda pages, name=name: pages.has_stream(name)) is known


@pytest.mark.parametrize("searched", [1, 2, 3, 7])
def test_a_search_goes_on_where_it_ended_until_every_name_was_looked_through(
    database: Database, monkeypatch: pytest.MonkeyPatch, searched: int
) -> None:
    monkeypatch.setattr(page_queries, "STREAMS_SEARCHED_MAX", searched)
    monkeypatch.setattr(page_queries, "STREAMS_MATCHING_MAX", 2)
    names = [f"{name}-{number}" for number in range(3) for name in ("hall", "room")]
    with connect(database, application_name="test") as connection:
        keep(connection, [received(started(name, name), BEGAN_S) for name in names])
        catch_up(connection, SCHEMA, PROJECTIONS)
    found: list[str] = []
    cursor, pages_read = None, 0
    while pages_read == 0 or cursor:
        page = ask(database, lambda pages, cursor=cursor: pages.streams_matching("OO", cursor=cursor))
        found += page.items
        cursor, pages_read = page.next_cursor, pages_read + 1
    assert found == ["room-0", "room-1", "room-2"]
    assert pages_read >= len(names) // searched


def test_the_projected_source_ends_where_the_read_model_does(database: Database) -> None:
    async def both() -> tuple[int, int, int, int]:
        async with await open_pool_async(database, min_size=1, max_size=2, name="test") as pool:
            whole, shown = LedgerSource(pool), LedgerSource(pool, projected=True)
            read, projected = await whole.after(0, 10), await shown.after(0, 10)
            return await whole.head(), len(read), await shown.head(), len(projected)

    with filled(database) as connection:
        head, read, shown_head, shown = asyncio.run(both())
        assert (head > 0, read, shown_head, shown) == (True, 10, 0, 0)
        catch_up(connection, SCHEMA, PROJECTIONS)
        head, read, shown_head, shown = asyncio.run(both())
        assert (shown_head, shown) == (head, 10)


def test_a_table_that_is_dropped_while_sizes_are_read_is_left_out(database: Database) -> None:
    async def asked(pages: PageQueries) -> Any:
        async with await psycopg.AsyncConnection.connect(database.dsn, autocommit=True) as other:
            await other.execute(f"CREATE TABLE {database.schema}.timeline_was1 (key text)")
            await other.execute(f"BEGIN; DROP TABLE {database.schema}.timeline_was1")
            answer = asyncio.create_task(pages.storage())
            waiting = (
                "SELECT 1 FROM pg_locks WHERE NOT granted"  # a test's own
                f" AND relation = '{database.schema}.timeline_was1'::regclass"
            )
            async with await psycopg.AsyncConnection.connect(database.dsn, autocommit=True) as watch:
                while (await (await watch.execute(waiting)).fetchone()) is None:
                    assert not answer.done()
            await other.execute("COMMIT")
            return await answer

    tables = ask(database, asked).tables
    assert "timeline_was1" not in [name for name, _, _ in tables]
    assert all(size is not None for _, _, size in tables)
