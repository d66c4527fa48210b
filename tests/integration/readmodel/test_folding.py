"""Reading once and folding in units gives the rows of taking in batch by batch, whatever the history."""

import random
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import pytest

from streamledger.domain.events import PUSH_STOPPED, SCREENSHOT_CREATED
from streamledger.ledger import reader
from streamledger.ledger.acts import Actor
from streamledger.operations.rebuild import Order, rebuild
from streamledger.postgres.connection import Database
from streamledger.readmodel.fold import engine
from streamledger.readmodel.fold.facts import PlainMedia, stream_of
from streamledger.readmodel.projections import sessions, tallies
from streamledger.readmodel.projections.addresses import SendersView
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.rebuild import (
    building,
    bulk,
    generation,
    part_way,
    shuffle,
    spill,
    units,
    worker,
)
from streamledger.readmodel.rebuild.building import Building
from streamledger.readmodel.rebuild.reading import READ
from streamledger.readmodel.rebuild.shuffle import Buckets, SharedFile, event_of, make_file, read_kept
from streamledger.readmodel.rebuild.units import Unit
from streamledger.readmodel.rebuild.worker import Done, Share, Task, fold_unit, read_piece
from streamledger.simulator.truth import Shape
from tests.deliveries import LEDGER
from tests.integration.readmodel.histories import bodies, opened, positions, project, rows_of, store

SHAPE = Shape(streams=3, sessions_per_stream=4, duration_s=900, backed_up=0.4, start_unreported=0.2,
              stop_unreported=0.2, recording_interval_s=60)  # fmt: skip


def task(database: Database, until: int, buckets: int = 3) -> Task:
    return Task(database=database, suffix="_g1", until=until, read=[*READ], buckets=buckets, sequential={})


@contextmanager
def sorted_units(
    connection: psycopg.Connection[Any], task: Task, files: int = 2
) -> Iterator[tuple[Share, list[Unit]]]:
    """The ledger read into a new generation, by workers in turns, the last of them done first."""
    generation.make(connection, generation.tables_of(PROJECTIONS), task.suffix)
    with ExitStack() as stack:
        shared = [SharedFile(stack.enter_context(make_file()).fileno()) for _ in range(files)]
        found = Buckets(task.buckets, shared)
        for number, piece in reversed([*enumerate(units.readings(task.until))]):
            run = read_piece(connection, task, Share(shared, number % files), piece).run
            assert run is not None
            found.add(run)
        yield Share(shared, 0), list(found.units())


def folded(connection: psycopg.Connection[Any], task: Task) -> None:
    """A generation with all of history in it, unit by unit, as a rebuild folds it."""
    made = Building(PROJECTIONS, task.database.schema, 1, task.until)
    with sorted_units(connection, task) as (share, found):
        for unit in found:
            made.note(fold_unit(connection, task, share.files, unit))
    made.add_up(connection)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_rows_are_those_of_the_live_tables(database: Database, seed: int, late: bool) -> None:
    with opened(database) as connection:
        store(connection, bodies(seed, SHAPE, shuffled=seed % 2 == 1, late=late), late=late)
        store(connection, [b'{"event_type": 9}', b'{"event_type": 9, "t": 1}'])
        again = bodies(seed, SHAPE, late=late)[::17]  # copies, some of plain media
        store(connection, again, late=late)
        own = task(database, reader.head(connection))
        project(connection, database.schema, random.Random(seed).choice([7, 100, 2000]))
        with sorted_units(connection, own) as (share, found):
            kept = [type(each) for unit in found for each in read_kept(share.files, unit)]
        # Signed as the history begins, nearly all is signed before it happened, and none of that is plain.
        assert (kept.count(PlainMedia) > 0.6 * len(kept)) is late
        generation.drop_leftovers(connection, generation.tables_of(PROJECTIONS))
        folded(connection, own)
        live, made = rows_of(connection), rows_of(connection, "_g1")
        of_senders = set(SendersView.tables)
        assert all(rows for table, rows in live.items() if table not in of_senders)
        assert {table: rows for table, rows in made.items() if table not in of_senders} == {
            table: rows for table, rows in live.items() if table not in of_senders
        }


def _noting(noted: list[Any], method: Any) -> Any:
    def noting(*given: Any) -> Any:
        noted.append(given)
        return method(*given)

    return noting


