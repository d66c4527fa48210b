"""Many events into the ledger at COPY speed: numbered under the append's lock, chunk by chunk."""

import uuid
from collections.abc import Sequence
from typing import Any, Final

import psycopg

from streamledger.ledger.append import CHANNEL, NewEvent, take_lock

CHUNK_EVENTS: Final = 5000
"""Numbered in one transaction: live deliveries wait for the lock as long, some 100 ms."""

_COPY_SQL: Final = (
    "COPY ledger_events (originator_id, originator_version, topic, state, delivery_id)"
    " FROM STDIN (FORMAT BINARY)"
)
_KNOWN_SQL: Final = "SELECT delivery_id FROM ledger_events WHERE delivery_id = ANY(%b::uuid[])"
_VERSIONS_SQL: Final = """
SELECT originator_id, (
    SELECT stored.originator_version FROM ledger_events AS stored
    WHERE stored.originator_id = named.originator_id ORDER BY stored.originator_version DESC LIMIT 1)
FROM unnest(%b::text[]) AS named(originator_id)
"""
_COUNT_SQL: Final = (
    "INSERT INTO intake_counters VALUES ('imported', %s)"
    " ON CONFLICT (outcome) DO UPDATE SET count = intake_counters.count + excluded.count"
)


def prepare(connection: psycopg.Connection[Any]) -> None:
    """Settings of a connection that appends so."""
    # The look-ups are by key; statistics of a ledger that was just filled may say otherwise.
    connection.execute("SET enable_seqscan = off")
    connection.execute("SET jit = off")


def store_chunk(connection: psycopg.Connection[Any], schema: str, events: Sequence[NewEvent]) -> int:
    """Append events in their order, but for those whose delivery id is there; returns how many were new."""
    by_id: dict[uuid.UUID, NewEvent] = {}
    for event in events:
        by_id.setdefault(event.delivery_id, event)
    with connection.transaction(), connection.cursor(binary=True) as cursor:
        take_lock(cursor, schema)
        for (known,) in cursor.execute(_KNOWN_SQL, (list(by_id),)).fetchall():
            del by_id[known]
        if not by_id:
            return 0
        named = list({event.originator_id for event in by_id.values()})
        versions = {
            originator: version or 0
            for originator, version in cursor.execute(_VERSIONS_SQL, (named,)).fetchall()
        }
        with cursor.copy(_COPY_SQL) as copy:
            copy.set_types(["text", "int8", "text", "bytea", "uuid"])
            for event in by_id.values():
                version = versions[event.originator_id] + 1
                versions[event.originator_id] = version
                copy.write_row((event.originator_id, version, event.name, event.state, event.delivery_id))
        cursor.execute(_COUNT_SQL, (len(by_id),))
        cursor.execute("SELECT pg_notify(%s, '')", (f"{CHANNEL}_{schema}",))
    return len(by_id)
