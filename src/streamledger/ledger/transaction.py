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
    if not batch.quarantined:  # the hot path: one call, one round trip
        if batch.events:
            positions = append.append_events(connection, schema, batch.events, _counts(batch, frozenset()))
            return Stored(positions=positions, kept=frozenset())
        with connection.cursor() as cursor:
            append.add_counts(cursor, _counts(batch, frozenset()))
        return Stored(positions=[], kept=frozenset())
    with connection.transaction():
        with connection.cursor() as cursor:
            append.take_lock(cursor, schema)
            append.insert_quarantined(cursor, batch.quarantined, caps)
            kept = frozenset(row[0] for row in cursor.fetchall())
        counts = _counts(batch, kept)
        if batch.events:
            positions = append.append_events(connection, schema, batch.events, counts)
            return Stored(positions=positions, kept=kept)
        with connection.cursor() as cursor:
            append.add_counts(cursor, counts)
        return Stored(positions=[], kept=kept)


def store_again(
    connection: psycopg.Connection[Any], schema: str, batch: Batch, caps: QuarantineCaps
) -> Stored:
    """Store a batch whose commit may already have happened: what is there by its delivery id is not repeated.

    The lock waits for the earlier transaction, should it still be running, so the look-up sees its end.
    """
    ids = [event.delivery_id for event in batch.events]
    quarantined_ids = [row.delivery_id for row in batch.quarantined]
    with connection.transaction():
        with connection.cursor() as cursor:
            append.take_lock(cursor, schema)
            cursor.execute(append.STORED_SQL, (ids,))
            known: dict[uuid.UUID, int] = dict(cursor.fetchall())
            cursor.execute(append.KEPT_SQL, (quarantined_ids,))
            kept = frozenset(row[0] for row in cursor.fetchall())
        if known or kept:
            # The whole transaction was committed: counters included, capped rows counted.
            return Stored(positions=[known[event_id] for event_id in ids], kept=kept)
        return store(connection, schema, batch, caps)


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
