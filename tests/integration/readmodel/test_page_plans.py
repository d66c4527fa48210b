"""What a session's page reads does not grow with the session: rows are read only of what is shown."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from streamledger.postgres.connection import Database, connect
from streamledger.readmodel.growth_queries import STEPS_MAX, STEPS_OF_MANY_SQL
from streamledger.readmodel.page_queries import (
    PICTURE_ENTRIES_MAX,
    PICTURE_SCREENSHOTS_MAX,
    PICTURE_SQL,
)
from tests.conftest import clone

SCREENSHOTS = 20_000
ROWS_READ_MAX = 600
"""A few for each of those shown, far fewer than there are."""
FILL = f"""
INSERT INTO sessions (stream_id, sequence, sort_ms, span_from_ms, span_until_ms, ended, position, fold,
                      screenshots)
VALUES ('long', '1', 0, 0, 9223372036854775807, false, 1, '{{}}', {SCREENSHOTS});
INSERT INTO timeline (stream_id, kind, key, sequence, at_ms, until_ms, position, received_ms, deliveries,
                      content)
SELECT 'long', CASE n WHEN 0 THEN 'push_started' ELSE 'screenshot' END, n::text, '1', n * 10000, n * 10000, n,
       n * 10000, 1, ''
FROM generate_series(0, {SCREENSHOTS}) AS n;
INSERT INTO timeline (stream_id, kind, key, sequence, at_ms, until_ms, position, received_ms, deliveries,
                      content)
SELECT 'other', 'screenshot', n::text, n::text, n, n, n, n, 1, ''
FROM generate_series(1, {5 * SCREENSHOTS}) AS n;
"""
FACTS = {
    "stream_id": "long",
    "sequence": "1",
    "others": PICTURE_ENTRIES_MAX,
    "screenshots": PICTURE_SCREENSHOTS_MAX,
    "limit": STEPS_MAX,
}


@pytest.fixture(scope="module")
def filled(postgres_server: Any, template_database: str) -> Iterator[Database]:
    with clone(postgres_server.dsn, template_database) as database:
        with connect(database, application_name="test") as connection:
            connection.execute(FILL)  # type: ignore[call-overload] # several statements of constant text
            connection.execute("VACUUM ANALYZE")
        yield database


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


@pytest.mark.parametrize("sql", [PICTURE_SQL, STEPS_OF_MANY_SQL], ids=["picture", "steps"])
def test_the_page_of_a_long_session_reads_few_of_its_rows(filled: Database, sql: str) -> None:
    with connect(filled, application_name="test") as connection:
        row = connection.execute("EXPLAIN (ANALYZE, TIMING off, FORMAT json) " + sql, FACTS).fetchone()
    assert row is not None
    for node in nodes(row[0][0]["Plan"]):
        assert (node["Node Type"], node.get("Relation Name")) != ("Seq Scan", "timeline"), node
        assert node["Actual Rows"] * node["Actual Loops"] <= ROWS_READ_MAX, node


def test_the_first_and_the_last_of_a_long_session_are_shown(filled: Database) -> None:
    with connect(filled, application_name="test") as connection:
        drawn = connection.execute(PICTURE_SQL, FACTS).fetchall()
        steps = connection.execute(STEPS_OF_MANY_SQL, FACTS).fetchall()
    positions = sorted(values[6] for values in drawn)
    assert (positions[:2], positions[-1]) == ([0, 1], SCREENSHOTS)
    assert len(drawn) == 1 + PICTURE_SCREENSHOTS_MAX
    gaps = [after - before for before, after in pairwise(positions[1:])]
    assert max(gaps) <= 2 * SCREENSHOTS / PICTURE_SCREENSHOTS_MAX
    assert (steps[0][0], steps[-1][0]) == (0, SCREENSHOTS)
    assert STEPS_MAX / 2 < len(steps) <= STEPS_MAX + 1
