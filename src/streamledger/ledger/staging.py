"""Many events into the ledger at COPY speed: staged without a lock, numbered under it, chunk by chunk."""

from collections.abc import Sequence
from typing import Any, Final

import psycopg

from streamledger.ledger.append import CHANNEL, NewEvent, lock_key

CHUNK_EVENTS: Final = 5000
"""Numbered in one transaction: live deliveries wait for the lock as long, some 100 ms."""

_MAKE_SQL: Final = """
CREATE TEMPORARY TABLE IF NOT EXISTS staged_events (
    ordinal bigint NOT NULL, originator_id text NOT NULL, topic text NOT NULL,
    state bytea NOT NULL, delivery_id uuid NOT NULL
) ON COMMIT DELETE ROWS
"""
_COPY_SQL: Final = (
    "COPY staged_events (ordinal, originator_id, topic, state, delivery_id) FROM STDIN (FORMAT BINARY)"
)
_INSERT_SQL: Final = """
WITH fresh AS (
    SELECT DISTINCT ON (delivery_id) * FROM staged_events AS staged
    WHERE NOT EXISTS (SELECT FROM ledger_events AS stored WHERE stored.delivery_id = staged.delivery_id)
    ORDER BY delivery_id, ordinal
), heads AS (
    SELECT originator_id, coalesce((
        SELECT stored.originator_version FROM ledger_events AS stored
        WHERE stored.originator_id = named.originator_id
        ORDER BY stored.originator_version DESC LIMIT 1), 0) AS head
    FROM (SELECT DISTINCT originator_id FROM fresh) AS named
)
INSERT INTO ledger_events (originator_id, originator_version, topic, state, delivery_id)
SELECT originator_id, head + row_number() OVER (PARTITION BY originator_id ORDER BY ordinal),
       topic, state, delivery_id
FROM fresh JOIN heads USING (originator_id)
ORDER BY ordinal
"""
_COUNT_SQL: Final = (
    "INSERT INTO intake_counters VALUES ('imported', %s)"
    " ON CONFLICT (outcome) DO UPDATE SET count = intake_counters.count + excluded.count"
)


def prepare(connection: psycopg.Connection[Any]) -> None:
    """Make the staging table, which is this connection's own and gone with it."""
    connection.execute(_MAKE_SQL)
    # The look-ups are by key; statistics of a ledger that was just filled may say otherwise.
    connection.execute("SET enable_seqscan = off")
    connection.execute("SET jit = off")


def store_chunk(connection: psycopg.Connection[Any], schema: str, events: Sequence[NewEvent]) -> int:
    """Append events in their order, but for those whose delivery id is there; returns how many were new."""
    with connection.transaction(), connection.cursor() as cursor:
        with cursor.copy(_COPY_SQL) as copy:
            copy.set_types(["int8", "text", "text", "bytea", "uuid"])
            for ordinal, event in enumerate(events):
                copy.write_row((ordinal, event.originator_id, event.name, event.state, event.delivery_id))
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (lock_key(schema),))
        cursor.execute(_INSERT_SQL)
        stored = cursor.rowcount
        cursor.execute(_COUNT_SQL, (stored,))
        cursor.execute("SELECT pg_notify(%s, '')", (f"{CHANNEL}_{schema}",))
    return stored
