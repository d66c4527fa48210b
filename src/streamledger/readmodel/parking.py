"""Poison events: one that a projection cannot take in is parked with its error, and the others go on."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import psycopg

if TYPE_CHECKING:  # projection stands on this module
    from streamledger.readmodel.facts import Event
    from streamledger.readmodel.projection import Projection

NOT_THE_EVENTS_FAULT: Final = (psycopg.OperationalError, psycopg.InterfaceError)
"""A lost connection, a deadlock, a full disk: trying again helps, parking would not."""

ERROR_CHARACTERS_MAX: Final = 500

PARK_SQL: Final = """
INSERT INTO parked (projection, position, error, version, tries, parked_at_us)
SELECT %s, position, error, %s, 1, %s FROM unnest(%s::int8[], %s::text[]) AS row(position, error)
ON CONFLICT (projection, position) DO UPDATE SET error = excluded.error, version = excluded.version,
    tries = parked.tries + 1, parked_at_us = excluded.parked_at_us
"""


def described(error: Exception) -> str:
    """An error as it is kept: its kind and its first words, without what PostgreSQL cannot store."""
    text = f"{type(error).__name__}: {error}".partition("\n")[0]
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")[:ERROR_CHARACTERS_MAX]


def take_in_or_park(
    connection: psycopg.Connection[Any], projection: "Projection", events: "Sequence[Event]", suffix: str = ""
) -> tuple[int, dict[int, str]]:
    """Let a projection take events in; what they add to the digest, and position to error of the poison ones.

    Halves what fails until the poison one stands alone. Runs inside the caller's transaction.
    """
    if not events:
        return 0, {}
    try:
        with connection.transaction():
            return projection.take_in(connection, events, suffix), {}
    except NOT_THE_EVENTS_FAULT:
        raise
    except Exception as error:  # whatever one event does to the fold, the others go on
        if len(events) == 1:
            return 0, {events[0].position: described(error)}
    half = len(events) // 2
    first, parked = take_in_or_park(connection, projection, events[:half], suffix)
    second, more = take_in_or_park(connection, projection, events[half:], suffix)
    return first + second, parked | more


def park(
    connection: psycopg.Connection[Any], projection: "Projection", errors: Mapping[int, str], now_us: int
) -> None:
    """Remember poison events; a known one counts another try."""
    if errors:
        connection.execute(
            PARK_SQL, (projection.name, projection.version, now_us, list(errors), list(errors.values()))
        )
