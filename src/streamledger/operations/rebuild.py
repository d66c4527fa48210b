"""Rebuild the read model from history beside the live tables, compare, and switch; or only compare."""

import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Any, Final, TypeVar

import msgspec
import psycopg

from streamledger.domain.errors import ParameterInvalid
from streamledger.domain.rebuild_answers import Change
from streamledger.domain.suspicion import DEFAULT_LIMITS, SuspectLimits
from streamledger.ledger import reader
from streamledger.operations.rebuilt import Rebuilt
from streamledger.postgres.connection import Database, connect
from streamledger.postgres.errors import LeaseLost
from streamledger.postgres.lease import IS_HELD_SQL, Lease
from streamledger.readmodel.projections import checkpoints as checkpointing
from streamledger.readmodel.projections import runner
from streamledger.readmodel.projections.addresses import SendersView
from streamledger.readmodel.projections.sessions import SessionsView
from streamledger.readmodel.projections.view import Projection
from streamledger.readmodel.rebuild import digests, generation, record
from streamledger.readmodel.rebuild.building import Building, Standing, all_equal, prepare_session
from streamledger.readmodel.rebuild.changes import changes
from streamledger.readmodel.rebuild.comparison import Difference, OnRow, compare, kept_of
from streamledger.readmodel.rebuild.interrupting import interruptible
from streamledger.readmodel.rebuild.reading import READ
from streamledger.readmodel.rebuild.record import Progress, Record, SwitchBlocked
from streamledger.readmodel.rebuild.room import refuse_without_room, refuse_without_room_to_sort
from streamledger.readmodel.rebuild.senders import SendersInOrder
from streamledger.readmodel.rebuild.shuffle import SharedFile, bucket_count, make_file
from streamledger.readmodel.rebuild.worker import Task, memory_bytes_max
from streamledger.readmodel.rebuild.worker_pool import Alone, RebuildCancelled, WorkerPool, work_through

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
    limits: SuspectLimits = DEFAULT_LIMITS
    """By which a dry run says who is suspect, before and after."""


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
    NoRoomToSort, NoTemporaryFiles, ParameterInvalid, SwitchBlocked, LeaseLost, WorkerFailed or
    StoreUnavailable besides.
    """
    with (
        record.only_one(database) as lease,
        connect(database, application_name="streamledger rebuild record") as guard,
    ):
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
        work = _Work(database, order, row, lease, clock_us, on_progress, is_cancelled, on_row)
        try:
            done = work.run(guard)
        except (RebuildCancelled, KeyboardInterrupt):
            row.end("cancelled", clock_us(), lease, digests_equal=None)
            raise
        except Exception as error:
            with suppress(psycopg.Error):  # without a connection, the next rebuild or start closes the row
                row.end("failed", clock_us(), lease, digests_equal=None, error=str(error)[:1000])
            raise
        row.end(
            "done",
            clock_us(),
            lease,
            digests_equal=done.digests_equal,
            differences=None
            if order.purpose != "dry_run"
            else kept_of(done.differences, done.changes, EXAMPLES_KEPT_MAX),
        )
        return done


class _Work(msgspec.Struct):
    """One rebuild from beginning to end."""

    database: Database
    order: Order
    row: Record
    lease: Lease
    clock_us: Callable[[], int]
    on_progress: Callable[[Progress], None]
    is_cancelled: Callable[[], bool]
    on_row: OnRow
    progress: Progress = msgspec.field(default_factory=Progress)
    memory_bytes_max: int = 0
    standings: list[Standing] = []
    differences: list[Difference] = []
    changes: list[Change] = []

    def run(self, guard: psycopg.Connection[Any]) -> Rebuilt:
        """Raises as `rebuild` does."""
        began_s = time.monotonic()
        order = self.order
        tables = generation.tables_of(order.projections)
        generation.drop_leftovers(guard, tables)
        with self._connect() as connection:
            self._do(connection, lambda: refuse_without_room(connection, tables))
        checkpointing.checkpoints(guard, order.projections)
        until = self._until(reader.head(guard))
        building = Building(
            order.projections,
            self.database.schema,
            self.row.number,
            until,
            is_final=order.to_position is not None,
            progress=self.progress,
        )
        try:
            try:
                self._build(building, until)
            finally:
                self._drop(guard, tables)
        except BaseException:
            if guard.closed or not self.row.is_switched:
                raise
            # What is committed is done: the cancellation, or the loss of the answer, came too late.
            self._drop(guard, tables)
        self.row.write(self.progress, now=True)
        seconds = time.monotonic() - began_s
        return Rebuilt(
            id=self.row.number,
            purpose=order.purpose,
            position=min(building.positions.values()),
            events=self.progress.events_done,
            seconds=round(seconds, 3),
            events_per_s=round(self.progress.events_done / seconds, 1),
            standings=self.standings,
            switched=order.purpose == "rebuild",
            parked={name: len(errors) for name, errors in building.parked.items()},
            memory_bytes_max=max(self.memory_bytes_max, memory_bytes_max()),
            differences=self.differences,
            changes=self.changes,
        )

    def _build(self, building: Building, until: int) -> None:
        with self._connect() as connection:
            prepare_session(connection)
            self._do(connection, lambda: generation.make(connection, building.tables, building.suffix))
            self._fold(connection, building, until)
            self._enter("catching_up")
            self._catch_up(connection, building)
            self._enter("comparing")
            self.standings = self._compare(connection, building)
            if self.order.purpose == "rebuild":
                self._enter("switching")
                self._switch(connection, building)
            elif self.order.purpose == "verify":
                self._note_digests(connection, [each for each in self.standings if each.equal])

    def _until(self, head: int) -> int:
        wanted = self.order.to_position
        if wanted is None:
            followed = self._followed_to()
            is_near = followed is not None and head - followed <= LIVE_LAG_EVENTS_MAX
            return followed if followed is not None and (is_near or self.order.purpose == "verify") else head
        if not 0 < wanted <= head:
            expected = f"a position from 1 to {head}" if head else "no position: the ledger is empty"
            raise ParameterInvalid(name="to", expected=expected, got=wanted)
        return wanted

    def _followed_to(self) -> int | None:
        """Where the live rows stand, if they are not to be passed, or else nothing could be compared:
        while a runner moves them on, or when they are verified, wherever they stand."""
        with self._connect() as connection:
            if self.order.purpose != "verify":
                held = connection.execute(IS_HELD_SQL, {"name": runner.LEASE}).fetchone()
                if held is None:
                    return None  # nobody runs
            return min(checkpointing.positions_of(connection, self.order.projections).values())

    def _connect(self) -> psycopg.Connection[Any]:
        return connect(self.database, application_name="streamledger rebuild")

    def _drop(self, guard: psycopg.Connection[Any], tables: Sequence[str]) -> None:
        if guard.closed:
            return  # the next rebuild or the next start drops them
        with suppress(LeaseLost):  # else another's generation would be dropped
            self.lease.fence(guard)
            generation.drop_leftovers(guard, tables)

    def _check(self, *, now: bool = False) -> None:
        """Show the progress; raises RebuildCancelled when somebody has asked for it."""
        self.on_progress(self.progress)
        self.row.write(self.progress, now=now)
        if self.row.cancel_asked or self.is_cancelled():
            raise RebuildCancelled

    def _enter(self, phase: str) -> None:
        self.progress.phase = phase
        self._check(now=True)

    def _fold(self, connection: psycopg.Connection[Any], building: Building, until: int) -> None:
        order = self.order
        read = [each.name for each in order.projections if each.name in READ]
        sequential = {each.name: each for each in order.projections if each.name not in READ}
        workers = min(order.workers or os.cpu_count() or 1, WORKERS_MAX)
        sorts = SessionsView.name in read
        self.progress.begin(until, bool(read) + sorts + len(sequential))
        self._enter("folding")
        # What takes batches in looks rows up, so its tables need their indexes from the beginning.
        early = generation.tables_of(
            each for each in order.projections if each.name in (SendersView.name, *sequential)
        )
        late = [table for table in building.tables if table not in early]
        if early:
            building.index(self._connect, early, self._check, workers, self.progress)
        task = Task(
            database=self.database,
            suffix=building.suffix,
            until=until,
            read=read,
            buckets=bucket_count(until),
            sequential=sequential,
        )
        alone = not order.workers and until <= ALONE_EVENTS_MAX
        with ExitStack() as stack:
            files = [stack.enter_context(make_file()) for _ in range(sorts * (1 if alone else workers))]
            if sorts:
                self._do(connection, lambda: refuse_without_room_to_sort(connection, until))
            shared = [SharedFile(file.fileno()) for file in files]
            senders = SendersInOrder(connection, self.database.schema, building.suffix)
            with (
                self._connect() as own,
                Alone(task, own, self._check, shared)
                if alone
                else WorkerPool(task, workers, self._check, shared) as pool,
            ):
                for done in work_through(pool, task, shared, senders):
                    building.note(done)
                    self.memory_bytes_max = max(self.memory_bytes_max, done.memory_bytes_max)
                    self.progress.add(done.events, time.monotonic())
                    self._check()
            if not building.has_left:
                stack.close()  # the indexes may need the room
            if late:
                # Of those that were made before the fold.
                self.progress.indexes_done = self.progress.indexes_total = 0
                self._enter("indexing")
                self._do(connection, lambda: building.add_up(connection))
                building.index(self._connect, late, self._check, workers, self.progress)
            if building.has_left:
                self._enter("folding")
                self._do(connection, lambda: building.take_left(connection, shared, self.progress))

    def _catch_up(self, connection: psycopg.Connection[Any], building: Building) -> None:
        while True:
            taken = self._take_in(connection, building, self._followed_to())
            if taken < CLOSE_EVENTS:
                break
        if self.order.to_position is None and self.order.purpose == "rebuild":
            self._let_live_catch_up(building)

    def _let_live_catch_up(self, building: Building) -> None:
        """Bring live tables that nobody moves on to the same position, if it is not far: to be compared."""
        with self._connect() as connection:
            prepare_session(connection)
            lease = Lease(connection, runner.LEASE)
            if not lease.take():
                return  # a runner is at work; it will have passed the generation's position
            live = checkpointing.checkpoints(connection, building.projections)
            if min(building.positions.values()) - min(live.values()) <= LIVE_LAG_EVENTS_MAX:
                now_us = self.clock_us()
                self._do(
                    connection,
                    lambda: runner.catch_up(connection, self.database.schema, building.projections, now_us),
                )
            lease.release()

    def _take_in(
        self, connection: psycopg.Connection[Any], building: Building, until: int | None = None
    ) -> int:
        return self._do(connection, lambda: building.catch_up(connection, until))

    def _do(self, connection: psycopg.Connection[Any], work: Callable[[], T]) -> T:
        """Work that may last, on a thread: a cancellation breaks its statement off."""
        return interruptible([work], [connection], self._check)[0]

    def _switch(self, connection: psycopg.Connection[Any], building: Building) -> None:
        for left in reversed(range(SWITCH_TRIES_MAX)):
            self._check()
            try:
                self._do(connection, lambda: building.switch(connection, self.clock_us(), self._mark))
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
                if not left:
                    raise SwitchBlocked from error
                logger.info("readers are in the way of the switch; trying again")
                self._take_in(connection, building)
            else:
                return
        raise AssertionError("unreachable")

    def _mark(self, connection: psycopg.Connection[Any]) -> None:
        """The last statements of the switch."""
        self._note_digests(connection, self.standings)
        self.row.mark_switched(connection, self.clock_us(), digests_equal=all_equal(self.standings))
        self.lease.fence(connection)

    def _note_digests(self, connection: psycopg.Connection[Any], standings: Sequence[Standing]) -> None:
        for each in standings:  # where none was counted, one of rows that are gone is forgotten
            position = None if each.rebuilt_digest is None else each.rebuilt_position
            digests.note(connection, each.projection, position, each.rebuilt_digest)

    def _compare(self, connection: psycopg.Connection[Any], building: Building) -> list[Standing]:
        """Digests, and for a dry run the rows, of live and rebuilt tables at one position.

        Before a switch only where they are to be equal: rows of other rules, or of another position, are not.
        """
        purpose = self.order.purpose
        with self._connect() as snapshot, self._connect() as beside:
            with self._connect() as lock, lock.transaction():
                # The runner waits until the snapshot is taken, which so sees both at one position.
                found = building.lock(lock)
                self._take_in(connection, building, max(live.position for live in found))
                digests.share_a_snapshot(snapshot, beside)
            versions = {each.name: each.version for each in building.projections}
            wanted = [
                live.projection
                for live in found
                if live.position == building.positions[live.projection]
                and (purpose != "rebuild" or live.version == versions[live.projection])
            ]
            tables = {each.name: each.tables for each in building.projections if each.name in wanted}
            both = digests.of_both(snapshot, beside, tables, building.suffix, self._check)
            standings = building.standings(found, both)
            if purpose == "dry_run":
                self._do(snapshot, lambda: self._tell(snapshot, building))
            return standings

    def _tell(self, snapshot: psycopg.Connection[Any], building: Building) -> None:
        """How the generations differ, by rows and by answers."""
        given = (snapshot, building.tables, building.suffix)
        examples_max = self.order.examples_max
        self.differences = compare(*given, examples_max, on_row=self.on_row)
        now_ms = self.clock_us() // 1000
        self.changes = changes(*given, now_ms=now_ms, limits=self.order.limits, examples_max=examples_max)
