"""How far each projection has come, and how several take a batch in: rows and checkpoints together."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import psycopg

from streamledger.domain.errors import StreamledgerError
from streamledger.readmodel.fold.facts import Event
from streamledger.readmodel.projections import parking
from streamledger.readmodel.projections.view import PROJECTED_CHANNEL, Projection, ProjectionView


class ProjectionMoved(StreamledgerError):
    """the projection {name} is at position {found}, not at {expected}: another runner is at work"""


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


def touch(connection: psycopg.Connection[Any], projections: Sequence[Projection]) -> None:
    """Say that rows were written by somebody else than the runner: it reads anew what it has in memory."""
    connection.execute(
        "UPDATE projections SET edition = edition + 1 WHERE name = ANY(%s)",
        ([projection.name for projection in projections],),
    )


def project(
    connection: psycopg.Connection[Any],
    views: Sequence[ProjectionView],
    events: Sequence[Event],
    *,
    after: int,
    until: int,
    now_us: int,
    schema: str,
    unreadable: Mapping[int, str] = MappingProxyType({}),
) -> None:
    """Let views that are all at `after` take a batch in up to `until`, exactly once.

    What cannot be taken in is parked, and so are the batch's `unreadable` events, position to error. Raises
    ProjectionMoved when a checkpoint is elsewhere: then somebody else has moved it.
    """
    try:
        with connection.transaction():
            for view in views:
                row = connection.execute(
                    "SELECT position, edition FROM projections WHERE name = %s FOR UPDATE", (view.name,)
                ).fetchone()
                if row is None or row[0] != after:
                    raise ProjectionMoved(name=view.name, found=row[0] if row else None, expected=after)
                view.is_of_edition(row[1])
                errors = parking.take_in_or_park(view, events)
                parking.park(connection, view, {**unreadable, **errors}, now_us)
                view.track(until)
            connection.execute(
                "UPDATE projections SET caught_up_at_us = %s WHERE name = ANY(%s)",
                (now_us, [view.name for view in views]),
            )
            connection.execute("SELECT pg_notify(%s, '')", (f"{PROJECTED_CHANNEL}_{schema}",))
    except BaseException:
        for view in views:
            view.forget()
        raise


def laggards(
    positions: Mapping[str, int], views: Sequence[ProjectionView]
) -> tuple[int, list[ProjectionView]]:
    """The lowest position, and the views that stand there: they share the next read."""
    lowest = min(positions[view.name] for view in views)
    return lowest, [view for view in views if positions[view.name] == lowest]
