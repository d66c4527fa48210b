"""One generation under work: folded, indexed, kept up with the ledger, compared, and switched."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import msgspec
import psycopg

from streamledger.ledger import reader
from streamledger.readmodel.facts import Event, is_stray
from streamledger.readmodel.pace import Pace
from streamledger.readmodel.parking import park, take_in_or_park
from streamledger.readmodel.projection import PROJECTED_CHANNEL, Projection, events_and_errors
from streamledger.readmodel.rebuild import generation
from streamledger.readmodel.rebuild.folding import Streamwise
from streamledger.readmodel.rebuild.index_pace import IndexPace
from streamledger.readmodel.rebuild.interrupting import interruptible
from streamledger.readmodel.rebuild.record import Progress
from streamledger.readmodel.rebuild.worker import Done, copy_rows
from streamledger.readmodel.rows import DIGEST_MODULUS
from streamledger.readmodel.runner import INDEXES_ONLY

LOCK_WAIT_MS: Final = 2000
"""How long the switch waits for readers before it lets those behind it pass and tries again."""
INDEX_MEMORY: Final = "128MB"
_PAGES_AS_THEY_ARE: Final = (
    # A new index goes into the WAL page by page, and to compress them is two fifths of all the work.
    "SELECT set_config('wal_compression', 'off', false)"
    " WHERE has_parameter_privilege('wal_compression', 'SET')"
)
CROWDED_PAGE_EVENTS: Final = 4000
POSITION_MAX: Final = 2**63 - 1


class Live(msgspec.Struct, frozen=True):
    """Where a projection's live rows stand."""

    projection: str
    position: int
    digest: int
    version: int


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A projection's live rows beside the rebuilt ones, at the moment they were compared."""

    projection: str
    live_position: int
    rebuilt_position: int
    live_digest: str
    rebuilt_digest: str
    live_version: int

    @property
    def equal(self) -> bool | None:
        """Whether the digests are equal; None when the rows stand at different positions."""
        if self.live_position != self.rebuilt_position:
            return None
        return self.live_digest == self.rebuilt_digest


def all_equal(standings: Iterable[Standing]) -> bool | None:
    """Whether all digests are equal; None when one could not be compared."""
    found = {standing.equal for standing in standings}
    return False if False in found else None if None in found else True


