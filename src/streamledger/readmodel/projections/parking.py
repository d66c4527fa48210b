"""Poison events: one that a projection cannot take in is parked with its error, and the others go on."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import psycopg

from streamledger.postgres.connection import STORE_FAULTS
from streamledger.readmodel.fold.facts import Event
from streamledger.readmodel.projections.view import Projection, ProjectionView

ERROR_CHARACTERS_MAX: Final = 500

PARK_SQL: Final = """
INSERT INTO parked (projection, position, error, version, tries, parked_at_us)
SELECT %s, row.position, row.error, %s, 1, %s
FROM unnest(%s::int8[], %s::text[]) AS row(position, error)
ON CONFLICT (projection, position) DO UPDATE SET error = excluded.error, version = excluded.version,
    tries = parked.tries + 1, parked_at_us = excluded.parked_at_us
"""


def described(error: Exception) -> str:
    """An error as it is kept: its kind and its first words, without what PostgreSQL cannot store."""
    text = f"{type(error).__name__}: {error}".partition("\n")[0]
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")[:ERROR_CHARACTERS_MAX]


def take_in_or_park(view: ProjectionView, events: Sequence[Event]) -> dict[int, str]:
    """Let a view take events in; position to error of the poison ones.

    Halves what fails until the poison one stands alone. Runs inside the caller's transaction.
    """
    if not events:
        return {}
    try:
        with view.connection.transaction():
            view.take_in(events)
            return {}
    except STORE_FAULTS:  # trying again helps, parking would not
        raise
    except Exception as error:  # whatever one event does to the fold, the others go on
        view.forget()
        if len(events) == 1:
            return {events[0].position: described(error)}
    half = len(events) // 2
    return take_in_or_park(view, events[:half]) | take_in_or_park(view, events[half:])


def park(
    connection: psycopg.Connection[Any],
    projection: Projection | ProjectionView,
    errors: Mapping[int, str],
    now_us: int,
) -> None:
    """Remember poison events; a known one counts another try."""
    if errors:
        connection.execute(
            PARK_SQL, (projection.name, projection.version, now_us, list(errors), list(errors.values()))
        )
