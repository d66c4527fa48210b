"""What a session's page reads does not grow with the session: rows are read only of what is shown.

Of the past the session's index, which holds positions, is read through for what was known then: never the
rows that came after it.
"""

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from streamledger.domain.notification import Kind
from streamledger.postgres.connection import Database, connect
from streamledger.readmodel.moments import kept as past_kept
from streamledger.readmodel.moments.kept import Counted
from streamledger.readmodel.moments.moment import Moment
from streamledger.readmodel.moments.tables import Interval, PastTables
from streamledger.readmodel.queries.pages import (
    PICTURE_ENTRIES_MAX,
    PICTURE_SCREENSHOTS_ALL_MAX,
    PICTURE_SCREENSHOTS_MAX,
    PICTURE_SQL,
)
from tests.integration.readmodel.plans import carried_out, filled_with, rows_of

SCREENSHOTS = 20_000
ROWS_READ_MAX = 600
"""A few for each of those shown, far fewer than there are."""
FILL = f"""
INSERT INTO timeline (stream_id, kind, key, part, sequence, at_ms, until_ms, position, received_ms,
                      deliveries)
SELECT 'long', CASE n WHEN 0 THEN 'push_started' ELSE 'screenshot' END, n::text, 0, '1', n * 10000, n * 10000,
       n, n * 10000, 1
FROM generate_series(0, {SCREENSHOTS}) AS n;
INSERT INTO timeline (stream_id, kind, key, part, sequence, at_ms, until_ms, position, received_ms,
                      deliveries)
SELECT 'other', 'screenshot', n::text, 0, n::text, n, n, n, n, 1
FROM generate_series(1, {5 * SCREENSHOTS}) AS n;
"""
FACTS = {
    "stream_id": "long",
    "sequence": "1",
    "others": PICTURE_ENTRIES_MAX,
    "screenshots": PICTURE_SCREENSHOTS_MAX,
    "all": PICTURE_SCREENSHOTS_ALL_MAX,
    "total": SCREENSHOTS,
}


@pytest.fixture(scope="module")
def filled(postgres_server: Any, template_database: str) -> Iterator[Database]:
    with filled_with(FILL, postgres_server.dsn, template_database) as database:
        yield database


def test_the_page_of_a_long_session_reads_few_of_its_rows(filled: Database) -> None:
    with connect(filled, application_name="test") as connection:
        for node in carried_out(connection, PICTURE_SQL, FACTS):
            assert (node["Node Type"], node.get("Relation Name")) != ("Seq Scan", "timeline"), node
            assert rows_of(node, filtered=True) <= ROWS_READ_MAX, node


KNOWN = 50
"""Entries of the long session that were known at the moment that is looked back to."""


@pytest.mark.parametrize(
    "part", ["table", "table of screenshots", "few screenshots", "screenshots", "others"]
)
def test_the_past_of_a_long_session_reads_rows_only_of_what_was_known(filled: Database, part: str) -> None:
    told: list[tuple[str, dict[str, Any]]] = []

    class Listening(PastTables):
        async def fetch(self, sql: str, facts: dict[str, Any]) -> list[tuple[Any, ...]]:
            told.append((sql, facts))
            return []

    known = SCREENSHOTS // 2 if part == "screenshots" else KNOWN
    tables = Listening(None, Moment(position=known))  # type: ignore[arg-type]  # asks nothing
    key, judged = ("long", "1"), [Interval(100_000_000_000, 100_000_000_001)]
    sums = Counted(count=known, from_ms=10_000, until_ms=known * 10_000)
    asked = {
        "table": past_kept.kept_page(tables, key, judged, None, None, 51),
        "table of screenshots": past_kept.kept_page(tables, key, judged, Kind.SCREENSHOT, None, 51),
        "few screenshots": past_kept.kept_screenshots(tables, key, judged, sums, PICTURE_SCREENSHOTS_MAX),
        "screenshots": past_kept.kept_screenshots(tables, key, judged, sums, PICTURE_SCREENSHOTS_MAX),
        "others": past_kept.kept_others(tables, key, judged, PICTURE_ENTRIES_MAX),
    }
    for name, each in asked.items():
        if name == part:
            asyncio.run(each)  # type: ignore[arg-type]  # each is a coroutine
        else:
            each.close()
    with connect(filled, application_name="test") as connection:
        connection.execute("SET enable_seqscan = off")
        connection.execute("SET plan_cache_mode = force_custom_plan")
        for node in carried_out(connection, *told[0]):
            assert rows_of(node, filtered=True) <= ROWS_READ_MAX, node


def test_the_first_and_the_last_of_a_long_session_are_shown(filled: Database) -> None:
    with connect(filled, application_name="test") as connection:
        drawn = connection.execute(PICTURE_SQL, FACTS).fetchall()
    positions = sorted(values[7] for values in drawn)
    assert (positions[:2], positions[-1]) == ([0, 1], SCREENSHOTS)
    assert len(drawn) == 1 + PICTURE_SCREENSHOTS_MAX
    gaps = [after - before for before, after in pairwise(positions[1:])]
    assert max(gaps) <= 2 * SCREENSHOTS / PICTURE_SCREENSHOTS_MAX
