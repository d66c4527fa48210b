"""Repair one stream: its rows anew from its own events, and no other row touched."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import psycopg

from streamledger.domain.errors import StreamledgerError, StreamUnknown
from streamledger.domain.events import originator_of
from streamledger.domain.rebuild_answers import Change
from streamledger.domain.suspicion import DEFAULT_LIMITS, SuspectLimits
from streamledger.ledger import reader
from streamledger.postgres.connection import Database, connect
from streamledger.readmodel.fold.facts import stream_of
from streamledger.readmodel.projections import checkpoints as checkpointing
from streamledger.readmodel.projections.parking import park, take_in_or_park
from streamledger.readmodel.projections.reading import events_and_errors
from streamledger.readmodel.projections.view import Projection
from streamledger.readmodel.rebuild import generation, record
from streamledger.readmodel.rebuild.building import prepare_session
from streamledger.readmodel.rebuild.changes import changes
from streamledger.readmodel.rebuild.comparison import Difference, OnRow, compare
from streamledger.readmodel.rebuild.interrupting import interruptible
from streamledger.readmodel.rebuild.worker_pool import RebuildCancelled

PAGE_EVENTS: Final = 2000
NUMBER: Final = 0
"""Of the generation that holds the one stream's rows; rebuilds count from 1."""


class ProjectionsApart(StreamledgerError):
    """the projections stand at different positions, from {lowest} to {highest}: let serve catch up, then
    repair again"""


