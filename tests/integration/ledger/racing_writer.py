"""A writer process of the gap test: appends small batches with a given variant of the append function.

Prints "ready", waits for a line, writes, and ends; with 3 when its append met a conflict.
"""

import random
import sys

import psycopg

from streamledger.ledger import append
from streamledger.ledger.application import Batch
from streamledger.postgres.connection import Database, connect
from tests.deliveries import AMPLE, LEDGER, any_event

CONFLICT = 3


def main(dsn: str, number: int, batches: int, function: str) -> None:
    random.seed(number)
    append.APPEND_SQL = append.APPEND_SQL.replace("append_events(", f"{function}(")  # type: ignore[misc]  # the variant under test
    with connect(Database(dsn), application_name="test writer") as connection:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        for _ in range(batches):
            # A stream of its own: without the lock two writers of one stream would collide on a version.
            events = [any_event(f"room-{number}") for _ in range(random.randint(1, 3))]
            try:
                LEDGER.receive(connection, Batch(events=events), AMPLE)
            except psycopg.errors.UniqueViolation:
                sys.exit(CONFLICT)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
