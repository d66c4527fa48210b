"""A rebuild beside the live tables: whole or not at all, whoever reads, writes, cancels or kills."""

import os
import random
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from streamledger.operations import rebuild as rebuilding
from streamledger.operations.rebuild import Order, rebuild
from streamledger.operations.rebuilt import Rebuilt
from streamledger.postgres.connection import Database, connect
from streamledger.postgres.lease import Lease
from streamledger.readmodel.projections.addresses import SendersView
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.projections.runner import Runner
from streamledger.readmodel.projections.sessions import SessionsView
from streamledger.readmodel.projections.tallies import TalliesView
from streamledger.readmodel.rebuild import generation, index_pace, interrupting, record, room
from streamledger.readmodel.rebuild.building import Building
from streamledger.readmodel.rebuild.record import Progress, RebuildUnderWay, SwitchBlocked
from streamledger.readmodel.rebuild.room import NoRoom, NoRoomToSort
from streamledger.readmodel.rebuild.worker_pool import RebuildCancelled
from streamledger.simulator.truth import Shape
from tests.integration.readmodel.histories import (
    MAKE_TALLY,
    Tally,
    bodies,
    opened,
    positions,
    project,
    rows_of,
    store,
)
from tests.waiting import until

SHAPE = Shape(streams=4, sessions_per_stream=3, duration_s=900, recording_interval_s=120)
INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() ORDER BY 1"
BACKENDS = "SELECT FROM pg_stat_activity WHERE application_name LIKE 'streamledger rebuild%'"
INDEXES_OF_PROJECTIONS = "SELECT FROM pg_indexes WHERE schemaname = current_schema() AND tablename = ANY(%s)"
TABLES = generation.tables_of(PROJECTIONS)
CONSTRAINTS = (
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = current_schema()::regnamespace ORDER BY 1, 2"
)


def run(database: Database, *, workers: int = 0, **given: Any) -> Rebuilt:
    """With worker processes where a number is given: their starts would be most of what these tests take."""
    order = Order(
        projections=given.pop("projections", PROJECTIONS),
        workers=workers,
        purpose=given.pop("purpose", "rebuild"),
    )
    return rebuild(database, order, clock_us=lambda: 1, **given)


def leftovers(connection: psycopg.Connection[Any]) -> list[Any]:
    return connection.execute(
        "SELECT tablename FROM pg_tables WHERE tablename ~ '_(g|was)[0-9]+$'"
    ).fetchall()


def states(connection: psycopg.Connection[Any]) -> list[Any]:
    return [row[0] for row in connection.execute("SELECT state FROM rebuilds ORDER BY id").fetchall()]


def test_the_rebuilt_tables_are_the_live_ones_row_for_row_index_for_index(any_database: Database) -> None:
    with opened(any_database, bodies(1, SHAPE)) as connection:
        rows, before = rows_of(connection), positions(connection)
        indexes = connection.execute(INDEXES).fetchall()
        constraints = connection.execute(CONSTRAINTS).fetchall()
        done = run(any_database, workers=2)
        assert done.digests_equal is True
        assert done.switched
        assert rows_of(connection) == rows
        assert positions(connection) == before
        assert connection.execute(INDEXES).fetchall() == indexes
        assert connection.execute(CONSTRAINTS).fetchall() == constraints
        assert leftovers(connection) == []
        assert states(connection) == ["done"]


def test_a_read_model_that_never_began_is_built_whole(database: Database) -> None:
    with opened(database) as connection:
        store(connection, bodies(2, SHAPE))
        run(database)
        built, marks = rows_of(connection), positions(connection)
        store(connection, bodies(3, SHAPE))
        project(connection, database.schema)
        assert positions(connection) != marks
        assert built["sessions"]
        assert run(database).digests_equal is True


