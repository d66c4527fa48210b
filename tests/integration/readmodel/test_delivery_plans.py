"""Every list about deliveries reads an index in the order it needs, however many deliveries there are."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from streamledger.domain.forensics import DeliveryClass
from streamledger.postgres.connection import connect
from streamledger.postgres.embedded import EmbeddedServer
from streamledger.readmodel.queries.audit import (
    EARLY_DAYS_SQL,
    IN_STREAM,
    LEDGER_DAYS_SQL,
    QUARANTINE_DAYS_SQL,
    STREAM_DAYS_SQL,
    aside_sql,
    ledger_sql,
)
from streamledger.readmodel.queries.deliveries import (
    CARRIED_SQL,
    OF_FIRST_SQL,
    SESSION_SQL,
    DeliveryFilter,
    repeated_sql,
)
from streamledger.readmodel.queries.ledger_scan import _RANGES_SQL
from tests.integration.readmodel.plans import Node, filled_with, nodes

ROWS = 60_000
FACTS: dict[str, Any] = {
    "stream_id": "room-7",
    "sequence": "4007",
    "key": "rotated",
    "source_ip": "192.0.2.9",
    "from_ms": 10_000_000_000_000,
    "to_ms": 10_000_000_000_000 + ROWS * 20,
    "class_": "replay",
    "before": ROWS,
    "first": 49,
    "ranges": 2000,
    "after_ms": 10_000_000_000_000 + ROWS * 500,
    "after_position": ROWS // 2,
    "after_kind": "push_started",
    "after_key": "1",
    "reason": "expired",
    "limit": 51,
}
FILL = f"""
INSERT INTO repeats
SELECT n, n - 1, 'room-' || n % 300, CASE WHEN n % 20 = 0 THEN (4000 + n % 300)::text ELSE '' END, 200,
       10000000000000 + n::bigint * 1000, CASE WHEN n % 400 = 7 THEN 'replay' WHEN n % 300 = 5 THEN 'conflict' ELSE 'retry' END, NULL,
       CASE WHEN n % 1000 = 0 THEN '192.0.2.9' ELSE '192.0.2.7' END, CASE WHEN n % 900 = 0 THEN 'rotated' ELSE 'main' END,
       n % 700 = 0, '{{}}'
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO notifications (first_position, first_ms, source_ip, content, bytes_digest, deliveries, try_ms, tries, tries_min,
                           stream_id, kind, key)
SELECT first_position, received_ms, source_ip, '', 0, 2, received_ms, 0, 0, stream_id, 'screenshot', position::text
FROM repeats;
INSERT INTO timeline (stream_id, kind, key, part, sequence, at_ms, until_ms, position, received_ms, deliveries)
SELECT stream_id, CASE WHEN first_position % 9 = 0 THEN 'push_error' ELSE kind END, key, 0, '4007', first_ms, first_ms,
       first_position, first_ms, 2
FROM notifications;
INSERT INTO sessions (stream_id, sequence, sort_ms, span_from_ms, span_until_ms, sure_from_ms, sure_until_ms,
                      last_sign_ms, newer_ms, reach_ms, witness_until_ms, ended, position, start_known,
                      files_ms, recording_bytes, deliveries, recordings, screenshots, refused)
SELECT 'room-' || n % 300, n::text, n, n, n, n, n, n, n, n, -1, true, n, true, 0, 0, 2, 0, 0, false
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO senders
SELECT n * 60000::bigint, CASE WHEN n % 1000 = 0 THEN '192.0.2.9' ELSE '192.0.2.7' END,
       CASE WHEN n % 900 = 0 THEN 'rotated' ELSE 'main' END, 1, n, n
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO delivery_days SELECT day, 'first', 1 FROM generate_series(1, 20000) AS day;
INSERT INTO quarantine (id, reason, received_at_us, source_ip, body, bytes, stream_id)
SELECT gen_random_uuid(), (ARRAY['expired', 'unsigned'])[1 + n % 2], 10000000000000000 + n::bigint * 1000000, '', '', 0,
       'room-' || n % 300
FROM generate_series(1, {ROWS}) AS n;
"""  # noqa: E501  # one row of literals a line


@pytest.fixture(scope="module")
def filled(postgres_server: EmbeddedServer, template_database: str) -> Iterator[psycopg.Connection[Any]]:
    """A database with enough rows that a wrong plan would be another one; the tests only read it."""
    with (
        filled_with(FILL, postgres_server.dsn, template_database) as database,
        connect(database, application_name="test") as connection,
    ):
        yield connection


def planned(connection: psycopg.Connection[Any], sql: str) -> list[Node]:
    """The nodes of a statement's plan."""
    row = connection.execute("EXPLAIN (FORMAT JSON) " + sql, FACTS).fetchone()
    assert row is not None
    return list(nodes(row[0][0]["Plan"]))


LISTS = (
    (repeated_sql(DeliveryFilter(class_=DeliveryClass.REPLAY)), "repeats_judged_idx"),
    (
        repeated_sql(DeliveryFilter(class_=DeliveryClass.RETRY, stream_id="x")).replace(
            "%(class_)s", "'retry'"
        ),
        "repeats_stream_idx",
    ),
    (OF_FIRST_SQL, "repeats_first_idx"),
    (_RANGES_SQL.format(conditions="source_ip = %(source_ip)s"), "senders_source_idx"),
    (_RANGES_SQL.format(conditions="callback_key = %(key)s"), "senders_key_idx"),
)


def test_every_list_is_read_from_its_index_without_a_sort(filled: psycopg.Connection[Any]) -> None:
    for sql, index in LISTS:
        plan = planned(filled, sql)
        assert [node["Node Type"] for node in plan] == ["Limit", "Index Scan"], sql
        assert plan[1]["Index Name"] == index, sql


@pytest.mark.parametrize("sql", [SESSION_SQL, CARRIED_SQL])
def test_a_sessions_deliveries_are_read_from_indexes(filled: psycopg.Connection[Any], sql: str) -> None:
    plan = planned(filled, sql)
    indexes = {node["Index Name"] for node in plan if "Index Name" in node}
    assert indexes >= {"notifications_pkey", "repeats_first_idx"}
    assert any(name.startswith("timeline_") for name in indexes)
    assert not [node for node in plan if node["Node Type"] == "Seq Scan"]


AUDIT = (
    (LEDGER_DAYS_SQL, "delivery_days"),
    (STREAM_DAYS_SQL, "repeats"),
    (QUARANTINE_DAYS_SQL.format(stream=""), "quarantine"),
    (QUARANTINE_DAYS_SQL.format(stream=IN_STREAM), "quarantine"),
    (ledger_sql("replay"), "repeats_received"),
    (ledger_sql("signed_early"), "repeats_early"),
    (EARLY_DAYS_SQL.format(stream=""), "repeats_early"),
    (ledger_sql("replay", IN_STREAM), "repeats"),
    (aside_sql(), "quarantine"),
    (aside_sql(IN_STREAM), "quarantine"),
)


def test_the_audit_reads_indexes(filled: psycopg.Connection[Any]) -> None:
    for sql, table in AUDIT:
        plan = planned(filled, sql)
        assert [node for node in plan if node.get("Index Name", "").startswith(f"{table}_")], sql
        assert not [node for node in plan if node["Node Type"] == "Seq Scan"], sql
