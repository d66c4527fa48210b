"""The gap test: a reader that follows positions misses nothing, and each half of the head row is needed."""

import os
import subprocess
import sys
from typing import Any

import psycopg
import pytest

from streamledger.ledger import reader
from streamledger.postgres.connection import Database, connect
from tests.integration.ledger.racing_writer import CONFLICT

WRITER = "tests.integration.ledger.racing_writer"
WRITERS = 8
BATCHES = 25
ROUNDS_MAX = 5


HEAD = """UPDATE ledger_head SET position = position + appended WHERE sole
        RETURNING position - appended INTO before;"""
UNLOCKED = "SELECT position INTO before FROM ledger_head WHERE sole;"
SEQUENCE = (
    "before := nextval('taken') * 10;"  # ten for each batch: what the sequence of an identity column does
)
BEFORE_THE_COMMIT = "INSERT INTO intake_counters"
MOVE_HEAD = "UPDATE ledger_head SET position = before + appended;"


class Conflict(Exception):
    """Two appends took the same position."""


def make_variants(connection: psycopg.Connection[Any]) -> None:
    """The program's own append, made slow between taking positions and committing.

    Three variants: as it is; with the head row read and moved later, so without its lock; with a sequence
    in its place. The sleep only widens the window that is there anyway, and all of them have it.
    """
    row = connection.execute("SELECT pg_get_functiondef('append_events'::regproc)").fetchone()
    assert row is not None
    assert HEAD in row[0]
    assert BEFORE_THE_COMMIT in row[0]
    slow = row[0].replace(BEFORE_THE_COMMIT, f"PERFORM pg_sleep(random() * 0.02); {BEFORE_THE_COMMIT}")
    connection.execute("CREATE SEQUENCE IF NOT EXISTS taken")
    unlocked = slow.replace(HEAD, UNLOCKED).replace(BEFORE_THE_COMMIT, f"{MOVE_HEAD} {BEFORE_THE_COMMIT}")
    for name, function in (
        ("append_with_lock", slow),
        ("append_without_lock", unlocked),
        ("append_by_sequence", slow.replace(HEAD, SEQUENCE)),
    ):
        connection.execute(function.replace("append_events(", f"{name}("))


def follow(database: Database, function: str) -> set[int]:
    """Positions that are in the ledger at the end and that a reader beside eight writers did not see.

    Raises Conflict when an append met one.
    """
    with connect(database, application_name="test reader") as connection:
        make_variants(connection)
        position = max((event.position for event in reader.read_all(connection)), default=0)
        writers = [start_writer(database, number, function) for number in range(WRITERS)]
        try:
            for writer in writers:
                assert writer.stdout is not None
                assert writer.stdout.readline() == "ready\n"
            for writer in writers:
                assert writer.stdin is not None
                writer.stdin.write("\n")
                writer.stdin.flush()
            began_after, seen, running = position, [], True
            while running:
                running = any(writer.poll() is None for writer in writers)
                for event in reader.read_after(connection, position, 1000):
                    seen.append(event.position)
                    position = event.position
        finally:
            for writer in writers:
                writer.kill()
                writer.communicate()
        if any(writer.returncode == CONFLICT for writer in writers):
            raise Conflict
        assert [writer.returncode for writer in writers] == [0] * WRITERS
        stored = [event.position for event in reader.read_all(connection, began_after)]
    assert len(stored) >= WRITERS * BATCHES
    assert len(seen) == len(set(seen))
    return set(stored) - set(seen)


def start_writer(database: Database, number: int, function: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", WRITER, database.dsn, str(number), str(BATCHES), function],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_a_following_reader_misses_nothing_of_eight_writers(database: Database) -> None:
    assert follow(database, "append_with_lock") == set()

    with connect(database, application_name="test") as connection:
        found = [event.position for event in reader.read_all(connection)]
        assert found == list(range(1, reader.head(connection) + 1))


def test_without_the_rows_lock_appends_conflict(database: Database) -> None:
    with pytest.raises(Conflict):
        any(follow(database, "append_without_lock") for _ in range(ROUNDS_MAX))


def test_with_a_sequence_and_no_lock_the_same_reader_misses_events(database: Database) -> None:
    assert any(follow(database, "append_by_sequence") for _ in range(ROUNDS_MAX))
