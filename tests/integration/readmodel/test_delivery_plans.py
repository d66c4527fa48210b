"""Every list about deliveries reads an index in the order it needs, however many deliveries there are."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from streamledger.domain.forensics import DeliveryClass
from streamledger.postgres.connection import connect
from streamledger.postgres.embedded import EmbeddedServer
from streamledger.readmodel.audit_queries import (
    EARLY_DAYS_SQL,
    IN_STREAM,
    LEDGER_DAYS_SQL,
    QUARANTINE_DAYS_SQL,
    STREAM_DAYS_SQL,
    aside_sql,
    ledger_sql,
)
from streamledger.readmodel.delivery_queries import SESSION_SQL, DeliveryFilter, list_sql
from tests.conftest import clone

ROWS = 60_000
FACTS: dict[str, Any] = {
    "stream_id": "room-7",
    "sequence": "4007",
    "key": "rotated",
    "source_ip": "192.0.2.9",
    "from_ms": 10_000_000_000_000,
    "to_ms": 10_000_000_000_000 + ROWS * 20,
    "after_ms": 10_000_000_000_000 + ROWS * 500,
    "after_position": ROWS // 2,
    "after_kind": "push_started",
    "after_key": "1",
    "reason": "expired",
    "limit": 51,
}
FILL = f"""
INSERT INTO deliveries
SELECT n, CASE WHEN n % 50 = 0 THEN n - 1 ELSE n END, 'room-' || n % 300,
       CASE WHEN n % 20 = 0 THEN (4000 + n % 300)::text ELSE '' END, 200, 10000000000000 + n::bigint * 1000,
       CASE WHEN n % 50 = 0 THEN (ARRAY['retry', 'replay', 'conflict', 'late_retry'])[1 + n / 50 % 4] ELSE 'first' END,
       NULL, CASE WHEN n % 1000 = 0 THEN '192.0.2.9' ELSE '192.0.2.7' END,
       CASE WHEN n % 900 = 0 THEN 'rotated' ELSE 'main' END, n % 700 = 0, '{{}}',
       CASE WHEN n % 50 = 0 THEN md5('screenshot' || n - 1)::uuid ELSE md5('screenshot' || n)::uuid END
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO notifications
SELECT stream_id, 'screenshot', position::text, position, received_ms, source_ip, '', 0, NULL, NULL, 1, received_ms, 0, 0, NULL
FROM deliveries WHERE position = first_position;
INSERT INTO timeline
SELECT stream_id, kind, key, '4007', first_ms, first_ms, first_position, first_ms, 1, ''
FROM notifications;
INSERT INTO delivery_days SELECT day, 'first', 1 FROM generate_series(1, 20000) AS day;
INSERT INTO quarantine (id, reason, received_at_us, source_ip, body, bytes, stream_id)
SELECT gen_random_uuid(), (ARRAY['expired', 'unsigned'])[1 + n % 2], 10000000000000000 + n::bigint * 1000000, '', '', 0,
       'room-' || n % 300
FROM generate_series(1, {ROWS}) AS n;
ANALYZE;
"""  # noqa: E501  # one row of literals a line


@pytest.fixture(scope="module")
def filled(postgres_server: EmbeddedServer, template_database: str) -> Iterator[psycopg.Connection[Any]]:
    """A database with enough rows that a wrong plan would be another one; the tests only read it."""
    with (
        clone(postgres_server.dsn, template_database) as database,
        connect(database, application_name="test") as connection,
    ):
        connection.execute(FILL)
        yield connection


def nodes(connection: psycopg.Connection[Any], sql: str) -> list[dict[str, Any]]:
    """The nodes of a statement's plan."""
    row = connection.execute("EXPLAIN (FORMAT JSON) " + sql, FACTS).fetchone()
    assert row is not None
    plans = row[0] if isinstance(row[0], list) else json.loads(row[0])
    found: list[dict[str, Any]] = []
    open_nodes = [plans[0]["Plan"]]
    while open_nodes:
        node = open_nodes.pop()
        found.append(node)
        open_nodes += node.get("Plans", [])
    return found


LISTS = (
    (DeliveryFilter(), "deliveries_received_idx"),
    (DeliveryFilter(from_ms=1, to_ms=2), "deliveries_received_idx"),
    (DeliveryFilter(class_=DeliveryClass.FIRST), "deliveries_received_idx"),
    (DeliveryFilter(class_=DeliveryClass.REPLAY), "deliveries_judged_idx"),
    (DeliveryFilter(class_=DeliveryClass.CONFLICT, from_ms=1), "deliveries_judged_idx"),
    (DeliveryFilter(stream_id="x"), "deliveries_stream_idx"),
    (DeliveryFilter(sequence="x"), "deliveries_sequence_idx"),
    (DeliveryFilter(key="x"), "deliveries_key_idx"),
    (DeliveryFilter(source_ip="x"), "deliveries_source_idx"),
)


def test_every_list_is_read_from_its_index_without_a_sort(filled: psycopg.Connection[Any]) -> None:
    for (wanted, index), goes_on in itertools.product(LISTS, (False, True)):
        plan = nodes(filled, list_sql(wanted, goes_on=goes_on))
        # What stands at one place of the index, a millisecond or a sender's second, is sorted when read.
        plan = [node for node in plan if node["Node Type"] != "Incremental Sort"]
        assert [node["Node Type"] for node in plan] == ["Limit", "Index Scan"], wanted
        assert plan[1]["Index Name"] == index, wanted


def test_a_sessions_deliveries_are_read_from_indexes(filled: psycopg.Connection[Any]) -> None:
    plan = nodes(filled, SESSION_SQL)
    indexes = {node["Index Name"] for node in plan if "Index Name" in node}
    assert indexes >= {"deliveries_identity_idx", "deliveries_pkey", "deliveries_repeated_idx"}
    assert any(name.startswith("timeline_") for name in indexes)
    assert not [node for node in plan if node["Node Type"] == "Seq Scan"]


AUDIT = (
    (LEDGER_DAYS_SQL, "delivery_days"),
    (STREAM_DAYS_SQL, "deliveries"),
    (QUARANTINE_DAYS_SQL.format(stream=""), "quarantine"),
    (QUARANTINE_DAYS_SQL.format(stream=IN_STREAM), "quarantine"),
    (ledger_sql("replay"), "deliveries"),
    (ledger_sql("signed_early"), "deliveries_early"),
    (EARLY_DAYS_SQL.format(stream=""), "deliveries_early"),
    (ledger_sql("replay", IN_STREAM), "deliveries"),
    (aside_sql(), "quarantine"),
    (aside_sql(IN_STREAM), "quarantine"),
)


def test_the_audit_reads_indexes(filled: psycopg.Connection[Any]) -> None:
    for sql, table in AUDIT:
        plan = nodes(filled, sql)
        assert [node for node in plan if node.get("Index Name", "").startswith(f"{table}_")], sql
        assert not [node for node in plan if node["Node Type"] == "Seq Scan"], sql
