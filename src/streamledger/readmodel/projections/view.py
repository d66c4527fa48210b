"""What a projection is: a view that takes events in, and records with its rows how far it has come.

In the words of the `eventsourcing` library it is a tracking recorder: `max_tracking_id`, `has_tracking_id`
and `wait` say how far it is, and its tracking is written in the transaction of its rows. What is its own is
that it takes a batch in at once (ADR 0014).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Final

import psycopg
from eventsourcing.persistence import IntegrityError, Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from psycopg.sql import SQL, Composed

from streamledger.ledger.application import Ledger
from streamledger.readmodel.fold.facts import Event

PROJECTED_CHANNEL: Final = "projected"
"""NOTIFY channel, with the schema's name behind it: a batch has been taken in."""
TRACKED: Final = Ledger.name
"""The application that views follow."""


class OneConnection(PostgresDatastore):
    """The library's way to a database, on a connection that is given: with its deadlines and settings."""

    def __init__(self, connection: psycopg.Connection[Any], schema: str) -> None:
        self.schema = schema
        self.single_row_tracking = True
        self._connection = connection

    @contextmanager
    def get_connection(self) -> Iterator[Any]:
        """The connection."""
        yield self._connection

    @contextmanager
    def transaction(self, *, commit: bool = False) -> Iterator[Any]:
        """A cursor in a transaction, which is one within another where there is one already."""
        with self._connection.transaction(force_rollback=not commit):
            yield self._connection.cursor()

    def close(self) -> None:
        """Nothing: the connection is its giver's."""

    def __del__(self) -> None:
        """Nothing."""


class ProjectionView(PostgresTrackingRecorder):
    """A pure function of the ledger, kept in tables of its own, in one generation of them."""

    name: ClassVar[str]
    """Of the row in `projections`."""
    version: ClassVar[int]
    """Raised whenever the same history would give other rows: a rebuild is then due."""
    tables: ClassVar[Sequence[str]]
    """The tables that it alone writes, without the suffix of a generation."""

    def __init__(self, connection: psycopg.Connection[Any], schema: str, suffix: str = "") -> None:
        super().__init__(OneConnection(connection, schema), tracking_table_name="projections")
        self.connection = connection
        self.suffix = suffix
        self._edition: int | None = None
        # Its tracking is in the row that says all else of it too. The row is made by `checkpoints`.
        self.insert_tracking_statement = Composed(
            [
                SQL(
                    "UPDATE projections SET position = %(notification_id)s"
                    " WHERE name = %(name)s AND position < %(notification_id)s RETURNING position"
                )
            ]
        )

    def take_in(self, events: Sequence[Event]) -> None:
        """Fold events, in order, into the tables; within a transaction of the caller."""
        raise NotImplementedError

    def forget(self) -> None:
        """Keep nothing in memory of what was written: it was rolled back, or somebody else writes."""

    def is_of_edition(self, edition: int) -> None:
        """Forget what is in memory if the rows were written by somebody else since the last batch."""
        if edition != self._edition:
            self.forget()
            self._edition = edition

    def track(self, position: int) -> None:
        """Record that everything up to a position is in the rows; within their transaction.

        Raises the library's IntegrityError when that was recorded already: then somebody else is at work.
        """
        with self.connection.cursor() as cursor:
            self._insert_tracking(cursor, Tracking(TRACKED, position))

    def _insert_tracking(self, curs: Any, tracking: Tracking) -> None:
        curs.execute(
            self.insert_tracking_statement,
            {"name": self.name, "notification_id": tracking.notification_id},
        )
        if curs.fetchone() is None:
            raise IntegrityError(f"{self.name} is at {tracking.notification_id} or beyond already")

    def _max_tracking_id(self, application_name: str, curs: Any) -> int | None:
        curs.execute("SELECT position FROM projections WHERE name = %s", (self.name,))
        row = curs.fetchone()
        return int(row[0]) if row is not None and application_name == TRACKED else None

    def max_tracking_id(self, application_name: str) -> int | None:
        """The position that it has taken in of the ledger, by one try: the library's own tries ten times."""
        with self.connection.cursor() as cursor:
            return self._max_tracking_id(application_name, cursor)


Projection = type[ProjectionView]
