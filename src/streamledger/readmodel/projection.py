"""What a projection is, and how several take in one batch: rows and checkpoints in one transaction."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Protocol

import psycopg

from streamledger.domain.errors import StreamledgerError
from streamledger.domain.events import LedgerEvent, is_notification
from streamledger.ledger import reader
from streamledger.readmodel import parking
from streamledger.readmodel.facts import Event, Fact, fact_of, read_event

PROJECTED_CHANNEL: Final = "projected"
"""NOTIFY channel, with the schema's name behind it: a batch has been taken in."""


class ProjectionMoved(StreamledgerError):
    """the projection {name} is at position {found}, not at {expected}: another runner is at work"""


class Projection(Protocol):
    """A pure function of the ledger, kept in tables of its own."""

    @property
    def name(self) -> str:
        """Of the row in `projections`."""

    @property
    def version(self) -> int:
        """Raised whenever the same history would give other rows: a rebuild is then due."""

    @property
    def tables(self) -> Sequence[str]:
        """The tables that it alone writes, without the suffix of a generation."""

    def take_in(self, connection: psycopg.Connection[Any], events: Sequence[Event], suffix: str = "") -> int:
        """Fold events, in order, into one generation's tables; returns what they add to the digest."""


def read_facts(events: Iterable[LedgerEvent]) -> list[Fact]:
    """The notifications among the events, read. What administrators did is in the ledger too, but no fact."""
    return [fact_of(event.position, event.delivery) for event in events if is_notification(event.name)]


def events_and_errors(rows: Iterable[reader.Row]) -> tuple[list[Event], dict[int, str]]:
    """The events of ledger rows, read, and position to error of those that cannot be read."""
    found, errors = reader.events_and_errors(rows)
    events, more = _read_each(found)
    return events, errors | more


def _read_each(found: Iterable[LedgerEvent]) -> tuple[list[Event], dict[int, str]]:
    events: list[Event] = []
    errors: dict[int, str] = {}
    for each in found:
        if not is_notification(each.name):
            continue
        try:
            events.append(read_event(each.position, each.name, each.originator_id, each.delivery))
        except StreamledgerError as error:
            errors[each.position] = f"{type(error).__name__}: {error}"
    return events, errors


def checkpoints(connection: psycopg.Connection[Any], projections: Sequence[Projection]) -> dict[str, int]:
    """The position that each projection has taken in; rows are made where there are none."""
    for projection in projections:
        connection.execute(
            "INSERT INTO projections (name, fold_version) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            (projection.name, projection.version),
        )
    return positions_of(connection, projections)


def positions_of(connection: psycopg.Connection[Any], projections: Sequence[Projection]) -> dict[str, int]:
    """The position that each projection has taken in, of those that have begun."""
    names = [projection.name for projection in projections]
    rows = connection.execute("SELECT name, position FROM projections WHERE name = ANY(%s)", (names,))
    return {name: int(position) for name, position in rows.fetchall()}


def locked_positions(
    connection: psycopg.Connection[Any], projections: Sequence[Projection]
) -> dict[str, int]:
    """The position of each projection, locked in their order: until the transaction ends the runner waits."""
    found = {}
    for projection in projections:
        row = connection.execute(
            "SELECT position FROM projections WHERE name = %s FOR UPDATE", (projection.name,)
        ).fetchone()
        found[projection.name] = int(row[0]) if row else 0
    return found


def project(
    connection: psycopg.Connection[Any],
    projections: Sequence[Projection],
    events: Sequence[LedgerEvent],
    *,
    after: int,
    now_us: int,
    schema: str,
    undecoded: Mapping[int, str] = MappingProxyType({}),
) -> int:
    """Let projections that are all at `after` take a batch in, exactly once; returns the new position.

    What cannot be read or taken in is parked; `undecoded` is position to error of the batch's events that
    are not among `events`. Raises ProjectionMoved when a checkpoint is elsewhere: then somebody else has
    moved it.
    """
    read, unread = _read_each(events)
    unreadable = {**undecoded, **unread}
    position = max([*undecoded, *(event.position for event in events[-1:])])
    with connection.transaction():
        for projection in projections:
            row = connection.execute(
                "SELECT position FROM projections WHERE name = %s FOR UPDATE", (projection.name,)
            ).fetchone()
            if row is None or row[0] != after:
                raise ProjectionMoved(name=projection.name, found=row[0] if row else None, expected=after)
            digest, errors = parking.take_in_or_park(connection, projection, read)
            parking.park(connection, projection, unreadable | errors, now_us)
            connection.execute(
                "UPDATE projections SET position = %s, caught_up_at_us = %s,"
                " digest = mod(digest + %s, 18446744073709551616) WHERE name = %s",
                (position, now_us, digest, projection.name),
            )
        connection.execute("SELECT pg_notify(%s, '')", (f"{PROJECTED_CHANNEL}_{schema}",))
    return position


def laggards(positions: Mapping[str, int], projections: Sequence[Projection]) -> tuple[int, list[Projection]]:
    """The lowest position, and the projections that stand there: they share the next read."""
    lowest = min(positions[projection.name] for projection in projections)
    return lowest, [projection for projection in projections if positions[projection.name] == lowest]
