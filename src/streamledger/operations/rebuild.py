"""Rebuild the read model from history beside the live tables, compare, and switch; or only compare."""

import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from typing import Any, Final, TypeVar

import msgspec
import psycopg

from streamledger.domain.errors import ParameterInvalid
from streamledger.ledger import reader
from streamledger.postgres.connection import Database, connect
from streamledger.readmodel import projection as checkpointing
from streamledger.readmodel import runner
from streamledger.readmodel.projection import Projection
from streamledger.readmodel.rebuild import generation, record
from streamledger.readmodel.rebuild.building import Building, Standing, all_equal, prepare_session
from streamledger.readmodel.rebuild.comparison import Difference, OnRow, compare
from streamledger.readmodel.rebuild.crew import Alone, Crew, RebuildCancelled
from streamledger.readmodel.rebuild.interrupting import interruptible
from streamledger.readmodel.rebuild.record import Progress, Record, SwitchBlocked
from streamledger.readmodel.rebuild.registry import streamwise_of
from streamledger.readmodel.rebuild.room import refuse_without_room
from streamledger.readmodel.rebuild.units import units
from streamledger.readmodel.rebuild.worker import Task, memory_bytes_max

logger = logging.getLogger(__name__)

CLOSE_EVENTS: Final = 2000
"""How near to the ledger's head the generation must be to be switched; the rest comes in under the lock."""
LIVE_LAG_EVENTS_MAX: Final = 20_000
"""Without a runner, live tables that are this near to the head are caught up first, so as to be compared."""
SWITCH_TRIES_MAX: Final = 60
WORKERS_MAX: Final = 16
EXAMPLES_KEPT_MAX: Final = 20
"""Rows of each table that the record of a dry run keeps."""
ALONE_EVENTS_MAX: Final = 20_000
"""A history up to here is folded without worker processes, unless their number is given."""

PACE_AFTER_S: Final = 0.2
"""For how long to have seen events done before a pace, and the time left, are told from them."""

T = TypeVar("T")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be rebuilt, why, and by how many."""

    projections: Sequence[Projection]
    purpose: str = "rebuild"
    """rebuild; verify and dry_run never switch, and dry_run also tells the rows apart."""
    workers: int = 0
    """Processes; 0 for as many as there are processors."""
    asked_by: str = "command line"
    asked: int | None = None
    """Id of the row in `rebuilds` that asked for it."""
    examples_max: int = EXAMPLES_KEPT_MAX
    """Rows of each table that a dry run returns field by field; `on_row` is given all of them."""
    to_position: int | None = None
    """Up to which history is folded; None for all of it. What follows live goes on from there."""


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """How a rebuild ended."""

    id: int
    purpose: str
    position: int
    events: int
    seconds: float
    events_per_s: float
    """Of everything: fold, indexes, catching up and switch."""
    standings: list[Standing]
    switched: bool
    parked: dict[str, int]
    memory_bytes_max: int
    """Of the largest process: of a worker, or of the parent."""
    differences: list[Difference] = []

    @property
    def digests_equal(self) -> bool | None:
        """Whether live and rebuilt digests are equal; None when they could not be compared."""
        return all_equal(self.standings)


def rebuild(
    database: Database,
    order: Order,
    *,
    clock_us: Callable[[], int],
    on_progress: Callable[[Progress], None] = lambda _: None,
    is_cancelled: Callable[[], bool] = lambda: False,
    on_row: OnRow = lambda *_: None,
) -> Rebuilt:
    """Build a generation from history and, unless it is only to be compared, make it live.

    At every moment before the switch is committed the live tables are as they were; whatever ends this
    (an error, RebuildCancelled, KeyboardInterrupt) drops the generation. Raises RebuildUnderWay, NoRoom,
    ParameterInvalid, SwitchBlocked, WorkerFailed or StoreUnavailable besides.
    """
    with connect(database, application_name="streamledger rebuild lock") as guard:
        row = record.begin(
            guard,
            database.schema,
            purpose=order.purpose,
            projections=[each.name for each in order.projections],
            asked_by=order.asked_by,
            now_us=clock_us(),
            asked=order.asked,
            to_position=order.to_position,
        )
        work = _Work(database, order, row, clock_us, on_progress, is_cancelled, on_row)
        try:
            done = work.run(guard)
        except (RebuildCancelled, KeyboardInterrupt):
            row.end("cancelled", clock_us(), digests_equal=None)
            raise
        except Exception as error:
            with suppress(psycopg.Error):  # without a connection, the next rebuild or start closes the row
                row.end("failed", clock_us(), digests_equal=None, error=str(error)[:1000])
            raise
        row.end(
            "done",
            clock_us(),
            digests_equal=done.digests_equal,
            differences=_kept_of(order, done.differences),
        )
        return done


def _kept_of(order: Order, differences: Sequence[Difference]) -> bytes | None:
    """What is kept of a dry run's differences: every count, and the first rows of each table."""
    if order.purpose != "dry_run":
        return None
    kept = [msgspec.structs.replace(each, examples=each.examples[:EXAMPLES_KEPT_MAX]) for each in differences]
    return msgspec.json.encode(kept)


