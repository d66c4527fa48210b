"""Trying parked events again: by command, and when the projection's version has changed."""

from typing import Any

import psycopg

from streamledger.ledger import reader
from streamledger.readmodel.parking import park, take_in_or_park
from streamledger.readmodel.projection import Projection, events_and_errors


def retry_parked(
    connection: psycopg.Connection[Any],
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
        events, errors = events_and_errors(reader.read_rows_at(connection, positions))
        digest, poison = take_in_or_park(connection, projection, events)
        errors |= poison
        taken = [position for position in positions if position not in errors]
        connection.execute(
            "DELETE FROM parked WHERE projection = %s AND position = ANY(%s)", (projection.name, taken)
        )
        park(connection, projection, errors, now_us)
        connection.execute(
            "UPDATE projections SET digest = mod(digest + %s, 18446744073709551616) WHERE name = %s",
            (digest % 2**64, projection.name),
        )
    return len(taken), len(errors)
