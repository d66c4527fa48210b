"""Search, the list of arrivals, chosen sessions and folded timelines read bounded parts of indexes."""

from collections.abc import Iterator
from typing import Any

import pytest

from streamledger.postgres.connection import Database, connect
from streamledger.readmodel.queries import arrivals, chosen_sessions, find, runs
from tests.integration.readmodel.plans import carried_out, filled_with, rows_of

ROWS = 40_000
READ_MAX = 12_000
"""What a page may read of them: far fewer than there are, of whatever table."""
FILL = f"""
INSERT INTO sessions (stream_id, sequence, sort_ms, span_from_ms, span_until_ms, sure_from_ms, sure_until_ms,
                      last_sign_ms, newer_ms, reach_ms, witness_until_ms, ended, position, start_known,
                      files_ms, recording_bytes, deliveries, recordings, screenshots, refused, app)
SELECT 'room-' || n, (1000000 + n)::text, n * 1000, n, n, n, n * 1000 + 5, n, n, n, -1, n % 9 > 0, n, true,
       0, 0, 2, 0, 0, false, 'push.example.com'
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO session_folds (stream_id, sequence, fold)
SELECT stream_id, sequence, '' FROM sessions;
INSERT INTO streams SELECT 'room-' || n, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1 FROM generate_series(1, {ROWS}) AS n;
INSERT INTO timeline (stream_id, kind, key, part, sequence, at_ms, until_ms, position, received_ms,
                      deliveries)
SELECT 'room-' || n, 'recording', 'file-' || n, 0, (1000000 + n)::text, n, n, n, n, 1
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO timeline (stream_id, kind, key, part, sequence, at_ms, until_ms, position, received_ms,
                      deliveries)
SELECT 'room-7', 'screenshot', n::text, 0, '1000007', n * 10000, n * 10000, n, n * 10000, 1
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO quarantine (id, reason, received_at_us, source_ip, body, bytes, stream_id)
SELECT gen_random_uuid(), (ARRAY['expired', 'unsigned'])[1 + n % 2], n::bigint * 1000000,
       '192.0.2.' || n % 200,
       '', 0, 'room-' || n
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO minutes SELECT n * 60000::bigint, 'screenshot', 1 FROM generate_series(1, {ROWS}) AS n;
"""
FACTS: dict[str, Any] = {
    "text": "1000123",
    "end": "1000124",
    "limit": 51,
    "after": "room-2",
    "streams": find.FILE_STREAMS_MAX,
    "sessions": find.DOMAIN_SESSIONS_MAX,
    "least": "10000000-0000-0000-0000-000000000000",
    "most": "100fffff-ffff-ffff-ffff-ffffffffffff",
    "searched": arrivals.SEARCHED_MAX,
    "source_ip": "192.0.2.7",
    "sequence": None,
    "event_type": None,
    "from_ms": ROWS * 1000 - 3_600_000,
    "stream_id": "room-7",
    "after_ms": -1,
    "after_kind": "",
    "after_key": "",
    "now_ms": ROWS * 1000,
    "class_": "expired",
}
OF_SESSION = {**FACTS, "sequence": "1000007", "limit": runs.ROWS_A_PAGE + 1}
LOOKED = chosen_sessions._LOOKED_SQL.format(
    shared=chosen_sessions._SHARED, fold=chosen_sessions._FOLD, conditions="true", order="DESC"
)
MINUTES = {**FACTS, "from_ms": (ROWS - 60) * 60_000, "most": arrivals.ASIDE_COUNTED_MAX}
QUESTIONS = [
    ("sequences", find._SEQUENCES_SQL, FACTS),
    ("files", find._FILES_SQL, FACTS),
    ("the last stream", find._LAST_STREAM_SQL, FACTS),
    ("quarantine", find._QUARANTINE_SQL, FACTS),
    ("domains", find._DOMAINS_SQL, FACTS),
    ("arrivals of an address", arrivals._ASIDE_SQL.format(conditions="true"), FACTS),
    ("arrivals of a reason", arrivals._ASIDE_SQL.format(conditions="reason = %(class_)s"), FACTS),
    ("the end of what was looked through", arrivals._ASIDE_LOOKED_SQL.format(conditions="true"), FACTS),
    ("minutes", arrivals._MINUTES_SQL, MINUTES),
    ("minutes of what was set aside", arrivals._MINUTES_ASIDE_SQL, {**FACTS, "most": 5000, "from_ms": 0}),
    ("a folded timeline", runs._ROWS_SQL, OF_SESSION),
    ("chosen sessions", LOOKED, {**FACTS, "searched": chosen_sessions.SEARCHED_MAX}),
]


@pytest.fixture(scope="module")
def filled(postgres_server: Any, template_database: str) -> Iterator[Database]:
    with filled_with(FILL, postgres_server.dsn, template_database) as database:
        yield database


@pytest.mark.parametrize(("name", "sql", "facts"), QUESTIONS, ids=[name for name, _, _ in QUESTIONS])
def test_a_page_reads_a_bounded_part_through_an_index(
    name: str, sql: str, facts: dict[str, Any], filled: Database
) -> None:
    with connect(filled, application_name="test") as connection:
        for node in carried_out(connection, sql, facts):
            assert node["Node Type"] != "Seq Scan", (name, node)
            assert rows_of(node, filtered=True) <= READ_MAX, (name, node)
