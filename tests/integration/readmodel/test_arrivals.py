"""Pages of what came in: none leaves anything out, and none reads an event twice."""

import asyncio
from typing import Any

import pytest
from psycopg import AsyncCursor

from streamledger.postgres.connection import Database, connect, open_pool_async
from streamledger.readmodel.queries import arrivals
from streamledger.readmodel.queries.arrivals import ArrivalFilter, ArrivalQueries, Arrivals
from tests.deliveries import NOON_S, new_event, push_started
from tests.integration.readmodel.reading import given

FILL = """
INSERT INTO quarantine (id, reason, received_at_us, source_ip, body, bytes)
SELECT gen_random_uuid(), 'expired', n / 2 * 1000000::int8, '192.0.2.' || n % 5, '', 0
FROM generate_series(0, 39) AS n
"""


@pytest.mark.parametrize(("searched", "limit"), [(1, 2), (3, 1), (7, 2), (20, 3), (40, 50), (41, 50)])
def test_what_has_few_of_an_address_is_searched_to_the_end(
    database: Database, monkeypatch: pytest.MonkeyPatch, searched: int, limit: int
) -> None:
    monkeypatch.setattr(arrivals, "SEARCHED_MAX", searched)
    with connect(database, application_name="test") as connection:
        connection.execute(FILL)
        wanted = [
            row[0]
            for row in connection.execute(
                "SELECT id::text FROM quarantine WHERE source_ip = '192.0.2.3'"
                " ORDER BY received_at_us DESC, id DESC"
            )
        ]

    async def all_pages() -> list[str | None]:
        async with await open_pool_async(database, min_size=1, max_size=1, name="test") as pool:
            found: list[str | None] = []
            cursor = None
            while True:
                page = await ArrivalQueries(pool).latest(
                    ArrivalFilter(verdict="set_aside", source_ip="192.0.2.3"), limit, cursor
                )
                found += [each.quarantine_id for each in page.items]
                cursor = page.next_cursor
                if cursor is None:
                    return found
                assert page.searched == searched or len(page.items) == limit

    assert len(wanted) == 8
    assert asyncio.run(all_pages()) == wanted


def asked_of(
    database: Database, wanted: ArrivalFilter, monkeypatch: pytest.MonkeyPatch
) -> tuple[Arrivals, int]:
    """A page, and how many statements have read the ledger for it."""
    told: list[str] = []
    execute = AsyncCursor.execute

    async def listening(self: AsyncCursor, query: Any, *arguments: Any, **named: Any) -> Any:
        told.append(query if isinstance(query, str) else bytes(query).decode())
        return await execute(self, query, *arguments, **named)

    async def one_page() -> Arrivals:
        async with await open_pool_async(database, min_size=1, max_size=1, name="test") as pool:
            return await ArrivalQueries(pool).latest(wanted, 50)

    with monkeypatch.context() as patch:
        patch.setattr(AsyncCursor, "execute", listening)
        page = asyncio.run(one_page())
    return page, sum("FROM ledger_events" in sql for sql in told)


@pytest.mark.parametrize(
    ("wanted", "classes"),
    [
        (ArrivalFilter(), ["first", "retry", "first"]),
        (ArrivalFilter(stream_id="room"), ["first", "retry", "first"]),
        (ArrivalFilter(sequence="1"), ["retry", "first"]),
        (ArrivalFilter(class_="first"), ["first", "first"]),
    ],
)
def test_the_ledger_is_read_once_for_a_page(
    database: Database, monkeypatch: pytest.MonkeyPatch, wanted: ArrivalFilter, classes: list[str]
) -> None:
    start = push_started("room", "1", NOON_S)
    with connect(database, application_name="test") as connection:
        given(
            connection,
            new_event(start, received_s=NOON_S),
            new_event(start, received_s=NOON_S + 60),
            new_event(push_started("room", "2", NOON_S + 90), received_s=NOON_S + 90),
        )
    page, read = asked_of(database, wanted, monkeypatch)
    assert [each.class_ for each in page.items] == classes
    assert {each.by for each in page.items} == {"key"}
    assert all(each.bytes for each in page.items)
    assert read == 1


def test_of_what_is_rare_the_page_reads_the_events_that_it_shows(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = push_started("room", "1", NOON_S)
    with connect(database, application_name="test") as connection:
        given(connection, *(new_event(start, received_s=NOON_S + later) for later in (0, 60)))
    page, read = asked_of(database, ArrivalFilter(class_="retry"), monkeypatch)
    assert [(each.class_, each.by) for each in page.items] == [("retry", "key")]
    assert page.items[0].bytes
    assert read == 2  # the first of the notification, for its address, and the retry
