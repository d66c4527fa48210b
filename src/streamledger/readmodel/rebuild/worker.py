"""A rebuild's worker process: takes units of work from its parent, folds them, copies the rows in."""

import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any, Final

import msgspec
import psycopg

from streamledger.domain.errors import StreamledgerError
from streamledger.ledger import reader
from streamledger.postgres.connection import Database, connect
from streamledger.readmodel import rows as row_types
from streamledger.readmodel.facts import Fact, History, Sorting
from streamledger.readmodel.parking import NOT_THE_EVENTS_FAULT, described, take_in_or_park
from streamledger.readmodel.projection import Projection, events_and_errors
from streamledger.readmodel.rebuild.folding import Streamwise
from streamledger.readmodel.rebuild.part_way import PartWay
from streamledger.readmodel.rebuild.registry import ADDED_UP_FROM
from streamledger.readmodel.rebuild.source import INDEX_ORDER, UnitReader
from streamledger.readmodel.rebuild.spill import Spill
from streamledger.readmodel.rebuild.units import Stretch, Unit
from streamledger.readmodel.row_tables import RowTables
from streamledger.readmodel.rows import Lines, TableRow
from streamledger.readmodel.runner import INDEXES_ONLY

LINES_PER_COPY: Final = 20_000
STRETCH_EVENTS: Final = 2000
COLLECT_AFTER: Final = (100_000, 20, 50)
"""Objects made before the collector of cycles looks: rows have none, and each look goes over all of them."""
POISON_PER_UNIT_MAX: Final = 100
"""More than that is no poison but a fault of the fold, and ends the rebuild."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What every worker of one rebuild is given at its start."""

    database: Database
    suffix: str
    until: int
    """The position up to which history is folded."""
    streamwise: Mapping[str, Streamwise]
    """Projections that are folded stream by stream."""
    sequential: Mapping[str, Projection]
    """Projections that take history in order, batch by batch."""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker reports of work whose rows are in the generation's tables."""

    events: int
    digests: dict[str, int] = {}
    """By projection, what the rows add."""
    parked: dict[str, dict[int, str]] = {}
    """By projection, position to error of the events that could not be taken in."""
    strays: tuple[int, ...] = ()
    """Positions of events whose body names another stream than the one they are stored under."""
    crowded: str = ""
    """A stream with too many sessions to be folded in memory: it is taken in batch by batch, later."""
    goes_on: bool = False
    """Whether this is told part-way: of the same work more is to come, and its rows are not there yet."""
    reached: int = 0
    """Of a stretch: the last position."""
    memory_bytes_max: int = 0


def run_worker(task: Task, pipe: Connection) -> None:
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
                    if isinstance(work, Unit):
                        done = fold_unit(connection, task, work, pipe.send)
                    else:
                        done = take_stretch(connection, task, work)
                except Exception as error:  # told to the parent, which ends the rebuild
                    pipe.send(described(error))
                    return
                pipe.send(msgspec.structs.replace(done, memory_bytes_max=memory_bytes_max()))


def prepare_session(connection: psycopg.Connection[Any]) -> None:
    """Settings of a connection that reads the ledger by streams and fills a generation."""
    for statement in (*INDEX_ORDER, *INDEXES_ONLY, "SET synchronous_commit = off"):
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
    with connection.transaction():
        digest, poison = take_in_or_park(connection, task.sequential[stretch.projection], events, task.suffix)
    return Done(
        events=len(rows),
        digests={stretch.projection: digest},
        parked={stretch.projection: errors | poison},
        reached=rows[-1][0] if rows else task.until,
    )


