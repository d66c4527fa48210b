"""Trying parked events again: by command, and when the projection's version has changed."""

from typing import Any

import psycopg

from streamledger.ledger import reader
from streamledger.readmodel.projections.checkpoints import touch
from streamledger.readmodel.projections.parking import park, take_in_or_park
from streamledger.readmodel.projections.reading import events_and_errors
from streamledger.readmodel.projections.view import Projection


def retry_parked(
    connection: psycopg.Connection[Any],
    schema: str,
    projection: Projection,
    now_us: int,
    *,
    only_of_other_versions: bool = False,
) -> tuple[int, int]:
    """Try the parked events of a projection again; how many were taken in, and how many are parked still.

    They come late, as a delivery that was late would. The runner waits meanwhile.
    """
    with connection.transaction():
        connection.execute("SELECT FROM projections WHERE name = %s FOR UPDATE", (projection.name,))
        condition = " AND version <> %s" if only_of_other_versions else " AND %s IS NOT NULL"
        rows = connection.execute(
            f"SELECT position FROM parked WHERE projection = %s{condition} ORDER BY position",  # noqa: S608  # constants
            (projection.name, projection.version),
        ).fetchall()
        positions = [row[0] for row in rows]
        if not positions:
            return 0, 0
        events, errors = events_and_errors(reader.read_rows_at(connection, positions))
        errors |= take_in_or_park(projection(connection, schema), events)
        taken = [position for position in positions if position not in errors]
        connection.execute(
            "DELETE FROM parked WHERE projection = %s AND position = ANY(%s)", (projection.name, taken)
        )
        park(connection, projection, errors, now_us)
        touch(connection, [projection])
    return len(taken), len(errors)
