"""The ledger's events as the fold takes them: read, and those that cannot be with the reason."""

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg

from streamledger.domain.errors import StreamledgerError
from streamledger.domain.events import LedgerEvent, is_notification
from streamledger.ledger import mapper, reader
from streamledger.readmodel.fold.facts import Event, Fact, fact_of, read_event
from streamledger.readmodel.projections.parking import described


def read_facts(events: Iterable[LedgerEvent]) -> list[Fact]:
    """The notifications among the events, read. What administrators did is in the ledger too, but no fact."""
    return [fact_of(event.position, event.delivery) for event in events if is_notification(event.name)]


def read_facts_at(connection: psycopg.Connection[Any], positions: Sequence[int]) -> list[Fact]:
    """The notifications at these positions, read."""
    return read_facts(reader.read_at(connection, positions))


def events_and_errors(rows: Iterable[reader.Row]) -> tuple[list[Event], dict[int, str]]:
    """The events of ledger rows, read, and position to error of those that cannot be read."""
    events: list[Event] = []
    errors: dict[int, str] = {}
    for position, originator, _, topic, state, _ in rows:
        try:
            name, delivery = mapper.decode(topic, state)
            if is_notification(name):
                events.append(read_event(position, name, originator, delivery))
        except StreamledgerError as error:  # of a later version, or a damaged one
            errors[position] = described(error)
    return events, errors
