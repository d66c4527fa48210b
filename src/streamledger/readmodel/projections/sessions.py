"""The sessions projection: sessions, their timelines, their streams, and what repeated deliveries are."""

from collections.abc import Sequence
from typing import Any

import psycopg

from streamledger.domain import forensics
from streamledger.domain import session as folding
from streamledger.readmodel.fold.engine import fold
from streamledger.readmodel.fold.facts import Event
from streamledger.readmodel.projections.store import Memory, StoreView
from streamledger.readmodel.projections.view import ProjectionView

TABLES = (
    *("sessions", "timeline", "session_folds", "streams"),
    *("repeats", "notifications", "delivery_days"),
)
"""In the order in which questions read them, and so lock them: a switch must not come from the other side."""


class SessionsView(ProjectionView):
    """Folds events into its tables, with the sessions of live streams in memory."""

    name = "sessions"
    version = 100 * folding.FOLD_VERSION + forensics.FORENSICS_VERSION
    tables = TABLES

    def __init__(self, connection: psycopg.Connection[Any], schema: str, suffix: str = "") -> None:
        super().__init__(connection, schema, suffix)
        self.memory = Memory()

    def take_in(self, events: Sequence[Event]) -> None:
        """Fold events, in order, into the tables; within a transaction of the caller."""
        view = StoreView(self.connection, self.suffix, self.memory)
        again = view.write(fold(view, events))
        if again:  # their notifications were there: now they are repeated deliveries
            view.write(fold(view, [each for each in events if each.position in again], plainly=False))

    def forget(self) -> None:
        """Keep nothing of live streams."""
        self.memory.forget()
