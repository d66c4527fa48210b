"""One generation under work: folded, indexed, kept up with the ledger, compared, and switched."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from types import MappingProxyType
from typing import Any, Final

import msgspec
import psycopg

from streamledger.ledger import reader
from streamledger.readmodel.fold.facts import Event
from streamledger.readmodel.projections.pace import Pace
from streamledger.readmodel.projections.parking import park, take_in_or_park
from streamledger.readmodel.projections.reading import events_and_errors
from streamledger.readmodel.projections.runner import INDEXES_ONLY
from streamledger.readmodel.projections.sessions import SessionsView
from streamledger.readmodel.projections.view import PROJECTED_CHANNEL, Projection, ProjectionView
from streamledger.readmodel.rebuild import generation
from streamledger.readmodel.rebuild.bulk import add_up
from streamledger.readmodel.rebuild.index_pace import IndexPace
from streamledger.readmodel.rebuild.interrupting import interruptible
from streamledger.readmodel.rebuild.record import Progress
from streamledger.readmodel.rebuild.shuffle import SharedFile, positions_in
from streamledger.readmodel.rebuild.units import Unit
from streamledger.readmodel.rebuild.worker import Done

LOCK_WAIT_MS: Final = 2000
"""How long the switch waits for readers before it lets those behind it pass and tries again."""
INDEX_MEMORY: Final = "128MB"
_PAGES_AS_THEY_ARE: Final = (
    # A new index goes into the WAL page by page, and to compress them is two fifths of all the work.
    "SELECT set_config('wal_compression', 'off', false)"
    " WHERE has_parameter_privilege('wal_compression', 'SET')"
)
LEFT_PAGE_EVENTS: Final = 4000
POSITION_MAX: Final = 2**63 - 1


class Live(msgspec.Struct, frozen=True):
    """Where a projection's live rows stand."""

    projection: str
    position: int
    version: int


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A projection's live rows beside the rebuilt ones, at the moment they were compared."""

    projection: str
    live_position: int
    rebuilt_position: int
    live_digest: str | None
    """None when the rows were not counted: they stand at different positions, or nobody asked."""
    rebuilt_digest: str | None
    live_version: int

    @property
    def equal(self) -> bool | None:
        """Whether the digests are equal; None when the rows were not compared."""
        if self.live_digest is None or self.rebuilt_digest is None:
            return None
        return self.live_digest == self.rebuilt_digest


def all_equal(standings: Iterable[Standing]) -> bool | None:
    """Whether all digests are equal; None when one could not be compared."""
    found = {standing.equal for standing in standings}
    return False if False in found else None if None in found else True