@pytest.mark.parametrize("seed", [2, 3])
def test_a_long_stream_in_buckets_gives_the_same_rows(
    database: Database, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spill, "BUCKET_EVENTS", 50)
    monkeypatch.setattr(units, "EVENTS_PER_UNIT", 10)
    monkeypatch.setattr(worker, "LINES_PER_COPY", 30)
    with opened(database, bodies(seed, SHAPE, shuffled=seed % 2 == 1)) as connection:
        long: list[Any] = []
        monkeypatch.setattr(spill.Spill, "defining", _noting(long, spill.Spill.defining))
        folded(connection, task(database, reader.head(connection)))
        assert long
        assert rows_of(connection, "_g1") == rows_of(connection)


def test_the_progress_adds_up_over_what_is_no_fact_and_what_cannot_be_read(database: Database) -> None:
    with opened(database) as connection:
        store(connection, bodies(4, Shape(streams=2, sessions_per_stream=1, duration_s=60)))
        store(connection, [b'{"event_type": 1, "stream_id": "room-1"}'])
        LEDGER.act(connection, "token-created", Actor(by="cli:operator", reason="", at_us=1), {"name": "ops"})
        connection.execute("ALTER TABLE ledger_events DISABLE TRIGGER USER")
        connection.execute("UPDATE ledger_events SET topic = 'of-later.v9' WHERE notification_id % 9 = 2")
        head = reader.head(connection)
        done = rebuild(database, Order(projections=PROJECTIONS), clock_us=lambda: 1)
        assert done.parked["sessions"] == done.parked["tallies"] == done.parked["addresses"] > 3
        assert done.events == 2 * head


