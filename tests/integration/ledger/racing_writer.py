"""A writer process of the gap test: appends small batches as the appender does, with or without the lock.

Prints "ready", waits for a line, writes, and ends. The sleep between taking positions and committing
only widens the window that is there anyway: both ways of writing have it.
"""

import random
import sys
from collections.abc import Mapping
from typing import Any

import psycopg

from streamledger.ledger import append
from streamledger.postgres.connection import Database, connect
from tests.deliveries import any_event, store

SLEEP_S_MAX = 0.02


def _write_slowly(cursor: psycopg.Cursor[Any], counts: Mapping[str, int]) -> None:
    cursor.execute("SELECT pg_sleep(%s)", (random.uniform(0, SLEEP_S_MAX),))
    _add_counts(cursor, counts)


def _take_no_lock(cursor: psycopg.Cursor[Any], schema: str) -> None:
    """What the gap test shows to be wrong."""


_add_counts = append.add_counts


def main(dsn: str, number: int, batches: int, way: str) -> None:
    random.seed(number)
    append.add_counts = _write_slowly
    if way == "without the lock":
        append.take_lock = _take_no_lock
    with connect(Database(dsn), application_name="test writer") as connection:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        for _ in range(batches):
            # A stream of its own: without the lock two writers of one stream would collide on a version.
            store(connection, [any_event(f"room-{number}") for _ in range(random.randint(1, 3))])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