class Building:
    """The tables `..._gN` of some projections, with the position and digest that each has reached."""

    def __init__(
        self, projections: Sequence[Projection], number: int, until: int, *, is_final: bool = False
    ) -> None:
        """Folded up to `until`; kept up with the ledger from there, unless that is final."""
        self.projections = projections
        self.number = number
        self.suffix = f"{generation.NEW}{number}"
        self.tables = generation.tables_of(projections)
        self.positions = {each.name: until for each in projections}
        self.digests = {each.name: 0 for each in projections}
        self.parked: dict[str, dict[int, str]] = {each.name: {} for each in projections}
        self._strays: set[int] = set()
        self._crowded: list[str] = []
        self._folded_to = until
        self._last = until if is_final else POSITION_MAX
        self._pace = Pace()

    def note(self, done: Done) -> None:
        """Add what a worker has done."""
        for name, digest in done.digests.items():
            self.digests[name] = (self.digests[name] + digest) % DIGEST_MODULUS
        for name, errors in done.parked.items():
            self.parked[name].update(errors)
        self._strays.update(done.strays)
        if done.crowded:
            self._crowded.append(done.crowded)

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

    def add_up(self, connection: psycopg.Connection[Any], streamwise: Mapping[str, Streamwise]) -> None:
        """Make the rows that count over all streams, once those of the streams are there."""
        for name, each in streamwise.items():
            with connection.transaction():
                rows = each.add_up(connection, self.suffix)
                digest = copy_rows(each.row_tables(connection, self.suffix), rows)
            self.digests[name] = (self.digests[name] + digest) % DIGEST_MODULUS

    def take_strays(self, connection: psycopg.Connection[Any], streamwise: Iterable[str]) -> None:
        """Let the streamwise projections take in, in order, what belongs to another stream than it says."""
        events, _ = events_and_errors(reader.read_rows_at(connection, sorted(self._strays)))
        for each in self.projections:
            if each.name in streamwise:
                self._take(connection, each, events, {})

    @property
    def is_crowded(self) -> bool:
        """Whether a stream waits to be taken in batch by batch."""
        return bool(self._crowded)

    def take_crowded(
        self, connection: psycopg.Connection[Any], streamwise: Iterable[str], progress: Progress
    ) -> None:
        """Let the streamwise projections take in, in order, the streams of too many sessions to be folded.

        Page by page a transaction, of which the progress tells how many events are done.
        """
        wanted = [each for each in self.projections if each.name in streamwise]
        for originator in self._crowded:
            version = 0
            while rows := reader.read_rows_of(
                connection, originator, version, self._folded_to, CROWDED_PAGE_EVENTS
            ):
                read, errors = events_and_errors(rows)
                own = [event for event in read if not is_stray(event, originator)]
                with self._unless_rolled_back(), connection.transaction():
                    for each in wanted:
                        self._take(connection, each, own, errors)
                version = rows[-1][2]
                progress.events_done += len(rows)
        self._crowded.clear()

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
            for each in self.projections:
                position = self.positions[each.name]
                wanted = [event for event in events if event.position > position]
                self._take(connection, each, wanted, {at: e for at, e in errors.items() if at > position})
        for each in self.projections:
            self.positions[each.name] = max(self.positions[each.name], rows[-1][0])
        return len(rows)

    def _take(
        self,
        connection: psycopg.Connection[Any],
        each: Projection,
        events: Sequence[Event],
        errors: dict[int, str],
    ) -> None:
        digest, poison = take_in_or_park(connection, each, events, self.suffix)
        self.digests[each.name] = (self.digests[each.name] + digest) % DIGEST_MODULUS
        self.parked[each.name].update(errors | poison)

    def lock(self, connection: psycopg.Connection[Any]) -> list[Live]:
        """Where the live tables stand; until the transaction ends the runner waits."""
        found = []
        for each in self.projections:  # in the order in which the runner locks them
            row = connection.execute(
                "SELECT name, position, digest, fold_version FROM projections WHERE name = %s FOR UPDATE",
                (each.name,),
            ).fetchone()
            assert row is not None  # noqa: S101  # made before the fold began
            found.append(Live(row[0], row[1], int(row[2]), row[3]))
        return found

    def standings(self, found: Sequence[Live]) -> list[Standing]:
        """Live and rebuilt digests side by side."""
        return [
            Standing(
                projection=live.projection,
                live_position=live.position,
                rebuilt_position=self.positions[live.projection],
                live_digest=str(live.digest),
                rebuilt_digest=str(self.digests[live.projection]),
                live_version=live.version,
            )
            for live in found
        ]

    def switch(
        self,
        connection: psycopg.Connection[Any],
        schema: str,
        now_us: int,
        on_switched: Callable[[psycopg.Connection[Any], list[Standing]], None] = lambda *_: None,
    ) -> list[Standing]:
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
                    "UPDATE projections SET position = %s, digest = %s, fold_version = %s,"
                    " caught_up_at_us = %s WHERE name = %s",
                    (self.positions[each.name], self.digests[each.name], each.version, now_us, each.name),
                )
                connection.execute("DELETE FROM parked WHERE projection = %s", (each.name,))
                park(connection, each, self.parked[each.name], now_us)
            connection.execute("SELECT pg_notify(%s, '')", (f"{PROJECTED_CHANNEL}_{schema}",))
            standings = self.standings(found)
            on_switched(connection, standings)
        return standings

    @contextmanager
    def _unless_rolled_back(self) -> Iterator[None]:
        """What is remembered here goes back with the transaction around which this is put."""
        positions, digests = dict(self.positions), dict(self.digests)
        parked = {name: dict(errors) for name, errors in self.parked.items()}
        try:
            yield
        except BaseException:
            self.positions, self.digests, self.parked = positions, digests, parked
            raise


def prepare_session(connection: psycopg.Connection[Any]) -> None:
    """Settings of the connection that catches up and switches: as the runner's."""
    for statement in INDEXES_ONLY:
        connection.execute(statement)
