"""Random histories in a ledger, and what its read model's rows are."""

import random
from collections.abc import Sequence
from typing import Any

import psycopg

from streamledger.domain.events import Delivery, event_name, originator_of
from streamledger.ledger import mapper, reader, transaction
from streamledger.ledger.append import NewEvent, QuarantineCaps
from streamledger.ledger.delivery_id import new_delivery_id
from streamledger.ledger.transaction import Batch
from streamledger.postgres.connection import Database, connect
from streamledger.readmodel import projection
from streamledger.readmodel.facts import Fact
from streamledger.readmodel.projection import Projection
from streamledger.readmodel.rebuild.building import prepare_session
from streamledger.readmodel.session_projection import PROJECTIONS
from streamledger.simulator.delivery import Faults, Signing, body_of, plan
from streamledger.simulator.history import generate, randomness
from streamledger.simulator.truth import Shape
from streamledger.tencent.envelope import read_envelope

STARTS_AT_MS = 1_713_731_478_000
TROUBLED = Faults(duplicates=0.3, reorder=0.4, altered=0.1)
CAPS = QuarantineCaps(refused_rows_max=0, refused_bytes_max=0, signed_rows_max=0, signed_bytes_max=0)


def bodies(seed: int, shape: Shape, *, shuffled: bool = False) -> list[bytes]:
    """A history's deliveries in the order of their arrival, or in any order."""
    history = generate(shape, starts_at_ms=STARTS_AT_MS, random=randomness(seed, STARTS_AT_MS, "history"))
    calls = plan(history.facts, TROUBLED, random=randomness(seed, STARTS_AT_MS, "faults"))
    signing = Signing(key="test-key")
    found = [body_of(call, signing, STARTS_AT_MS // 1000 + 600) for call in calls]
    if shuffled:
        random.Random(seed).shuffle(found)
    return found


def event_of(body: bytes, received_at_us: int) -> NewEvent:
    """An event as the receiver makes it of a body."""
    envelope = read_envelope(body)
    return NewEvent(
        originator_of(envelope.stream_id, envelope.event_type),
        event_name(envelope.event_type),
        mapper.encode(Delivery(body=body, received_at_us=received_at_us, source_ip="203.0.113.9")),
        new_delivery_id(received_at_us),
    )


def store(connection: psycopg.Connection[Any], schema: str, found: Sequence[bytes]) -> None:
    """Append deliveries, a few hundred at a time."""
    for start in range(0, len(found), 400):
        events = [
            event_of(body, (STARTS_AT_MS + at) * 1000) for at, body in enumerate(found[start : start + 400])
        ]
        transaction.store(connection, schema, Batch(events=events), CAPS)


def project(
    connection: psycopg.Connection[Any],
    schema: str,
    batch_size: int = 300,
    projections: Sequence[Projection] = PROJECTIONS,
) -> None:
    """Let the live projections take in what is there, in batches of this size."""
    positions = projection.checkpoints(connection, projections)
    while True:
        after, lagging = projection.laggards(positions, projections)
        rows = reader.read_rows_after(connection, after, batch_size)
        if not rows:
            return
        events, undecoded = reader.events_and_errors(rows)
        position = projection.project(
            connection, lagging, events, after=after, now_us=1, schema=schema, undecoded=undecoded
        )
        positions.update({each.name: position for each in lagging})


def rows_of(connection: psycopg.Connection[Any], suffix: str = "") -> dict[str, list[Any]]:
    """All rows of all projections' tables, in an order of their own."""
    tables = [table for each in PROJECTIONS for table in each.tables]
    return {
        table: sorted(
            row[0]
            for row in connection.execute(f"SELECT to_jsonb(r)::text FROM {table}{suffix} AS r").fetchall()
        )
        for table in tables
    }


def digests(connection: psycopg.Connection[Any]) -> dict[str, tuple[int, str]]:
    """Position and digest of each projection."""
    rows = connection.execute("SELECT name, position, digest::text FROM projections").fetchall()
    return {name: (position, digest) for name, position, digest in rows}


def opened(database: Database) -> psycopg.Connection[Any]:
    """A connection as the runner's."""
    connection = connect(database, application_name="test")
    prepare_session(connection)
    return connection


class Tally:
    """A projection that has no way stream by stream: how many deliveries of each kind there were."""

    name = "tally"
    version = 1
    tables: Sequence[str] = ("tally",)

    def take_in(self, connection: psycopg.Connection[Any], facts: Sequence[Fact], suffix: str = "") -> int:
        """Rows (kind, deliveries); the digest is their sum."""
        for fact in facts:
            connection.execute(
                f"INSERT INTO tally{suffix} AS t VALUES (%s, 1)"
                " ON CONFLICT (kind) DO UPDATE SET deliveries = t.deliveries + 1",
                (fact.notification.kind.value,),
            )
        return len(facts)


MAKE_TALLY = "CREATE TABLE tally (kind text PRIMARY KEY, deliveries bigint NOT NULL)"