class Repaired(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a stream's rows."""

    stream_id: str
    events: int
    differences: list[Difference]
    """What was wrong, table by table."""
    repaired: bool
    changes: list[Change] = []
    """What the answers said otherwise."""


def repair_stream(
    database: Database,
    projections: Sequence[Projection],
    stream_id: str,
    *,
    clock_us: Callable[[], int],
    dry_run: bool = False,
    examples_max: int = 20,
    on_row: OnRow = lambda *_: None,
    is_cancelled: Callable[[], bool] = lambda: False,
    limits: SuspectLimits = DEFAULT_LIMITS,
) -> Repaired:
    """Fold the stream's events beside the live tables, and put its rows in the place of those there.

    Tables that count over all streams are left alone: a rebuild makes them anew. `on_row` is given every row
    that was wrong. The runner waits only while the rows are exchanged. `is_cancelled` is asked all the while;
    a statement under way is broken off then. Raises StreamUnknown, RebuildUnderWay, ProjectionsApart,
    RebuildCancelled or LeaseLost.
    """
    with (
        record.only_one(database) as lease,
        connect(database, application_name="streamledger repair") as connection,
    ):
        prepare_session(connection)
        tables = generation.tables_of(projections)
        generation.drop_leftovers(connection, tables)
        checkpointing.checkpoints(connection, projections)
        work = _Repair(connection, database.schema, projections, stream_id, limits)

        def put_right() -> list[Difference]:
            work.make()
            work.fold(until=min(checkpointing.checkpoints(connection, projections).values()))
            if not work.events and not work.is_known():
                raise StreamUnknown(stream_id=stream_id)
            with connection.transaction(force_rollback=dry_run):
                positions = checkpointing.locked_positions(connection, projections).values()
                if min(positions) != max(positions):
                    raise ProjectionsApart(lowest=min(positions), highest=max(positions))
                work.fold(until=max(positions))
                differences = work.exchange(clock_us(), examples_max, on_row)
                checkpointing.touch(connection, projections)
                lease.fence(connection)
            work.is_exchanged = not dry_run
            return differences

        def check() -> None:
            if is_cancelled():
                raise RebuildCancelled

        try:
            differences = interruptible([put_right], [connection], check)[0]
        except (RebuildCancelled, KeyboardInterrupt):
            if not work.is_exchanged:
                raise
            differences = work.differences  # what is committed is done
        finally:
            generation.drop_leftovers(connection, tables)
        return Repaired(
            stream_id=stream_id,
            events=work.events,
            differences=differences,
            changes=work.changes,
            repaired=not dry_run,
        )


def _names_streams(connection: psycopg.Connection[Any], table: str) -> bool:
    """Whether the table's rows say to which stream they belong."""
    found = connection.execute(
        "SELECT FROM pg_attribute WHERE attrelid = %s::regclass AND attname = 'stream_id'", (table,)
    ).fetchone()
    return found is not None


class _Repair:
    def __init__(
        self,
        connection: psycopg.Connection[Any],
        schema: str,
        projections: Sequence[Projection],
        stream_id: str,
        limits: SuspectLimits,
    ) -> None:
        self._limits = limits
        self.changes: list[Change] = []
        self._connection = connection
        self._stream_id = stream_id
        self._version = 0
        self.suffix = f"{generation.NEW}{NUMBER}"
        self.events = 0
        self.is_exchanged = False
        """Whether the rows that were made are live, and committed."""
        self.differences: list[Difference] = []
        self._all_tables = generation.tables_of(projections)
        self._tables = [table for table in self._all_tables if _names_streams(connection, table)]
        self._projections = [each for each in projections if set(each.tables) & set(self._tables)]
        self._views = [each(connection, schema, self.suffix) for each in self._projections]
        self._errors: dict[str, dict[int, str]] = {each.name: {} for each in self._projections}

    def make(self) -> None:
        """Make the tables that the stream is folded into."""
        tables = generation.tables_of(self._projections)
        generation.make(self._connection, tables, self.suffix)
        for statements in generation.index_statements(self._connection, tables, self.suffix):
            for statement in statements:
                self._connection.execute(statement)

    def is_known(self) -> bool:
        """Whether any live row names the stream."""
        return any(
            self._connection.execute(
                f"SELECT FROM {table} WHERE stream_id = %s LIMIT 1",  # constant names
                (self._stream_id,),
            ).fetchone()
            is not None
            for table in self._tables
        )

    def fold(self, until: int) -> None:
        """Take in the stream's events from where it stands up to a position, page by page."""
        originator = originator_of(self._stream_id, 0)
        while rows := reader.read_rows_of(self._connection, originator, self._version, until, PAGE_EVENTS):
            events, errors = events_and_errors(rows)
            own = [event for event in events if stream_of(event) == self._stream_id]
            with self._connection.transaction():
                for view in self._views:
                    self._errors[view.name].update(errors | take_in_or_park(view, own))
            self._version = rows[-1][2]
            self.events += len(rows)

    def exchange(self, now_us: int, examples_max: int, on_row: OnRow) -> list[Difference]:
        """Put the rows that were made in the place of the live ones; within a transaction."""
        self.differences = compare(
            self._connection,
            self._tables,
            self.suffix,
            examples_max,
            ("stream_id", [self._stream_id]),
            on_row,
        )
        self.changes = changes(
            self._connection,
            self._tables,
            self.suffix,
            now_ms=now_us // 1000,
            limits=self._limits,
            examples_max=examples_max,
            streams=[self._stream_id],
        )
        for table in self._tables:
            self._connection.execute(
                f"DELETE FROM {table} WHERE stream_id = %s",  # noqa: S608  # constant names
                (self._stream_id,),
            )
            self._connection.execute(
                f"INSERT INTO {table} SELECT * FROM {table}{self.suffix}"  # noqa: S608  # constant names
            )
        for projection in self._projections:
            # What is taken in now is parked no longer, or trying it again would count it twice.
            self._connection.execute(
                "DELETE FROM parked USING ledger_events AS e WHERE parked.projection = %s"
                " AND e.notification_id = parked.position AND e.originator_id = %s",
                (projection.name, originator_of(self._stream_id, 0)),
            )
            park(self._connection, projection, self._errors[projection.name], now_us)
        return self.differences
