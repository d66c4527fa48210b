"""The append: statements that store a batch and number it, under the lock that keeps positions in order.

Positions come from a sequence before the commit. Without serialisation a reader "after position X"
would skip what commits late, so every writer holds one advisory transaction lock while it takes them
(ADR 0004; the gap test shows what happens without it).
"""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import psycopg

CHANNEL: Final = "ledger_events"
"""NOTIFY channel, with the schema's name behind it."""

APPEND_SQL: Final = (
    "SELECT append_events(%b, %b, %b::text[], %b::text[], %b::bytea[], %b::uuid[], %b::text[], %b::int8[])"
)
"""The append, whole: postgres/migrations/0001_ledger.sql has its statements, and their reasons."""

QUARANTINE_SQL: Final = """
WITH incoming AS (
    SELECT row.*,
           row_number() OVER (PARTITION BY budget ORDER BY ordinal) AS rows_before,
           sum(octet_length(body)) OVER (PARTITION BY budget ORDER BY ordinal) AS bytes_before
    FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::int8[], %b::text[], %b::bytea[],
                %b::int8[], %b::text[], %b::text[], %b::text[], %b::text[])
    WITH ORDINALITY AS row(id, budget, reason, received_at_us, source_ip, body,
                           event_type, stream_id, sequence, key, detail, ordinal)
), kept AS (
    INSERT INTO quarantine (id, reason, received_at_us, source_ip, body, bytes,
                            event_type, stream_id, sequence, key, detail)
    SELECT id, reason, received_at_us, source_ip, body, octet_length(body),
           event_type, stream_id, sequence, key, detail
    FROM incoming
    JOIN quarantine_usage AS usage USING (budget)
    JOIN unnest(%b::text[], %b::int8[], %b::int8[]) AS cap(budget, rows_max, bytes_max) USING (budget)
    WHERE usage.rows + rows_before <= rows_max AND usage.bytes + bytes_before <= bytes_max
    ORDER BY ordinal
    RETURNING id, bytes
), used AS (
    UPDATE quarantine_usage AS usage SET rows = usage.rows + more.rows, bytes = usage.bytes + more.bytes
    FROM (SELECT budget, count(*) AS rows, sum(kept.bytes) AS bytes
          FROM kept JOIN incoming USING (id) GROUP BY budget) AS more
    WHERE usage.budget = more.budget
)
SELECT id FROM kept
"""

COUNT_SQL: Final = """
INSERT INTO intake_counters (outcome, count)
SELECT * FROM unnest(%b::text[], %b::int8[])
ON CONFLICT (outcome) DO UPDATE SET count = intake_counters.count + excluded.count
"""

STORED_SQL: Final = (
    "SELECT delivery_id, notification_id FROM ledger_events WHERE delivery_id = ANY(%b::uuid[])"
)
KEPT_SQL: Final = "SELECT id FROM quarantine WHERE id = ANY(%b::uuid[])"

SIGNED_REASONS: Final = frozenset({"expired", "too_far_ahead"})


class NewEvent(msgspec.Struct, frozen=True):
    """An event to be appended; position and version are given by the append."""

    originator_id: str
    name: str
    state: bytes
    delivery_id: uuid.UUID


class NewQuarantined(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery to be kept apart. `reason` is one of the table in docs/security.md."""

    delivery_id: uuid.UUID
    reason: str
    received_at_us: int
    source_ip: str
    body: bytes
    event_type: int | None = None
    stream_id: str | None = None
    sequence: str | None = None
    key: str | None = None
    detail: str | None = None

    @property
    def budget(self) -> str:
        """Whose cap counts: strangers' refused deliveries never use up the room of signed ones."""
        return "signed" if self.reason in SIGNED_REASONS else "refused"


class QuarantineCaps(msgspec.Struct, frozen=True, kw_only=True):
    """How much the quarantine may hold, by budget."""

    refused_rows_max: int
    refused_bytes_max: int
    signed_rows_max: int
    signed_bytes_max: int


def lock_key(schema: str) -> int:
    """The advisory lock that every writer of the ledger in this schema takes, as a signed 64-bit number."""
    digest = hashlib.blake2b(f"streamledger append {schema}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def take_lock(cursor: psycopg.Cursor[Any], schema: str) -> None:
    """Wait for the append lock; it is held until the transaction ends."""
    cursor.execute("SELECT pg_advisory_xact_lock(%b)", (lock_key(schema),))


def append_events(
    connection: psycopg.Connection[Any], schema: str, events: Sequence[NewEvent], counts: Mapping[str, int]
) -> list[int]:
    """Append events in the given order and add to the counters; returns the positions.

    One round trip; a transaction of its own unless one is open. Takes the append lock itself.
    """
    with connection.cursor(binary=True) as cursor:
        cursor.execute(
            APPEND_SQL,
            (
                lock_key(schema),
                f"{CHANNEL}_{schema}",
                [event.originator_id for event in events],
                [event.name for event in events],
                [event.state for event in events],
                [event.delivery_id for event in events],
                list(counts),
                list(counts.values()),
            ),
            prepare=True,
        )
        row = cursor.fetchone()
    return row[0] if row else []


def insert_quarantined(
    cursor: psycopg.Cursor[Any], rows: Sequence[NewQuarantined], caps: QuarantineCaps
) -> None:
    """Insert what the caps allow; the cursor then yields the ids that were kept, one row each."""
    cursor.execute(
        QUARANTINE_SQL,
        (
            [row.delivery_id for row in rows],
            [row.budget for row in rows],
            [row.reason for row in rows],
            [row.received_at_us for row in rows],
            [row.source_ip for row in rows],
            [row.body for row in rows],
            [row.event_type for row in rows],
            [row.stream_id for row in rows],
            [row.sequence for row in rows],
            [row.key for row in rows],
            [row.detail for row in rows],
            ["refused", "signed"],
            [caps.refused_rows_max, caps.signed_rows_max],
            [caps.refused_bytes_max, caps.signed_bytes_max],
        ),
    )


def add_counts(cursor: psycopg.Cursor[Any], counts: Mapping[str, int]) -> None:
    """Add to the intake counters, in name order so that two writers never deadlock."""
    outcomes = sorted(counts)
    cursor.execute(COUNT_SQL, (outcomes, [counts[outcome] for outcome in outcomes]))