def test_tampered_rows_are_put_right_and_a_dry_run_names_them_first(database: Database) -> None:
    with opened(database, bodies(1, SHAPE)) as connection:
        rows = rows_of(connection)
        connection.execute("UPDATE sessions SET screenshots = screenshots + 7 WHERE ctid = '(0,1)'")
        connection.execute("DELETE FROM timeline WHERE kind = 'push_started'")
        tampered = rows_of(connection)
        found = {each.table: each for each in run(database, purpose="dry_run").differences}
        assert rows_of(connection) == tampered
        assert found["sessions"].changed == 1
        assert found["sessions"].fields == {"screenshots": 1}
        live, made = found["sessions"].examples[0].fields["screenshots"]
        assert live == made + 7
        assert found["timeline"].added > 0
        assert found["timeline"].removed == 0
        assert found["streams"].changed == 0
        run(database)
        assert rows_of(connection) == rows


def test_a_projection_without_a_way_by_streams_is_rebuilt_in_order(database: Database) -> None:
    both = (*PROJECTIONS, Tally)
    with opened(database) as connection:
        connection.execute(MAKE_TALLY)
        store(connection, bodies(1, SHAPE))
        project(connection, database.schema, projections=both)
        tally = connection.execute("SELECT * FROM tally ORDER BY 1").fetchall()
        connection.execute("UPDATE tally SET deliveries = 0")
        assert run(database, projections=both, workers=2).digests_equal is False, "the live rows were changed"
        assert connection.execute("SELECT * FROM tally ORDER BY 1").fetchall() == tally


def test_a_cancelled_rebuild_leaves_the_live_tables_as_they_were(database: Database) -> None:
    with opened(database, bodies(1, SHAPE)) as connection:
        rows, marks = rows_of(connection), positions(connection)
        for phase in ("folding", "indexing", "catching_up", "switching"):
            seen: list[str] = []
            with pytest.raises(RebuildCancelled):
                run(
                    database,
                    workers=2 if phase == "folding" else 0,
                    on_progress=lambda progress, seen=seen: seen.append(progress.phase),
                    is_cancelled=lambda phase=phase, seen=seen: seen[-1] == phase,
                )
            assert (rows_of(connection), positions(connection)) == (rows, marks)
            assert leftovers(connection) == []
        assert states(connection) == ["cancelled"] * 4


@pytest.mark.parametrize("purpose", ["rebuild", "dry_run", "verify"])
def test_the_progress_adds_up_whatever_comes_meanwhile(database: Database, purpose: str) -> None:
    waiting = bodies(3, SHAPE)
    seen: list[tuple[int, int]] = []
    with opened(database, bodies(1, SHAPE)) as connection:

        def come(progress: Progress) -> None:
            seen.append((progress.events_done, progress.events_total))
            if progress.phase in ("folding", "catching_up", "switching"):
                store(connection, [waiting.pop() for _ in range(min(5, len(waiting)))])
                project(connection, database.schema)

        position = run(database, purpose=purpose, on_progress=come).position
        last = connection.execute("SELECT events_done, events_total FROM rebuilds").fetchall()
    assert all(done <= total for done, total in seen)
    assert len({total for _, total in seen}) > 2
    assert last == [(2 * position, 2 * position)]  # each is read once and folded once


def test_the_time_left_of_the_indexes_is_told_while_they_are_made_and_stands_in_the_row(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_pace, "LOOK_EVERY_S", 0)
    monkeypatch.setattr(index_pace, "PACE_AFTER_S", 0)
    monkeypatch.setattr(record, "WRITE_EVERY_S", 0)
    monkeypatch.setattr(interrupting, "LOOK_S", 0.0005)
    seen: list[tuple[int, int, float | None]] = []
    with opened(database) as connection:
        store(connection, bodies(1, SHAPE))

        def look(progress: Progress) -> None:
            row = connection.execute(
                "SELECT phase, indexes_done, indexes_total, indexes_left_s FROM rebuilds"
            ).fetchall()[0]
            if row[0] == "indexing":
                seen.append(row[1:])

        run(database, on_progress=look)
        copied = [table for table in TABLES if table not in SendersView.tables]  # those are taken in in order
        total = len(connection.execute(INDEXES_OF_PROJECTIONS, (copied,)).fetchall())
    assert {each[1] for each in seen[1:]} <= {0, total}
    assert seen[-1][:2] == (total, total)
    assert any(left_s is not None and left_s > 0 for done, _, left_s in seen if done < total)