@pytest.mark.parametrize("together", [30, 90])
def test_each_unit_has_whole_streams_in_the_order_of_their_events(
    database: Database, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(units, "EVENTS_PER_UNIT", 30)  # so are the pieces
    monkeypatch.setattr(shuffle, "EVENTS_PER_UNIT", together)
    with opened(database) as connection:
        store(connection, bodies(1, Shape(streams=9, sessions_per_stream=1, duration_s=200)))
        head = reader.head(connection)
        with sorted_units(connection, task(database, head, buckets=7)) as (share, found):
            kept = [list(read_kept(share.files, unit)) for unit in found]
    assert [len(each) for each in kept] == [unit.events for unit in found]
    assert 1 < len(kept) <= (7 if together == 30 else 5)
    assert sorted(each.position for unit in kept for each in unit) == [*range(1, head + 1)]
    streams: dict[str | None, list[int]] = {}
    for unit in kept:
        here = {stream_of(event_of(each)) for each in unit}
        assert not here & streams.keys()
        for each in unit:
            streams.setdefault(stream_of(event_of(each)), []).append(each.position)
    assert len(streams) == 9
    assert all(positions == sorted(positions) for positions in streams.values())


def test_what_is_stored_under_another_stream_is_folded_in_its_own(database: Database) -> None:
    with opened(database) as connection:
        store(connection, bodies(4, Shape(streams=2, sessions_per_stream=2, duration_s=60)))
        moved = connection.execute(
            "SELECT notification_id FROM ledger_events WHERE notification_id % 11 = 3"
        ).fetchall()
        connection.execute("ALTER TABLE ledger_events DISABLE TRIGGER USER")
        for (position,) in moved:
            connection.execute(
                "UPDATE ledger_events SET originator_id = 'elsewhere', originator_version = notification_id"
                " WHERE notification_id = %s",
                (position,),
            )
        project(connection, database.schema)
        folded(connection, task(database, reader.head(connection)))
        live, made = rows_of(connection), rows_of(connection, "_g1")
        assert {table: made[table] for table in live if table not in SendersView.tables} == {
            table: rows for table, rows in live.items() if table not in SendersView.tables
        }


@pytest.mark.parametrize("name", [SCREENSHOT_CREATED, PUSH_STOPPED])
@pytest.mark.parametrize("is_long", [False, True])
def test_an_event_that_breaks_the_fold_is_parked_and_the_others_of_its_unit_are_taken_in(
    database: Database, name: str, is_long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_long:
        monkeypatch.setattr(units, "EVENTS_PER_UNIT", 10)
    with opened(database) as connection:
        store(connection, bodies(4, Shape(streams=2, sessions_per_stream=1, duration_s=60)))
        row = connection.execute(
            "SELECT max(notification_id) FROM ledger_events WHERE topic = %s", (name,)
        ).fetchone()
        assert row is not None
        poison = row[0]
        own_fold = engine.fold

        def broken(view: Any, events: Any, *given: Any, **named: Any) -> Any:
            events = list(events)
            if any(event.position == poison for event in events):
                raise ValueError("a fault of the fold")
            return own_fold(view, events, *given, **named)

        for module in (sessions, bulk):
            monkeypatch.setattr(module, "fold", broken)
        project(connection, database.schema)
        rows, parked = rows_of(connection), "SELECT projection, position, error FROM parked"
        expected = [("sessions", poison, "ValueError: a fault of the fold")]
        assert connection.execute(parked).fetchall() == expected
        done = rebuild(database, Order(projections=PROJECTIONS), clock_us=lambda: 1)
        assert (done.digests_equal, done.switched) == (True, True)
        assert done.parked == {"addresses": 0, "sessions": 1, "tallies": 0}
        assert done.events == 2 * reader.head(connection)  # read, and folded
        assert connection.execute(parked).fetchall() == expected
        assert rows_of(connection) == rows


def test_an_event_that_cannot_be_counted_is_parked_alone(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison, own = 7, tallies.tallied

    def broken(deliveries: Iterable[tallies.Counted]) -> Any:
        counted = list(deliveries)
        if any(each.position == poison for each in counted):
            raise ValueError("a fault of the counting")
        return own(counted)

    for module in (tallies, bulk):
        monkeypatch.setattr(module, "tallied", broken)
    with opened(database, bodies(4, Shape(streams=2, sessions_per_stream=1, duration_s=60))) as connection:
        rows, parked = rows_of(connection), "SELECT projection, position, error FROM parked"
        expected = [("tallies", poison, "ValueError: a fault of the counting")]
        assert connection.execute(parked).fetchall() == expected
        done = rebuild(database, Order(projections=PROJECTIONS), clock_us=lambda: 1)
        assert (done.digests_equal, done.parked["tallies"]) == (True, 1)
        assert connection.execute(parked).fetchall() == expected
        assert rows_of(connection) == rows


def test_a_stream_of_too_many_sessions_for_memory_is_taken_in_page_by_page(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spill, "SESSIONS_MAX", 2)
    monkeypatch.setattr(units, "EVENTS_PER_UNIT", 10)
    monkeypatch.setattr(building, "LEFT_PAGE_EVENTS", 50)
    left: list[Unit] = []
    take_left = Building.take_left

    def noted(self: Building, *given: Any) -> None:
        left.extend(self._left)
        take_left(self, *given)

    monkeypatch.setattr(Building, "take_left", noted)
    with opened(database, bodies(5, SHAPE)) as connection:
        rows, before = rows_of(connection), positions(connection)
        done = rebuild(database, Order(projections=PROJECTIONS), clock_us=lambda: 1)
        assert sum(unit.events for unit in left) == reader.head(connection)
        assert done.events == 2 * reader.head(connection)  # read, and folded
        assert all(each.equal for each in done.standings)
        assert done.switched
        assert rows_of(connection) == rows
        assert positions(connection) == before


@pytest.mark.parametrize("sessions_max", [20_000, 2])
def test_what_is_told_part_way_of_a_long_stream_moves_on_and_adds_up_to_its_events(
    database: Database, monkeypatch: pytest.MonkeyPatch, sessions_max: int
) -> None:
    monkeypatch.setattr(spill, "BUCKET_EVENTS", 50)
    monkeypatch.setattr(spill, "SESSIONS_MAX", sessions_max)
    monkeypatch.setattr(units, "EVENTS_PER_UNIT", 10)
    monkeypatch.setattr(part_way, "TELL_EVERY_S", 0)
    monkeypatch.setattr(part_way, "LOOK_EVENTS", 10)
    with opened(database) as connection:
        store(connection, bodies(2, SHAPE))
        own = task(database, reader.head(connection))
        told: list[Done] = []
        with sorted_units(connection, own) as (share, found):
            unit = max(found, key=lambda each: each.events)
            assert unit.is_long
            done = fold_unit(connection, own, share.files, unit, told.append)
    assert all(each.goes_on and each.events > 0 for each in told)
    so_far = sum(each.events for each in told)
    assert not done.goes_on
    if done.left:  # it is taken in, and counted, later
        assert (so_far > unit.events / 5, so_far + done.events) == (True, 0)
    else:
        assert len(told) > unit.events / 20
        assert so_far > 0.9 * unit.events
        assert so_far + done.events == unit.events
    assert bool(done.left) == (sessions_max == 2)
