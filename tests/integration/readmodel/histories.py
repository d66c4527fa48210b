"""Random histories in a ledger, and what its read model's rows are."""

import random
from collections.abc import Sequence
from typing import Any

import psycopg

from streamledger.domain.events import UNCHECKED, Belief, Delivery, NewEvent
from streamledger.ledger import reader
from streamledger.ledger.delivery_id import new_delivery_id
from streamledger.postgres.connection import Database, connect
from streamledger.readmodel.fold.facts import Event, kind_of
from streamledger.readmodel.projections import checkpoints as projection
from streamledger.readmodel.projections.reading import events_and_errors
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.projections.view import Projection, ProjectionView
from streamledger.readmodel.rebuild.building import prepare_session
from streamledger.simulator.delivery import Faults, Signing, body_of, plan
from streamledger.simulator.history import generate, randomness
from streamledger.simulator.truth import Shape
from tests import deliveries

STARTS_AT_MS = 1_713_731_478_000
TROUBLED = Faults(duplicates=0.3, reorder=0.4, altered=0.1)


LATE_S = 100_000
"""After the beginning of a history: when all of it has happened."""


def bodies(seed: int, shape: Shape, *, shuffled: bool = False, late: bool = False) -> list[bytes]:
    """A history's deliveries in the order of their arrival, or in any order; signed as it begins, or late."""
    history = generate(shape, starts_at_ms=STARTS_AT_MS, random=randomness(seed, STARTS_AT_MS, "history"))
    calls = plan(history.facts, TROUBLED, random=randomness(seed, STARTS_AT_MS, "faults"))
    signing = Signing(key="test-key")
    found = [body_of(call, signing, STARTS_AT_MS // 1000 + 600 + late * LATE_S) for call in calls]
    if shuffled:
        random.Random(seed).shuffle(found)
    return found


def event_of(body: bytes, received_at_us: int, key: str | None = None) -> NewEvent:
    """An event as the receiver makes it of a body."""
    believed = UNCHECKED if key is None else Belief("key", key)
    delivery = Delivery(body=body, received_at_us=received_at_us, source_ip="203.0.113.9", believed=believed)
    return deliveries.event_of(delivery, new_delivery_id(received_at_us))


def store(connection: psycopg.Connection[Any], found: Sequence[bytes], *, late: bool = False) -> None:
    """Append deliveries, a few hundred at a time; late, they are believed by a key."""
    began_ms = STARTS_AT_MS + late * LATE_S * 1000
    for start in range(0, len(found), 400):
        events = [
            event_of(body, (began_ms + at) * 1000, "main" if late else None)
            for at, body in enumerate(found[start : start + 400])
        ]
        deliveries.store(connection, events)


def project(
    connection: psycopg.Connection[Any],
    schema: str,
    batch_size: int = 300,
    projections: Sequence[Projection] = PROJECTIONS,
    views: Sequence[ProjectionView] = (),
) -> None:
    """Let the live projections take in what is there, in batches of this size."""
    positions = projection.checkpoints(connection, projections)
    views = views or [each(connection, schema) for each in projections]
    while True:
        after, lagging = projection.laggards(positions, views)
        rows = reader.read_rows_after(connection, after, batch_size)
        if not rows:
            return
        events, unreadable = events_and_errors(rows)
        until = rows[-1][0]
        projection.project(
            connection,
            lagging,
            events,
            after=after,
            until=until,
            now_us=1,
            schema=schema,
            unreadable=unreadable,
        )
        positions.update({each.name: until for each in lagging})


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


def positions(connection: psycopg.Connection[Any]) -> dict[str, int]:
    """How far each projection has come."""
    return dict(connection.execute("SELECT name, position FROM projections").fetchall())


def opened(database: Database, told: Sequence[bytes] = ()) -> psycopg.Connection[Any]:
    """A connection as the runner's; deliveries that are given are stored and projected."""
    connection = connect(database, application_name="test")
    prepare_session(connection)
    if told:
        store(connection, told)
        project(connection, database.schema)
    return connection


class Tally(ProjectionView):
    """A projection that has no way stream by stream: how many deliveries of each kind there were."""

    name = "tally"
    version = 1
    tables = ("tally",)

    def take_in(self, events: Sequence[Event]) -> None:
        """Rows (kind, deliveries)."""
        for event in events:
            self.connection.execute(
                f"INSERT INTO tally{self.suffix} AS t VALUES (%s, 1)"
                " ON CONFLICT (kind) DO UPDATE SET deliveries = t.deliveries + 1",
                (kind_of(event),),
            )


MAKE_TALLY = "CREATE TABLE tally (kind text PRIMARY KEY, deliveries bigint NOT NULL)"