def test_a_rebuild_is_cancelled_by_its_row(database: Database) -> None:
    with opened(database) as connection:
        store(connection, bodies(1, SHAPE))

        def ask(_: Progress) -> None:
            connection.execute("UPDATE rebuilds SET cancel_asked = true")

        with pytest.raises(RebuildCancelled):
            run(database, on_progress=ask)


def test_there_is_one_rebuild_at_a_time(database: Database) -> None:
    with record.only_one(database), pytest.raises(RebuildUnderWay):
        run(database)
    assert run(database).switched


def test_when_a_rebuild_says_that_it_has_ended_the_next_may_begin(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever follows it begins another at once: its lease is let go with the word that it is done."""
    monkeypatch.setattr(Lease, "release", lambda _: None)  # what comes after that word comes late
    assert run(database).switched
    with pytest.raises(RebuildCancelled):
        run(database, is_cancelled=lambda: True)
    assert run(database).switched


def test_a_rebuild_that_does_not_fit_on_the_disk_is_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "needed_bytes", lambda *_: 2**62)
    with opened(database) as connection:
        store(connection, bodies(1, SHAPE))
        with pytest.raises(NoRoom):
            run(database)
        assert states(connection) == ["failed"]


def test_a_rebuild_without_room_for_its_temporary_files_is_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with opened(database) as connection:
        store(connection, bodies(1, SHAPE))
        with pytest.raises(NoRoomToSort, match="TMPDIR"):
            run(database)
        assert states(connection) == ["failed"]
        assert run(database, projections=[TalliesView]).switched  # is only read, and not sorted


def test_readers_in_the_way_of_the_switch_are_waited_for(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamledger.readmodel.rebuild.building.LOCK_WAIT_MS", 50)
    with opened(database) as connection, connect(database, application_name="reader") as reader:
        store(connection, bodies(1, SHAPE))
        project(connection, database.schema)
        rows = rows_of(connection)
        reader.execute("BEGIN")
        reader.execute("SELECT FROM sessions")
        switching: list[float] = []

        def let_go(progress: Progress) -> None:
            if progress.phase == "switching":
                switching.append(0)
            if len(switching) == 4:  # tried several times
                reader.execute("COMMIT")

        assert run(database, workers=2, on_progress=let_go).digests_equal is True
        assert len(switching) >= 4
        assert rows_of(connection) == rows


def test_under_load_cancelled_at_random_it_is_always_one_generation_whole(database: Database) -> None:
    chance = random.Random(5)
    found = bodies(9, Shape(streams=8, sessions_per_stream=3, duration_s=1800))
    runner = Runner(lambda: connect(database, application_name="runner"), database.schema, PROJECTIONS)
    ended = threading.Event()

    def ingest() -> None:
        with opened(database) as connection:
            while not ended.is_set() and found:
                batch = [found.pop() for _ in range(min(20, len(found)))]
                store(connection, batch)

    threads = [threading.Thread(target=runner.run), threading.Thread(target=ingest)]
    for thread in threads:
        thread.start()
    try:
        outcomes = []
        for _ in range(4):
            left = chance.randrange(1, 60)

            def is_cancelled() -> bool:
                nonlocal left
                left -= 1
                return left == 0

            try:
                outcomes.append(run(database, workers=2, is_cancelled=is_cancelled).digests_equal)
            except RebuildCancelled:
                outcomes.append(None)
        assert run(database).digests_equal is True
        assert False not in outcomes
    finally:
        ended.set()
        threads[1].join()
        runner.stop()
        threads[0].join()
    with opened(database) as connection:
        project(connection, database.schema)
        rows = rows_of(connection)
        done = run(database, workers=2, purpose="dry_run")
        assert done.digests_equal is True
        assert all(not (each.added or each.changed or each.removed) for each in done.differences)
        assert rows_of(connection) == rows
        assert leftovers(connection) == []


KILLED = """
import sys
from streamledger.operations.rebuild import Order, rebuild
from streamledger.postgres.connection import Database
from streamledger.readmodel.projections.registry import PROJECTIONS
if __name__ == "__main__":
    rebuild(Database(sys.argv[1]), Order(projections=PROJECTIONS, workers=2), clock_us=lambda: 1)
"""


@pytest.mark.parametrize("phase", ["folding", "switching"])
def test_killed_on_the_spot_the_live_tables_stand_and_the_next_rebuild_clears_up(
    database: Database, phase: str, tmp_path: Any
) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    with opened(database) as connection, connect(database, application_name="reader") as reader:
        store(connection, bodies(1, SHAPE))
        project(connection, database.schema)
        rows, marks = rows_of(connection), positions(connection)
        reader.execute("BEGIN")
        # A reader stands in the way of the phase, so that the kill falls into it.
        reader.execute("SELECT FROM sessions" if phase == "switching" else "LOCK TABLE ledger_events")
        process = subprocess.Popen(
            [sys.executable, str(script), database.dsn], env={**os.environ, "PYTHONPATH": "src"}
        )
        waits = (
            "SELECT FROM pg_locks JOIN pg_class AS c ON c.oid = relation"
            " WHERE NOT granted AND relname = 'sessions'"
            if phase == "switching"
            else "SELECT FROM pg_locks WHERE NOT granted"
        )
        until(lambda: connection.execute(waits).fetchall(), "the rebuild never came to the phase")
        process.send_signal(signal.SIGKILL)
        process.wait()
        reader.execute("ROLLBACK")
        until(lambda: not connection.execute(BACKENDS).fetchall(), "the killed rebuild's sessions remain")
        assert (rows_of(connection), positions(connection)) == (rows, marks)
        assert run(database).digests_equal is True
        assert (rows_of(connection), positions(connection)) == (rows, marks)
        assert leftovers(connection) == []
        assert states(connection) == ["failed", "done"]


KILLED_IN_A_PHASE = """
import os, signal, sys
from streamledger.operations.rebuild import Order, rebuild
from streamledger.postgres.connection import Database
from streamledger.readmodel.projections.registry import PROJECTIONS

def die(progress):
    if progress.phase == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    order = Order(projections=PROJECTIONS, workers=2, purpose=sys.argv[3])
    rebuild(Database(sys.argv[1]), order, clock_us=lambda: 1, on_progress=die)
"""


@pytest.mark.parametrize("purpose", ["rebuild", "dry_run"])
def test_killed_as_any_phase_begins_nothing_has_changed_and_the_next_one_is_whole(
    database: Database, tmp_path: Any, purpose: str
) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED_IN_A_PHASE)
    with opened(database, bodies(1, SHAPE)[:200]) as connection:
        rows, marks = rows_of(connection), positions(connection)
        phases = ["folding", "indexing", "catching_up", *(["switching"] if purpose == "rebuild" else [])]
        for phase in phases:
            ended = subprocess.run(
                [sys.executable, str(script), database.dsn, phase, purpose],
                env={**os.environ, "PYTHONPATH": "src"},
                check=False,
            )
            assert ended.returncode == -signal.SIGKILL
            until(lambda: not connection.execute(BACKENDS).fetchall(), "the killed rebuild's sessions remain")
            assert (rows_of(connection), positions(connection)) == (rows, marks)
        assert run(database).digests_equal is True
        assert (rows_of(connection), positions(connection)) == (rows, marks)
        assert leftovers(connection) == []
        assert states(connection) == ["failed"] * len(phases) + ["done"]


KILLED_AT_THE_SWITCH = """
import os, signal, sys
from streamledger.operations import rebuild as rebuilding
from streamledger.operations.rebuild import Order, rebuild
from streamledger.postgres.connection import Database
from streamledger.readmodel.rebuild import generation
from streamledger.readmodel.projections.registry import PROJECTIONS

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def switch_and_die(*given, switch=generation.switch):
    switch(*given)
    die()

if sys.argv[2] == "in its transaction":
    generation.switch = switch_and_die
else:
    rebuilding._Work._drop = die
rebuild(Database(sys.argv[1]), Order(projections=PROJECTIONS), clock_us=lambda: 1)
"""


@pytest.mark.parametrize("moment", ["in its transaction", "behind its commit"])
def test_killed_at_the_switch_one_generation_is_live_and_whole(
    database: Database, moment: str, tmp_path: Any
) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED_AT_THE_SWITCH)
    with opened(database, bodies(1, SHAPE)) as connection:
        rows, marks = rows_of(connection), positions(connection)
        connection.execute("UPDATE sessions SET screenshots = screenshots + 1")  # tells old from new
        old = rows_of(connection)
        ended = subprocess.run(
            [sys.executable, str(script), database.dsn, moment],
            env={**os.environ, "PYTHONPATH": "src"},
            check=False,
        )
        assert ended.returncode == -signal.SIGKILL
        until(lambda: not connection.execute(BACKENDS).fetchall(), "the killed rebuild's sessions remain")
        assert rows_of(connection) == (old if moment == "in its transaction" else rows)
        assert positions(connection) == marks
        assert leftovers(connection)
        run(database)
        assert (rows_of(connection), positions(connection)) == (rows, marks)
        assert leftovers(connection) == []
        # Of the killed one it is told what became of its switch.
        assert states(connection) == ["failed" if moment == "in its transaction" else "done", "done"]


def test_a_reader_that_never_goes_makes_the_switch_give_up_with_a_sentence(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamledger.readmodel.rebuild.building.LOCK_WAIT_MS", 20)
    monkeypatch.setattr(rebuilding, "SWITCH_TRIES_MAX", 2)
    with opened(database) as connection, connect(database, application_name="reader") as reader:
        store(connection, bodies(1, SHAPE))
        project(connection, database.schema)
        rows = rows_of(connection)
        reader.execute("BEGIN")
        reader.execute("SELECT FROM sessions")
        with pytest.raises(SwitchBlocked):
            run(database)
        reader.execute("COMMIT")
        assert rows_of(connection) == rows
        assert leftovers(connection) == []
        assert states(connection) == ["failed"]


def test_an_old_generation_is_never_taken_for_a_live_table(database: Database) -> None:
    with opened(database) as connection:
        connection.execute("CREATE TABLE sessions_gone (x int)")
        connection.execute("CREATE TABLE sessions_g12 (x int)")
        assert generation.drop_leftovers(connection, ["sessions"]) == ["sessions_g12"]


def test_neither_a_dry_run_nor_a_verification_moves_live_tables_that_nobody_follows(
    database: Database,
) -> None:
    with opened(database) as connection:
        found = bodies(1, SHAPE)
        store(connection, found[:100])
        project(connection, database.schema)
        rows, marks = rows_of(connection), positions(connection)
        store(connection, found[100:])
        tried = run(database, purpose="dry_run")
        assert {each.table: each.added > 0 for each in tried.differences}["timeline"]
        assert tried.digests_equal is None
        assert run(database, purpose="verify").digests_equal is True
        assert (rows_of(connection), positions(connection)) == (rows, marks)
        assert run(database).digests_equal is True


def test_live_tables_far_behind_are_not_compared(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "LIVE_LAG_EVENTS_MAX", 10)
    with opened(database) as connection:
        store(connection, bodies(1, SHAPE))
        assert run(database).digests_equal is None


def test_a_digest_is_noted_of_rows_that_were_counted_and_forgotten_with_them(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = "SELECT digest IS NOT NULL, digest_position FROM projections WHERE name = 'sessions'"
    with opened(database, bodies(1, SHAPE)) as connection:
        assert connection.execute(noted).fetchone() == (False, None)
        connection.execute("UPDATE streams SET screenshots = 77")
        assert run(database, purpose="verify").digests_equal is False
        assert connection.execute(noted).fetchone() == (False, None)
        assert run(database).digests_equal is False
        assert connection.execute(noted).fetchone() == (True, positions(connection)["sessions"])
        monkeypatch.setattr(SessionsView, "version", SessionsView.version + 1)
        assert run(database).digests_equal is None
        assert connection.execute(noted).fetchone() == (False, None)


LONG_STATEMENTS = {
    "making": "streamledger.readmodel.rebuild.generation.make",
    "adding up": "streamledger.readmodel.rebuild.building.add_up",
    "statistics": "streamledger.readmodel.rebuild.generation.finish",
    "catching up": "streamledger.readmodel.rebuild.building.Building.catch_up",
    "switching": "streamledger.readmodel.rebuild.generation.switch",
    "comparing": "streamledger.operations.rebuild.compare",
}


@pytest.mark.parametrize("moment", LONG_STATEMENTS)
@pytest.mark.parametrize("way", ["its row", "a signal"])
def test_cancelling_breaks_off_a_statement_that_would_last_an_hour(
    database: Database, monkeypatch: pytest.MonkeyPatch, moment: str, way: str
) -> None:
    def last_an_hour(*given: Any, **_: Any) -> None:
        for each in given:
            if isinstance(each, psycopg.Connection):
                each.execute("SELECT pg_sleep(3600)")

    with opened(database) as connection, connect(database, application_name="other") as other:
        store(connection, bodies(1, SHAPE)[:50])
        project(connection, database.schema)
        rows, marks = rows_of(connection), positions(connection)
        monkeypatch.setattr(LONG_STATEMENTS[moment], last_an_hour)
        asleep = "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"

        signalled = threading.Event()

        def cancel() -> None:
            try:
                until(lambda: other.execute(asleep).fetchall(), "it never came to the statement")
                if way == "its row":
                    other.execute("UPDATE rebuilds SET cancel_asked = true")
                    return
            finally:
                if way == "a signal" or sys.exc_info()[0]:
                    signalled.set()

        cancelling = threading.Thread(target=cancel)
        cancelling.start()
        purpose = "dry_run" if moment == "comparing" else "rebuild"
        with pytest.raises(RebuildCancelled):
            run(database, purpose=purpose, is_cancelled=signalled.is_set)
        cancelling.join()
        assert not connection.execute(asleep).fetchall()
        assert (rows_of(connection), positions(connection)) == (rows, marks)
        assert leftovers(connection) == []
        assert states(connection) == ["cancelled"]


@pytest.mark.parametrize("way", ["its row", "a signal", "the answer lost"])
def test_a_switch_that_is_committed_is_done_whoever_cancels_meanwhile(
    database: Database, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    with opened(database) as connection, connect(database, application_name="other") as other:
        store(connection, bodies(1, SHAPE)[:50])
        project(connection, database.schema)
        rows = rows_of(connection)
        connection.execute("UPDATE sessions SET screenshots = screenshots + 1")  # tells old from new
        switch = Building.switch
        signalled = threading.Event()

        def switch_and_lose(self: Building, own: psycopg.Connection[Any], *given: Any) -> None:
            switch(self, own, *given)
            if way == "its row":
                other.execute("UPDATE rebuilds SET cancel_asked = true")
            elif way == "a signal":
                signalled.set()
            else:
                raise psycopg.OperationalError("the connection is lost")
            own.execute("SELECT pg_sleep(3600)")

        monkeypatch.setattr(Building, "switch", switch_and_lose)
        done = run(database, is_cancelled=signalled.is_set)
        assert done.switched
        assert [each.projection for each in done.standings] == [each.name for each in PROJECTIONS]
        assert rows_of(connection) == rows
        assert leftovers(connection) == []
        assert states(connection) == ["done"]


def test_what_a_backup_holds_of_a_cancelled_rebuild_is_left_to_the_next(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "DROP_WAIT_MS", 20)
    with opened(database) as connection, connect(database, application_name="backup") as backup:
        store(connection, bodies(1, SHAPE)[:50])

        def read(progress: Progress) -> None:
            if progress.phase == "indexing":
                backup.execute("BEGIN")
                backup.execute("LOCK TABLE sessions_g1 IN ACCESS SHARE MODE")
                raise RebuildCancelled

        with pytest.raises(RebuildCancelled):
            run(database, on_progress=read)
        assert leftovers(connection) == [("sessions_g1",)]
        assert states(connection) == ["cancelled"]
        backup.execute("ROLLBACK")
        run(database)
        assert leftovers(connection) == []