class _Work:
    """One rebuild from beginning to end."""

    def __init__(
        self,
        database: Database,
        order: Order,
        row: Record,
        clock_us: Callable[[], int],
        on_progress: Callable[[Progress], None],
        is_cancelled: Callable[[], bool],
        on_row: OnRow,
    ) -> None:
        self._database = database
        self._order = order
        self._row = row
        self._clock_us = clock_us
        self._on_progress = on_progress
        self._is_cancelled = is_cancelled
        self._on_row = on_row
        self._progress = Progress()
        self._memory_bytes_max = 0
        self._standings: list[Standing] = []
        self._differences: list[Difference] = []

    def run(self, guard: psycopg.Connection[Any]) -> Rebuilt:
        """Raises as `rebuild` does."""
        began_s = time.monotonic()
        order = self._order
        tables = generation.tables_of(order.projections)
        generation.drop_leftovers(guard, tables)
        with self._connect() as connection:
            self._do(connection, lambda: refuse_without_room(connection, tables))
        checkpointing.checkpoints(guard, order.projections)
        until = self._until(reader.head(guard))
        building = Building(
            order.projections, self._row.number, until, is_final=order.to_position is not None
        )
        try:
            try:
                self._build(building, until)
            finally:
                self._drop(guard, tables)
        except BaseException:
            if guard.closed or not self._row.is_switched:
                raise
            # What is committed is done: the cancellation, or the loss of the answer, came too late.
            self._drop(guard, tables)
        seconds = time.monotonic() - began_s
        return Rebuilt(
            id=self._row.number,
            purpose=order.purpose,
            position=min(building.positions.values()),
            events=self._progress.events_done,
            seconds=round(seconds, 3),
            events_per_s=round(self._progress.events_done / seconds, 1),
            standings=self._standings,
            switched=order.purpose == "rebuild",
            parked={name: len(errors) for name, errors in building.parked.items()},
            memory_bytes_max=max(self._memory_bytes_max, memory_bytes_max()),
            differences=self._differences,
        )

    def _build(self, building: Building, until: int) -> None:
        with self._connect() as connection:
            prepare_session(connection)
            self._do(connection, lambda: generation.make(connection, building.tables, building.suffix))
            self._fold(connection, building, until)
            self._enter("catching_up")
            self._catch_up(connection, building)
            if self._order.purpose == "rebuild":
                self._enter("switching")
                self._standings = self._switch(connection, building)
            else:
                self._standings, self._differences = self._compare(connection, building)

    def _until(self, head: int) -> int:
        wanted = self._order.to_position
        if wanted is None:
            followed = self._followed_to()
            is_near = followed is not None and head - followed <= LIVE_LAG_EVENTS_MAX
            return followed if followed is not None and (is_near or self._order.purpose == "verify") else head
        if not 0 < wanted <= head:
            expected = f"a position from 1 to {head}" if head else "no position: the ledger is empty"
            raise ParameterInvalid(name="to", expected=expected, got=wanted)
        return wanted

    def _followed_to(self) -> int | None:
        """Where the live rows stand, if they are not to be passed, or else nothing could be compared:
        while a runner moves them on, or when they are verified, wherever they stand."""
        with self._connect() as connection:
            if self._order.purpose != "verify":
                key = runner.runner_lock_key(self._database.schema)
                row = connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()
                if row is None or row[0]:
                    return None  # nobody runs; the lock goes with the connection
            return min(checkpointing.positions_of(connection, self._order.projections).values())

    def _connect(self) -> psycopg.Connection[Any]:
        return connect(self._database, application_name="streamledger rebuild")

    def _drop(self, guard: psycopg.Connection[Any], tables: Sequence[str]) -> None:
        if not guard.closed:  # else the next rebuild or the next start drops them
            generation.drop_leftovers(guard, tables)

    def _check(self, *, now: bool = False) -> None:
        """Show the progress; raises RebuildCancelled when somebody has asked for it."""
        self._on_progress(self._progress)
        self._row.write(self._progress, now=now)
        if self._row.cancel_asked or self._is_cancelled():
            raise RebuildCancelled

    def _enter(self, phase: str) -> None:
        self._progress.phase = phase
        self._check(now=True)

    def _fold(self, connection: psycopg.Connection[Any], building: Building, until: int) -> None:
        order = self._order
        streamwise = streamwise_of({each.name for each in order.projections})
        sequential = {each.name: each for each in order.projections if each.name not in streamwise}
        workers = min(order.workers or os.cpu_count() or 1, WORKERS_MAX)
        self._progress.events_total = until * (bool(streamwise) + len(sequential))
        self._enter("folding")
        # What takes batches in looks rows up, so its tables need their indexes from the beginning.
        late = generation.tables_of(each for each in order.projections if each.name in streamwise)
        early = generation.tables_of(sequential.values())
        if early:
            building.index(self._connect, early, self._check, workers, self._progress)
        task = Task(
            database=self._database,
            suffix=building.suffix,
            until=until,
            streamwise=streamwise,
            sequential=sequential,
        )
        began_s, before = 0.0, 0
        alone = not order.workers and until <= ALONE_EVENTS_MAX
        with (
            self._connect() as listing,
            closing(units(listing)) as found,
            self._connect() as own,
            Alone(task, own, self._check) if alone else Crew(task, workers, self._check) as crew,
        ):
            for done in crew.work(found if streamwise else iter(()), dict.fromkeys(sequential, 0), until):
                building.note(done)
                self._memory_bytes_max = max(self._memory_bytes_max, done.memory_bytes_max)
                if not began_s:  # workers take a second to start, which says nothing about their pace
                    began_s, before = time.monotonic(), self._progress.events_done + done.events
                self._progress.events_done += done.events
                lasted_s = time.monotonic() - began_s
                if lasted_s >= PACE_AFTER_S:
                    done_s = max(0, self._progress.events_done - before) / lasted_s
                    self._progress.events_per_s = done_s
                self._check()
        if late:
            self._progress.indexes_done = self._progress.indexes_total = 0  # of those made before the fold
            self._enter("indexing")
            self._do(connection, lambda: building.add_up(connection, streamwise))
            building.index(self._connect, late, self._check, workers, self._progress)
        self._do(connection, lambda: building.take_strays(connection, streamwise))
        if building.is_crowded:
            self._enter("folding")
            self._do(connection, lambda: building.take_crowded(connection, streamwise, self._progress))

    def _catch_up(self, connection: psycopg.Connection[Any], building: Building) -> None:
        while True:
            taken = self._take_in(connection, building, self._followed_to())
            self._progress.events_done += taken * len(self._order.projections)
            if taken < CLOSE_EVENTS:
                break
        if self._order.to_position is None and self._order.purpose == "rebuild":
            self._let_live_catch_up(building)

    def _let_live_catch_up(self, building: Building) -> None:
        """Bring live tables that nobody moves on to the same position, if it is not far: to be compared."""
        with self._connect() as connection:
            prepare_session(connection)
            key = runner.runner_lock_key(self._database.schema)
            locked = connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()
            if locked is None or not locked[0]:
                return  # a runner is at work; it will have passed the generation's position
            live = checkpointing.checkpoints(connection, building.projections)
            if min(building.positions.values()) - min(live.values()) <= LIVE_LAG_EVENTS_MAX:
                now_us = self._clock_us()
                self._do(
                    connection,
                    lambda: runner.catch_up(connection, self._database.schema, building.projections, now_us),
                )

    def _take_in(
        self, connection: psycopg.Connection[Any], building: Building, until: int | None = None
    ) -> int:
        return self._do(connection, lambda: building.catch_up(connection, until))

    def _do(self, connection: psycopg.Connection[Any], work: Callable[[], T]) -> T:
        """Work that may last, on a thread: a cancellation breaks its statement off."""
        return interruptible([work], [connection], self._check)[0]

    def _switch(self, connection: psycopg.Connection[Any], building: Building) -> list[Standing]:
        for left in reversed(range(SWITCH_TRIES_MAX)):
            self._check()
            try:
                return self._do(
                    connection,
                    lambda: building.switch(connection, self._database.schema, self._clock_us(), self._mark),
                )
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
                if not left:
                    raise SwitchBlocked from error
                logger.info("readers are in the way of the switch; trying again")
                self._take_in(connection, building)
        raise AssertionError("unreachable")

    def _mark(self, connection: psycopg.Connection[Any], standings: list[Standing]) -> None:
        """The last statement of the switch."""
        self._standings = standings
        self._row.mark_switched(connection, self._clock_us(), digests_equal=all_equal(standings))

    def _compare(
        self, connection: psycopg.Connection[Any], building: Building
    ) -> tuple[list[Standing], list[Difference]]:
        """Digests, and for a dry run the rows, of live and rebuilt tables at one position."""
        with self._connect() as snapshot:
            with self._connect() as lock, lock.transaction():
                # The runner waits until the snapshot is taken, which so sees both at one position.
                found = building.lock(lock)
                self._take_in(connection, building, max(live.position for live in found))
                snapshot.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                snapshot.execute("SELECT FROM projections")
            standings = building.standings(found)
            if self._order.purpose != "dry_run":
                return standings, []
            return standings, self._do(
                snapshot,
                lambda: compare(
                    snapshot,
                    building.tables,
                    building.suffix,
                    self._order.examples_max,
                    on_row=self._on_row,
                ),
            )
