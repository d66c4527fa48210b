"""Repair one stream: its rows anew from its own events, and no other row touched."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import psycopg

from streamledger.domain.errors import ParameterInvalid, StreamledgerError, StreamUnknown
from streamledger.domain.events import originator_of
from streamledger.ledger import reader
from streamledger.postgres.connection import Database, connect
from streamledger.readmodel import projection as checkpointing
from streamledger.readmodel.facts import stream_of
from streamledger.readmodel.parking import park, take_in_or_park
from streamledger.readmodel.projection import Projection, events_and_errors
from streamledger.readmodel.rebuild import generation, record
from streamledger.readmodel.rebuild.building import prepare_session
from streamledger.readmodel.rebuild.comparison import Difference, OnRow, compare
from streamledger.readmodel.rebuild.crew import RebuildCancelled
from streamledger.readmodel.rebuild.interrupting import interruptible
from streamledger.readmodel.rebuild.registry import ADDED_UP_FROM
from streamledger.readmodel.rebuild.sums import Sum, sums_of
from streamledger.readmodel.recount import RECOUNTS, correct

PAGE_EVENTS: Final = 2000
NUMBER: Final = 0
"""Of the generation that holds the one stream's rows; rebuilds count from 1."""


class ProjectionsApart(StreamledgerError):
    """the projections stand at different positions, from {lowest} to {highest}: let serve catch up, then
    repair again"""


class DigestsNotCounted(StreamledgerError):
    """the rows of {stream_id} are repaired, but the kept digests were not counted anew to the end: repair it
    once more, or rebuild"""

    exit_code = 130


class Repaired(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a stream's rows."""

    stream_id: str
    events: int
    differences: list[Difference]
    """What was wrong, table by table."""
    repaired: bool
    digests_corrected: dict[str, bool]
    """By projection, whether the kept digest had to be put right besides."""


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
) -> Repaired:
    """Fold the stream's events beside the live tables, and put its rows in the place of those there.

    Of tables that count over all streams, the counts of the days and minutes of its events are put right.
    `on_row` is given every row that was wrong. The runner waits only while the rows are exchanged.
    `is_cancelled` is asked all the while; a statement under way is broken off then.
    Raises StreamUnknown, RebuildUnderWay, ProjectionsApart, RebuildCancelled, DigestsNotCounted, or
    ParameterInvalid for a projection without the one that it is added up from.
    """
    names = {each.name for each in projections}
    for name in names:
        needed = ADDED_UP_FROM.get(name, name)
        if needed not in names:
            expected = f"{needed} too, from whose rows {name} is added up"
            raise ParameterInvalid(name="PROJECTION", expected=expected, got=repr(name))
    with connect(database, application_name="streamledger repair") as connection:
        prepare_session(connection)
        record.lock(connection, database.schema)
        tables = generation.tables_of(projections)
        generation.drop_leftovers(connection, tables)
        checkpointing.checkpoints(connection, projections)
        work = _Repair(connection, projections, stream_id)

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
            work.is_exchanged = not dry_run
            return differences

        def count() -> dict[str, bool]:
            wanted = [each.name for each in projections if each.name in RECOUNTS and not dry_run]
            return {name: bool(correct(connection, name)) for name in wanted}

        def check() -> None:
            if is_cancelled():
                raise RebuildCancelled

        try:
            try:
                differences = interruptible([put_right], [connection], check)[0]
            finally:
                generation.drop_leftovers(connection, tables)
            corrected = interruptible([count], [connection], check)[0]
        except (RebuildCancelled, KeyboardInterrupt) as error:
            if not work.is_exchanged:
                raise
            raise DigestsNotCounted(stream_id=stream_id) from error
        return Repaired(
            stream_id=stream_id,
            events=work.events,
            differences=differences,
            repaired=not dry_run,
            digests_corrected=corrected,
        )


def _names_streams(connection: psycopg.Connection[Any], table: str) -> bool:
    """Whether the table's rows say to which stream they belong."""
    found = connection.execute(
        "SELECT FROM pg_attribute WHERE attrelid = %s::regclass AND attname = 'stream_id'", (table,)
    ).fetchone()
    return found is not None


class _Repair:
    def __init__(
        self, connection: psycopg.Connection[Any], projections: Sequence[Projection], stream_id: str
    ) -> None:
        self._connection = connection
        self._stream_id = stream_id
        self._version = 0
        self.suffix = f"{generation.NEW}{NUMBER}"
        self.events = 0
        self.is_exchanged = False
        """Whether the rows that were made are live, and committed."""
        self._tables: list[str] = []
        """Whose rows name streams."""
        self._sums: list[Sum] = []
        """Whose rows count over all streams."""
        self._projections: list[Projection] = []
        for each in projections:
            of_streams = [table for table in each.tables if _names_streams(connection, table)]
            sums = sums_of(each.name, [table for table in each.tables if table not in of_streams])
            if sums is not None:  # else it counts in a way that only a whole rebuild can repeat
                self._projections.append(each)
                self._tables += of_streams
                self._sums += sums
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
                for each in self._projections:
                    _, poison = take_in_or_park(self._connection, each, own, self.suffix)
                    self._errors[each.name].update(errors | poison)
            self._version = rows[-1][2]
            self.events += len(rows)

    def exchange(self, now_us: int, examples_max: int, on_row: OnRow) -> list[Difference]:
        """Put the rows that were made in the place of the live ones; within a transaction."""
        differences = compare(
            self._connection,
            self._tables,
            self.suffix,
            examples_max,
            ("stream_id", [self._stream_id]),
            on_row,
        )
        for table in self._tables:
            self._connection.execute(
                f"DELETE FROM {table} WHERE stream_id = %s",  # noqa: S608  # constant names
                (self._stream_id,),
            )
            self._connection.execute(
                f"INSERT INTO {table} SELECT * FROM {table}{self.suffix}"  # noqa: S608  # constant names
            )
        for each in self._sums:
            differences.append(each.put_right(self._connection, self.suffix, examples_max, on_row))
        for projection in self._projections:
            # What is taken in now is parked no longer, or trying it again would count it twice.
            self._connection.execute(
                "DELETE FROM parked USING ledger_events AS e WHERE parked.projection = %s"
                " AND e.notification_id = parked.position AND e.originator_id = %s",
                (projection.name, originator_of(self._stream_id, 0)),
            )
            park(self._connection, projection, self._errors[projection.name], now_us)
        return differences
