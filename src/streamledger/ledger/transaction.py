"""One transaction of the writer: events, quarantined deliveries and counters together, in one round trip."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import psycopg

from streamledger.ledger import append
from streamledger.ledger.append import NewEvent, NewQuarantined, QuarantineCaps


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What one transaction stores."""

    events: Sequence[NewEvent] = ()
    quarantined: Sequence[NewQuarantined] = ()
    counts: Mapping[str, int] = {}
    """Refusals that leave nothing but a count, by outcome."""


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch."""

    positions: Sequence[int]
    """Of the events, in their order."""
    kept: frozenset[uuid.UUID]
    """Ids of the quarantined deliveries that fitted under the caps."""


def store(connection: psycopg.Connection[Any], schema: str, batch: Batch, caps: QuarantineCaps) -> Stored:
    """Store a batch, or nothing of it. Returns after the commit is on disk.

    Raises psycopg.Error; after a connection error nobody knows whether it was committed.
    """
    return _transaction(connection, schema, batch, caps, known={}, kept=frozenset())


def store_again(
    connection: psycopg.Connection[Any], schema: str, batch: Batch, caps: QuarantineCaps
) -> Stored:
    """Store a batch whose commit may already have happened: what is there by its delivery id is not repeated.

    The lock waits for the earlier transaction, should it still be running, so the look-up sees its end.
    """
    ids = [event.delivery_id for event in batch.events]
    quarantined_ids = [row.delivery_id for row in batch.quarantined]
    with connection.transaction(), connection.cursor() as cursor:
        append.take_lock(cursor, schema)
        cursor.execute(append.STORED_SQL, (ids,))
        known: dict[uuid.UUID, int] = dict(cursor.fetchall())
        cursor.execute(append.KEPT_SQL, (quarantined_ids,))
        kept = frozenset(row[0] for row in cursor.fetchall())
        if known or kept:
            # The whole transaction was committed: counters included, capped rows counted.
            return Stored(positions=[known[event_id] for event_id in ids], kept=kept)
        return _transaction(connection, schema, batch, caps, known=known, kept=kept)


def _transaction(
    connection: psycopg.Connection[Any],
    schema: str,
    batch: Batch,
    caps: QuarantineCaps,
    *,
    known: Mapping[uuid.UUID, int],
    kept: frozenset[uuid.UUID],
) -> Stored:
    positions: list[int] = []
    kept_now: frozenset[uuid.UUID] = kept
    with connection.transaction():
        if batch.quarantined:
            # Its outcome decides what is counted, so it cannot share the round trip of the counters.
            with connection.cursor() as cursor:
                append.take_lock(cursor, schema)
                append.insert_quarantined(cursor, batch.quarantined, caps)
                kept_now = frozenset(row[0] for row in cursor.fetchall())
        counts = _counts(batch, kept_now)
        with connection.pipeline(), connection.cursor() as cursor, connection.cursor() as inserted:
            if batch.events:
                if not batch.quarantined:
                    append.take_lock(cursor, schema)
                append.insert_events(inserted, batch.events)
                cursor.execute("SELECT pg_notify(%b, '')", (f"{append.CHANNEL}_{schema}",))
            append.add_counts(cursor, counts)
            if batch.events:
                positions = [row[0] for row in inserted.fetchall()]
    return Stored(positions=positions, kept=kept_now)


def _counts(batch: Batch, kept: frozenset[uuid.UUID]) -> dict[str, int]:
    counts = dict(batch.counts)
    received = sum(batch.counts.values()) + len(batch.quarantined) + len(batch.events)
    counts["received"] = received
    if batch.events:
        counts["ledger"] = len(batch.events)
    for row in batch.quarantined:
        outcome = f"{'quarantine' if row.delivery_id in kept else 'refused'}:{row.reason}"
        counts[outcome] = counts.get(outcome, 0) + 1
    return counts