class Building:
    """The tables `..._gN` of some projections, with the position that each has reached."""

    def __init__(
        self,
        projections: Sequence[Projection],
        schema: str,
        number: int,
        until: int,
        *,
        is_final: bool = False,
        progress: Progress | None = None,
    ) -> None:
        """Folded up to `until`; kept up with the ledger from there, unless final; `progress` is told."""
        self._schema = schema
        self.projections = projections
        self.number = number
        self.suffix = f"{generation.NEW}{number}"
        self.tables = generation.tables_of(projections)
        self.positions = {each.name: until for each in projections}
        self.parked: dict[str, dict[int, str]] = {each.name: {} for each in projections}
        self._left: list[Unit] = []
        self._last = until if is_final else POSITION_MAX
        self._pace = Pace()
        self._progress = progress or Progress()

    def note(self, done: Done) -> None:
        """Add what a worker has done."""
        for name, errors in done.parked.items():
            self.parked[name].update(errors)
        if done.left is not None:
            self._left.append(done.left)

    def index(
        self,
        connect: Callable[[], psycopg.Connection[Any]],
        tables: Sequence[str],
        check: Callable[[], None],
        threads: int,
        progress: Progress,
    ) -> None:
        """Make the indexes of these tables, several at once, then gather statistics.

        When `check` raises, the statements under way are cancelled.
        """
        with connect() as looking:
            made = [
                (table, statements)
                for table in tables
                for statements in generation.index_statements(looking, [table], self.suffix)
            ]
            pace = IndexPace(looking, Counter(table + self.suffix for table, _ in made))
            # The longest first, so that in the end no thread is left alone with one: big tables, and of
            # each the indexes of all its rows.
            made.sort(
                key=lambda each: (pace.bytes_of[each[0] + self.suffix], " WHERE " not in each[1][0]),
                reverse=True,
            )
            progress.indexes_done, progress.indexes_total = 0, len(made)
            connections: list[psycopg.Connection[Any]] = []

            def run(table: str, statement: str) -> None:
                with connect() as connection:
                    connections.append(connection)
                    connection.execute(f"SET maintenance_work_mem = '{INDEX_MEMORY}'")
                    connection.execute(_PAGES_AS_THEY_ARE)
                    connection.execute("SET max_parallel_maintenance_workers = 0")  # the threads are parallel
                    connection.execute(statement)
                pace.finished(table + self.suffix)
                progress.indexes_done += 1

            def look() -> None:
                progress.indexes_left_s = pace.left_s()
                check()

            def finish(table: str) -> None:
                with connect() as connection:
                    connections.append(connection)
                    # Constraints take an index over in no time, but wait until all others are made.
                    for of_table, (_, *constraints) in made:
                        for statement in constraints if of_table == table else ():
                            connection.execute(statement)
                    generation.finish(connection, [table], self.suffix)

            interruptible(
                [partial(run, table, statements[0]) for table, statements in made], connections, look, threads
            )
            progress.indexes_left_s = None
            interruptible([partial(finish, table) for table in tables], connections, check, threads)

    def add_up(self, connection: psycopg.Connection[Any]) -> None:
        """Make the rows that count over all streams of the parts that each unit gave."""
        with connection.transaction():
            add_up(connection, self.tables, self.suffix)

    @property
    def has_left(self) -> bool:
        """Whether streams wait to be taken in batch by batch."""
        return bool(self._left)

    def take_left(
        self, connection: psycopg.Connection[Any], files: Sequence[SharedFile], progress: Progress
    ) -> None:
        """Let the sessions take in, in order, the streams that could not be folded whole.

        Page by page a transaction, of which the progress tells how many events are done.
        """
        (view,) = [each for each in self._opened(connection) if each.name == SessionsView.name]
        for unit in self._left:
            positions = iter(positions_in(files, unit))
            while page := list(islice(positions, LEFT_PAGE_EVENTS)):
                with self._unless_rolled_back(), connection.transaction():
                    self._take(view, *events_and_errors(reader.read_rows_at(connection, page)))
                progress.events_done += len(page)
        self._left.clear()

    def catch_up(self, connection: psycopg.Connection[Any], until: int | None = None) -> int:
        """Take in what has come since; returns how many events that were. Batch by batch a transaction."""
        count = 0
        while True:
            after = min(self.positions.values())
            began_s = time.monotonic()
            taken = self._step(connection, after, self._last if until is None else min(until, self._last))
            self._pace.note(taken, time.monotonic() - began_s)
            count += taken
            if taken == 0:
                return count

    def _step(self, connection: psycopg.Connection[Any], after: int, until: int) -> int:
        rows = reader.read_rows_after(connection, after, self._pace.size, until)
        if not rows:
            return 0
        events, errors = events_and_errors(rows)
        with self._unless_rolled_back(), connection.transaction():
            for view in self._opened(connection):
                position = self.positions[view.name]
                wanted = [event for event in events if event.position > position]
                self._take(view, wanted, {at: e for at, e in errors.items() if at > position})
        for each in self.projections:
            self.positions[each.name] = max(self.positions[each.name], rows[-1][0])
        self._progress.reach(rows[-1][0])
        return len(rows)

    def _opened(self, connection: psycopg.Connection[Any]) -> list[ProjectionView]:
        """The views on the generation's tables, with nothing in memory that another connection wrote."""
        return [each(connection, self._schema, self.suffix) for each in self.projections]

    def _take(self, view: ProjectionView, events: Sequence[Event], errors: dict[int, str]) -> None:
        self.parked[view.name].update(errors | take_in_or_park(view, events))

    def lock(self, connection: psycopg.Connection[Any]) -> list[Live]:
        """Where the live tables stand; until the transaction ends the runner waits."""
        found = []
        for each in self.projections:  # in the order in which the runner locks them
            row = connection.execute(
                "SELECT name, position, fold_version FROM projections WHERE name = %s FOR UPDATE",
                (each.name,),
            ).fetchone()
            assert row is not None  # noqa: S101  # made before the fold began
            found.append(Live(*row))
        return found

    def standings(
        self, found: Sequence[Live], digests: Mapping[str, tuple[str, str]] = MappingProxyType({})
    ) -> list[Standing]:
        """Live and rebuilt rows side by side; the digests of both by projection, where they were counted."""
        return [
            Standing(
                projection=live.projection,
                live_position=live.position,
                rebuilt_position=self.positions[live.projection],
                live_digest=digests[live.projection][0] if live.projection in digests else None,
                rebuilt_digest=digests[live.projection][1] if live.projection in digests else None,
                live_version=live.version,
            )
            for live in found
        ]

    def switch(
        self,
        connection: psycopg.Connection[Any],
        now_us: int,
        on_switched: Callable[[psycopg.Connection[Any]], None] = lambda _: None,
    ) -> None:
        """Make the generation live, in one transaction, of which `on_switched` is the last part; raises
        psycopg's LockNotAvailable when readers stand in the way for too long, and nothing has changed then.
        """
        with self._unless_rolled_back(), connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = {LOCK_WAIT_MS}")
            found = self.lock(connection)
            self.catch_up(connection, max(live.position for live in found))
            generation.switch(connection, self.tables, self.number)
            for each in self.projections:
                connection.execute(
                    "UPDATE projections SET position = %s, fold_version = %s, caught_up_at_us = %s,"
                    " edition = edition + 1 WHERE name = %s",
                    (self.positions[each.name], each.version, now_us, each.name),
                )
                connection.execute("DELETE FROM parked WHERE projection = %s", (each.name,))
                park(connection, each, self.parked[each.name], now_us)
            connection.execute("SELECT pg_notify(%s, '')", (f"{PROJECTED_CHANNEL}_{self._schema}",))
            on_switched(connection)

    @contextmanager
    def _unless_rolled_back(self) -> Iterator[None]:
        """What is remembered here goes back with the transaction around which this is put."""
        positions = dict(self.positions)
        parked = {name: dict(errors) for name, errors in self.parked.items()}
        try:
            yield
        except BaseException:
            self.positions, self.parked = positions, parked
            raise


def prepare_session(connection: psycopg.Connection[Any]) -> None:
    """Settings of the connection that catches up and switches: as the runner's."""
    for statement in INDEXES_ONLY:
        connection.execute(statement)
