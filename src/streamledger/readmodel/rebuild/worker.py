"""A rebuild's worker process: takes units of work from its parent, folds them, copies the rows in."""

import gc
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any, Final, assert_never

import msgspec
import psycopg

from streamledger.ledger import reader
from streamledger.postgres.connection import STORE_FAULTS, Database, connect
from streamledger.readmodel.fold.nothing import Lines, Nothing
from streamledger.readmodel.projections.addresses import SendersView, senders_of
from streamledger.readmodel.projections.parking import described, take_in_or_park, take_or_park
from streamledger.readmodel.projections.reading import events_and_errors, read_facts_at
from streamledger.readmodel.projections.runner import INDEXES_ONLY
from streamledger.readmodel.projections.sessions import SessionsView
from streamledger.readmodel.projections.tallies import TalliesView
from streamledger.readmodel.projections.view import Projection
from streamledger.readmodel.projections.writing import copy_in
from streamledger.readmodel.rebuild.bulk import COLUMNS, fold_streams, tally
from streamledger.readmodel.rebuild.part_way import PartWay
from streamledger.readmodel.rebuild.reading import Pass, read_rows
from streamledger.readmodel.rebuild.senders import Told
from streamledger.readmodel.rebuild.shuffle import Run, SharedFile, event_of, read_kept
from streamledger.readmodel.rebuild.spill import Spill
from streamledger.readmodel.rebuild.units import EVENTS_PER_UNIT, Reading, Stretch, Unit

LINES_PER_COPY: Final = 20_000
STRETCH_EVENTS: Final = 2000
COLLECT_AFTER: Final = (100_000, 20, 50)
"""Objects made before the collector of cycles looks: rows have none, and each look goes over all of them."""
logger = logging.getLogger(__name__)


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What every worker of one rebuild is given at its start."""

    database: Database
    suffix: str
    until: int
    """The position up to which history is folded."""
    read: Sequence[str]
    """Projections that are made of one pass over the ledger."""
    buckets: int
    """Into which that pass sorts it."""
    sequential: Mapping[str, Projection]
    """Projections that take history in order, batch by batch."""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker reports of work whose rows are in the generation's tables."""

    events: int
    parked: dict[str, dict[int, str]] = {}
    """By projection, position to error of the events that could not be taken in."""
    left: Unit | None = None
    """What is to be taken in batch by batch, later: of too many sessions, or with a poison event."""
    goes_on: bool = False
    """Whether this is told part-way: of the same work more is to come, and its rows are not there yet."""
    projection: str = ""
    """Of a stretch: whose it is."""
    reached: int = 0
    """Of a stretch: the last position."""
    told: bytes | None = None
    """Of a reading: what it says of senders, for `SendersInOrder`."""
    run: Run | None = None
    """Likewise, where it lies, sorted."""
    memory_bytes_max: int = 0


class Share(msgspec.Struct, frozen=True):
    """The files of all workers, and which of them is this one's."""

    files: Sequence[SharedFile]
    number: int


Work = Unit | Stretch | Reading


def run_worker(task: Task, share: Share, pipe: Connection) -> None:
    """Work until the parent sends None or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the parent's to answer
    _end_with_parent()
    gc.freeze()  # what is imported stays
    gc.set_threshold(*COLLECT_AFTER)
    with connect(task.database, application_name="streamledger rebuild") as connection:
        prepare_session(connection)
        with suppress(EOFError):
            while (work := pipe.recv()) is not None:
                try:
                    done = do(connection, task, share, work, pipe.send)
                except Exception as error:  # told to the parent, which ends the rebuild
                    pipe.send(described(error))
                    return
                pipe.send(msgspec.structs.replace(done, memory_bytes_max=memory_bytes_max()))


def do(
    connection: psycopg.Connection[Any],
    task: Task,
    share: Share,
    work: Work,
    tell: Callable[[Done], None] = lambda _: None,
) -> Done:
    """Do it, whatever it is; of long work `tell` is given part-way how much is done."""
    match work:
        case Unit():
            return fold_unit(connection, task, share.files, work, tell)
        case Stretch():
            return take_stretch(connection, task, work)
        case Reading():
            return read_piece(connection, task, share, work)
        case _:
            assert_never(work)


def prepare_session(connection: psycopg.Connection[Any]) -> None:
    """Settings of a connection that reads the ledger and fills a generation."""
    for statement in (*INDEXES_ONLY, "SET synchronous_commit = off"):
        # The rows need not survive by themselves: the switch's own commit puts all before it on disk.
        connection.execute(statement)


def memory_bytes_max() -> int:
    """The most memory that this process has had; 0 where that is not told."""
    if sys.platform == "win32":
        return 0
    import resource  # noqa: PLC0415  # not there on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _end_with_parent() -> None:
    """A parent that was killed can tell its workers nothing: they watch it."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101  # this runs in a child only

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def take_stretch(connection: psycopg.Connection[Any], task: Task, stretch: Stretch) -> Done:
    """Let a sequential projection take the next events in, in one transaction."""
    rows = reader.read_rows_after(connection, stretch.after, STRETCH_EVENTS, task.until)
    events, errors = events_and_errors(rows)
    view = task.sequential[stretch.projection](connection, task.database.schema, task.suffix)
    with connection.transaction():
        errors |= take_in_or_park(view, events)
    return Done(
        events=len(rows),
        parked={stretch.projection: errors},
        reached=rows[-1][0] if rows else task.until,
        projection=stretch.projection,
    )


