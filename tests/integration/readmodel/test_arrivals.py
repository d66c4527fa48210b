"""What was set aside, page by page, when only some of it is asked for: no page leaves anything out."""

import asyncio

import pytest

from streamledger.postgres.connection import Database, connect, open_pool_async
from streamledger.readmodel.queries import arrivals
from streamledger.readmodel.queries.arrivals import ArrivalFilter, ArrivalQueries

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
        pool = await open_pool_async(database, min_size=1, max_size=1, name="test")
        found: list[str | None] = []
        cursor = None
        try:
            while True:
                page = await ArrivalQueries(pool).latest(
                    ArrivalFilter(verdict="set_aside", source_ip="192.0.2.3"), limit, cursor
                )
                found += [each.quarantine_id for each in page.items]
                cursor = page.next_cursor
                if cursor is None:
                    return found
                assert page.searched == searched or len(page.items) == limit
        finally:
            await pool.close()

    assert len(wanted) == 8
    assert asyncio.run(all_pages()) == wanted
