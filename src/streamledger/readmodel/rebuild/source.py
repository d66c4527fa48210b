"""The ledger as a rebuild reads it: by streams, in binary tuples, each event once."""

from collections.abc import Iterator
from typing import Any, Final

import psycopg

from streamledger.domain.errors import StreamledgerError
from streamledger.domain.events import is_notification
from streamledger.ledger import mapper
from streamledger.readmodel.fold.facts import Event, is_misfiled, read_event
from streamledger.readmodel.rebuild.units import Unit

Row = tuple[int, str, str, bytes]
"""position, originator, name and state of an event"""

PAGE_EVENTS: Final = 4000
"""Of a long stream, read at once."""

_COLUMNS: Final = "notification_id, originator_id, topic, state"
_UNIT_SQL: Final = (
    f"SELECT {_COLUMNS} FROM ledger_events WHERE originator_id >= %b AND originator_id <= %b"  # noqa: S608  # constant
    " AND notification_id <= %b ORDER BY originator_id, originator_version"
)
_STREAM_SQL: Final = (
    f"SELECT {_COLUMNS}, originator_version FROM ledger_events WHERE originator_id = %b"  # noqa: S608  # constant
    " AND originator_version > %b AND notification_id <= %b AND notification_id > %b"
    " ORDER BY originator_id, originator_version LIMIT %b"
)

INDEX_ORDER: Final = ("SET enable_seqscan = off", "SET enable_bitmapscan = off", "SET enable_sort = off")
"""Reads follow the primary key; a plan that sorts the ledger first would need room for all of it."""


def read_unit(connection: psycopg.Connection[Any], unit: Unit, until: int) -> list[Row]:
    """All events of a unit up to a position, stream by stream, each stream in order."""
    with connection.cursor(binary=True) as cursor:
        cursor.execute(_UNIT_SQL, (unit.first, unit.last, until), prepare=True)
        return cursor.fetchall()


def read_stream(
    connection: psycopg.Connection[Any], originator: str, until: int, after: int = 0
) -> Iterator[Row]:
    """All events of one stream after one position and up to another, in order, page by page."""
    version = 0
    while True:
        with connection.cursor(binary=True) as cursor:
            cursor.execute(_STREAM_SQL, (originator, version, until, after, PAGE_EVENTS), prepare=True)
            page = cursor.fetchall()
        for row in page:
            yield row[:4]
        if len(page) < PAGE_EVENTS:
            return
        version = page[-1][4]


class UnitReader:
    """The facts of one unit, read once; counts them, and sets aside what does not fit."""

    def __init__(self, connection: psycopg.Connection[Any], unit: Unit, until: int) -> None:
        self._rows = (
            read_stream(connection, unit.first, until)
            if unit.is_long
            else iter(read_unit(connection, unit, until))
        )
        self.events = 0
        self.errors: dict[int, str] = {}
        """Position to error of the events that cannot be read."""
        self.misfiled: list[int] = []
        """Positions of events whose body names another stream than the one they are stored under."""
        self.originators: set[str] = set()
        """Under which events were read."""

    def read(self) -> Iterator[Event]:
        """Each event once, each stream in the order of positions."""
        for position, originator, name, state in self._rows:
            self.events += 1
            self.originators.add(originator)
            if not is_notification(name):
                continue  # what administrators did is no fact
            try:
                current, delivery = mapper.decode(name, state)
                if not is_notification(current):
                    continue
                event = read_event(position, current, originator, delivery)
            except StreamledgerError as error:  # an event of a later version, or a damaged one
                self.errors[position] = f"{type(error).__name__}: {error}"
                continue
            if is_misfiled(event, originator):
                self.misfiled.append(position)
            else:
                yield event
