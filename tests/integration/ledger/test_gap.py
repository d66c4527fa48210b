"""The gap test: a reader that follows positions misses nothing, and misses events without the lock."""

import os
import subprocess
import sys
from typing import Any

import psycopg

from streamledger.ledger import reader
from streamledger.postgres.connection import Database, connect

WRITER = "tests.integration.ledger.racing_writer"
WRITERS = 8
BATCHES = 25
ROUNDS_MAX = 5


LOCK = "PERFORM pg_advisory_xact_lock(lock_key);"
BEFORE_THE_COMMIT = "INSERT INTO intake_counters"


def make_variants(connection: psycopg.Connection[Any]) -> None:
    """The program's own append, made slow between taking positions and committing; with and without its lock.

    The sleep only widens the window that is there anyway, and both variants have it.
    """
    row = connection.execute("SELECT pg_get_functiondef('append_events'::regproc)").fetchone()
    assert row is not None
    assert LOCK in row[0]
    assert BEFORE_THE_COMMIT in row[0]
    slow = row[0].replace(BEFORE_THE_COMMIT, f"PERFORM pg_sleep(random() * 0.02); {BEFORE_THE_COMMIT}")
    connection.execute(slow.replace("append_events(", "append_with_lock("))
    connection.execute(slow.replace("append_events(", "append_without_lock(").replace(LOCK, ""))


def follow(database: Database, function: str) -> set[int]:
    """Positions that are in the ledger at the end and that a reader beside eight writers did not see."""
    with connect(database, application_name="test reader") as connection:
        make_variants(connection)
        position = reader.head(connection)
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


def test_without_the_lock_the_same_reader_misses_events(database: Database) -> None:
    assert any(follow(database, "append_without_lock") for _ in range(ROUNDS_MAX))
