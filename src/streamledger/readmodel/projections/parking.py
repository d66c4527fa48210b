"""Poison events: one that a projection cannot take in is parked with its error, and the others go on."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

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


class Placed(Protocol):
    """What came at a position of the ledger."""

    @property
    def position(self) -> int:
        """By which it is parked."""


Item = TypeVar("Item", bound=Placed)


def take_in_or_park(view: ProjectionView, events: Sequence[Event]) -> dict[int, str]:
    """Let a view take events in; position to error of the poison ones."""
    return take_or_park(view, view.take_in, events)


def take_or_park(
    view: ProjectionView, take: Callable[[Sequence[Item]], None], items: Sequence[Item]
) -> dict[int, str]:
    """The same of what a view takes in by another way of its own, such as what was read elsewhere.

    Halves what fails until the poison one stands alone. Runs inside the caller's transaction.
    """
    if not items:
        return {}
    try:
        with view.connection.transaction():
            take(items)
            return {}
    except STORE_FAULTS:  # trying again helps, parking would not
        raise
    except Exception as error:  # whatever one event does to the fold, the others go on
        view.forget()
        if len(items) == 1:
            return {items[0].position: described(error)}
    half = len(items) // 2
    return take_or_park(view, take, items[:half]) | take_or_park(view, take, items[half:])


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