def fold_unit(
    connection: psycopg.Connection[Any], task: Task, unit: Unit, tell: Callable[[Done], None] = lambda _: None
) -> Done:
    """Fold a unit and copy its rows in; what cannot be taken in is left out and named.

    Of a long one `tell` is given part-way how many of its events are done; they are not counted again.
    """
    source = UnitReader(connection, unit, task.until)
    folds = sum(name not in ADDED_UP_FROM for name in task.streamwise)
    part_way = PartWay(folds, unit.events, lambda events: tell(Done(events=events, goes_on=True)))
    digests: dict[str, int] = {}
    parked: dict[str, dict[int, str]] = {}
    with ExitStack() as stack:
        folding: Folding
        if unit.is_long:
            spill = stack.enter_context(Spill(unit.first, unit.events))
            for each in part_way.reading(source.read()):
                spill.put(each)
            if spill.is_crowded:  # what was told is taken back: its events are taken in later
                return Done(events=-part_way.told, strays=tuple(source.strays), crowded=unit.first)
            folding = partial(_long, spill, part_way)
        else:
            folding = partial(_short, Sorting(source.read()).sorted())
        for name, streamwise in task.streamwise.items():
            tables = streamwise.row_tables(connection, task.suffix)
            digests[name], parked[name] = _fold(connection, tables, partial(folding, streamwise))
    for errors in parked.values():
        errors.update(source.errors)
    return Done(
        events=source.events - part_way.told, digests=digests, parked=parked, strays=tuple(source.strays)
    )


class _Poison(StreamledgerError):
    """the event at position {position} cannot be taken in: {cause}"""


View = Callable[[History], History]
"""What of a history is to be folded; sees every fact before the fold does."""
Folding = Callable[[Streamwise, View], Iterator[TableRow | Lines]]


def _short(history: History, streamwise: Streamwise, view: View) -> Iterator[TableRow | Lines]:
    return streamwise.fold(view(history))


def _long(spill: Spill, part_way: PartWay, streamwise: Streamwise, view: View) -> Iterator[TableRow | Lines]:
    defining, media = part_way.folding(streamwise, spill.defining(), spill.media())
    return streamwise.fold_long(map(view, defining), map(view, media))


def _fold(
    connection: psycopg.Connection[Any],
    tables: RowTables,
    folding: Callable[[View], Iterator[TableRow | Lines]],
) -> tuple[int, dict[int, str]]:
    """Fold once more without each event that makes the fold fail; one transaction in the end."""
    parked: dict[int, str] = {}
    in_hand = 0
    in_lane = True

    def wanted(facts: Iterable[Fact]) -> Iterator[Fact]:
        nonlocal in_hand
        for fact in facts:
            in_hand = fact.position
            if in_hand not in parked:
                yield fact

    def view(history: History) -> History:
        whole = history if in_lane else history.without_lane()
        return History(wanted(whole.facts), whole.lane)

    while True:
        try:
            with connection.transaction():
                return copy_rows(tables, folding(view)), parked
        except NOT_THE_EVENTS_FAULT:
            raise
        except Exception as error:  # whatever one event does to the fold, the others go on
            if in_lane:  # in the lane no event is in hand, beside it each is, and the next fault has a name
                in_lane = False
                continue
            if in_hand in parked or len(parked) >= POISON_PER_UNIT_MAX:
                raise _Poison(position=in_hand, cause=described(error)) from error
            parked[in_hand] = described(error)


def copy_rows(tables: RowTables, rows: Iterable[TableRow | Lines]) -> int:
    """Copy rows in, some thousands at a time; returns what they add to the digest, modulo 2^64."""
    digest = 0
    lines: dict[str, list[str]] = {table: [] for table in tables.types}
    copy_line = row_types.copy_line
    waiting = 0
    for row in rows:
        if isinstance(row, Lines):
            lines[row.table] += row.lines
            waiting += len(row.lines)
        else:
            lines[row.TABLE].append(copy_line(row))
            waiting += 1
        if waiting >= LINES_PER_COPY:
            digest += _copy(tables, lines)
            waiting = 0
    digest += _copy(tables, lines)
    return digest % row_types.DIGEST_MODULUS


def _copy(tables: RowTables, lines: dict[str, list[str]]) -> int:
    digest = 0
    for table, found in lines.items():
        tables.copy_in(table, found)
        digest += row_types.digest_of_all(table, found)
        found.clear()
    return digest