def read_piece(connection: psycopg.Connection[Any], task: Task, share: Share, piece: Reading) -> Done:
    """Read a piece of the ledger: sort it into buckets, count it, and say what it tells of senders."""
    done = Pass(task.read, task.buckets)
    tallies = TalliesView(connection, task.database.schema, task.suffix)
    count, after, uncounted = 0, piece.after, dict[int, str]()
    while after < piece.until and (rows := read_rows(connection, after, piece.until, EVENTS_PER_UNIT)):
        done.take(rows)
        count, after = count + len(rows), rows[-1][0]
        uncounted |= take_or_park(
            tallies, lambda counted: copy_lines(connection, task.suffix, tally(counted)), done.counted
        )
        done.counted.clear()
    sorts = SessionsView.name in task.read
    return Done(
        # What is not sorted is not folded either, and is done with.
        events=count + (count - done.sorter.events if sorts else 0),
        parked={
            name: done.errors | uncounted if name == TalliesView.name else done.errors for name in task.read
        },
        told=Told(piece.after, piece.until, done.shown).encoded() if SendersView.name in task.read else None,
        run=done.sorter.write(piece.after, share.number, share.files[share.number]) if sorts else None,
    )


def fold_unit(
    connection: psycopg.Connection[Any],
    task: Task,
    files: Sequence[SharedFile],
    unit: Unit,
    tell: Callable[[Done], None] = lambda _: None,
) -> Done:
    """Fold a unit and copy its rows in. When the fold fails, its streams are left to be taken in otherwise.

    Of a long one `tell` is given part-way how many of its events are done; they are not counted again.
    """
    view = Nothing(senders_of(connection, task.suffix), partial(read_facts_at, connection))
    events = map(event_of, read_kept(files, unit))
    part_way = PartWay(unit.events, lambda events: tell(Done(events=events, goes_on=True)))
    try:
        with ExitStack() as stack, connection.transaction():
            if unit.is_long:
                spill = stack.enter_context(Spill(unit.events))
                for event in part_way.reading(events):
                    spill.put(event)
                if spill.is_oversized:
                    raise _Oversized
                found = fold_streams(view, *part_way.folding(spill.defining(), spill.media()))
            else:
                found = fold_streams(view, [list(events)])
            copy_lines(connection, task.suffix, found)
    except STORE_FAULTS:
        raise
    except Exception as error:  # of one event, whichever it is: taken in batch by batch it is found
        if not isinstance(error, _Oversized):
            logger.warning("streams are taken in batch by batch: %s", described(error))
        # What was told is taken back: its events are taken in later.
        return Done(events=-part_way.told, left=unit)
    return Done(events=unit.events - part_way.told)


class _Oversized(Exception):
    """A long unit has more sessions than are to be held in memory."""


def copy_lines(connection: psycopg.Connection[Any], suffix: str, found: Iterable[Lines]) -> None:
    """Copy rows in, some thousands at a time."""
    waiting: dict[str, list[str]] = {}
    count = 0
    for table, lines in found:
        waiting.setdefault(table, []).extend(lines)
        count += len(lines)
        if count >= LINES_PER_COPY:
            _copy(connection, suffix, waiting)
            count = 0
    _copy(connection, suffix, waiting)


def _copy(connection: psycopg.Connection[Any], suffix: str, waiting: dict[str, list[str]]) -> None:
    for table, lines in waiting.items():
        copy_in(connection, table + suffix, COLUMNS[table], lines)
        lines.clear()
