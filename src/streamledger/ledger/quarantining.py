"""Keeping deliveries apart: rows of the quarantine, as many as the caps allow, and the intake's counters."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import psycopg

from streamledger.domain.events import NO_HEADERS, RequestHeaders

QUARANTINE_SQL: Final = """
WITH incoming AS (
    SELECT row.*,
           row_number() OVER (PARTITION BY budget ORDER BY ordinal) AS rows_before,
           sum(octet_length(body)) OVER (PARTITION BY budget ORDER BY ordinal) AS bytes_before
    FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::int8[], %b::text[], %b::text[], %b::bytea[],
                %b::int8[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[])
    WITH ORDINALITY AS row(id, budget, reason, received_at_us, source_ip, headers, body,
                           event_type, stream_id, sequence, key, mended, detail, ordinal)
), kept AS (
    INSERT INTO quarantine (id, reason, received_at_us, source_ip, headers, body, bytes,
                            event_type, stream_id, sequence, key, mended, detail)
    SELECT id, reason, received_at_us, source_ip, headers, body, octet_length(body),
           event_type, stream_id, sequence, key, mended, detail
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
KEPT_SQL: Final = "SELECT id FROM quarantine WHERE id = ANY(%b::uuid[])"
HOLD_SQL: Final = "SELECT budget FROM quarantine_usage ORDER BY budget FOR UPDATE"

COUNT_SQL: Final = """
INSERT INTO intake_counters (outcome, count)
SELECT outcome, count FROM unnest(%b::text[], %b::int8[]) AS counted(outcome, count)
ON CONFLICT (outcome) DO UPDATE SET count = intake_counters.count + excluded.count
"""

SIGNED_REASONS: Final = frozenset({"expired", "too_far_ahead"})

_encode = msgspec.json.Encoder().encode


class NewQuarantined(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery to be kept apart. `reason` is one of the table in docs/security.md."""

    delivery_id: uuid.UUID
    reason: str
    received_at_us: int
    source_ip: str
    body: bytes
    headers: RequestHeaders = NO_HEADERS
    mended: tuple[str, ...] = ()
    event_type: int | None = None
    stream_id: str | None = None
    sequence: str | None = None
    key: str | None = None
    detail: str | None = None

    @property
    def budget(self) -> str:
        """Whose cap counts: strangers' refused deliveries never use up the room of signed ones."""
        return budget_of(self.reason)


class QuarantineCaps(msgspec.Struct, frozen=True, kw_only=True):
    """How much the quarantine may hold, by budget."""

    refused_rows_max: int
    refused_bytes_max: int
    signed_rows_max: int
    signed_bytes_max: int


def budget_of(reason: str) -> str:
    """The budget of deliveries that are set aside for this reason."""
    return "signed" if reason in SIGNED_REASONS else "refused"


def hold(cursor: psycopg.Cursor[Any]) -> None:
    """Wait for the quarantine's lock, held until the transaction ends: everybody who changes it takes it.

    A transaction that appends too takes it before the append takes the ledger's head.
    """
    cursor.execute(HOLD_SQL)


def insert_quarantined(
    cursor: psycopg.Cursor[Any], rows: Sequence[NewQuarantined], caps: QuarantineCaps
) -> frozenset[uuid.UUID]:
    """Insert what the caps allow, under `hold`; returns the ids that were kept."""
    cursor.execute(
        QUARANTINE_SQL,
        (
            [row.delivery_id for row in rows],
            [row.budget for row in rows],
            [row.reason for row in rows],
            [row.received_at_us for row in rows],
            [row.source_ip for row in rows],
            [_encode(row.headers).decode() for row in rows],
            [row.body for row in rows],
            [row.event_type for row in rows],
            [row.stream_id for row in rows],
            [row.sequence for row in rows],
            [row.key for row in rows],
            [_encode(row.mended).decode() for row in rows],
            [row.detail for row in rows],
            ["refused", "signed"],
            [caps.refused_rows_max, caps.signed_rows_max],
            [caps.refused_bytes_max, caps.signed_bytes_max],
        ),
    )
    return frozenset(row[0] for row in cursor.fetchall())


def kept_among(cursor: psycopg.Cursor[Any], rows: Sequence[NewQuarantined]) -> frozenset[uuid.UUID]:
    """The ids of these rows that are in the quarantine already."""
    cursor.execute(KEPT_SQL, ([row.delivery_id for row in rows],))
    return frozenset(row[0] for row in cursor.fetchall())


def waiting(connection: psycopg.Connection[Any]) -> int:
    """How many deliveries are set aside and not released, by the count that the budgets keep."""
    row = connection.execute(
        "SELECT sum(rows)::int8 FROM quarantine_usage WHERE budget <> 'released'"
    ).fetchone()
    return row[0] or 0 if row else 0


def add_counts(cursor: psycopg.Cursor[Any], counts: Mapping[str, int]) -> None:
    """Add to the intake counters, in name order so that two writers never deadlock."""
    outcomes = sorted(counts)
    cursor.execute(COUNT_SQL, (outcomes, [counts[outcome] for outcome in outcomes]))
