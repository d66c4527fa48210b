"""The library's ProjectionRunner on a sample of the ledger: a small view, one transaction an event."""

import os
import time
from typing import Any

from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier

from streamledger.ledger.application import Ledger, environment
from streamledger.postgres.connection import Database
from streamledger.tencent.reader import read_notification

PERSISTENCE = "eventsourcing.postgres"
WAIT_S_MAX = 600


class StreamCounts(PostgresTrackingRecorder):
    """How many events each stream has: far less than any projection of ours keeps."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._table = SQL("{}.bench_stream_counts").format(Identifier(self.datastore.schema))
        columns = SQL("(stream_id text PRIMARY KEY, events int8)")
        self.sql_create_statements.append(
            SQL("CREATE TABLE IF NOT EXISTS {} {}").format(self._table, columns)
        )

    def count(self, stream_id: str, tracking: Tracking) -> None:
        """Row and position in one transaction, as the library's documentation has it."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(
                SQL(
                    "INSERT INTO {} AS c VALUES (%s, 1)"
                    " ON CONFLICT (stream_id) DO UPDATE SET events = c.events + 1"
                ).format(self._table),
                (stream_id,),
            )


class CountStreams(Projection[StreamCounts]):
    """Reads each body, as ours do, and counts."""

    name = "bench_streams"

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """One event."""
        notification = read_notification(domain_event.delivery.body)
        self.view.count(notification.stream_id or "", tracking)


def events_per_s(database: Database, sample: int) -> float:
    """How many of the first `sample` events it takes in a second."""
    env = {**environment(database), "CREATE_TABLE": "y", "PERSISTENCE_MODULE": PERSISTENCE}
    # The library passes on five facts of a connection; libpq finds the file of passwords by itself.
    if passfile := conninfo_to_dict(database.dsn).get("passfile"):
        os.environ["PGPASSFILE"] = str(passfile)
    # The ledger's own table is there already, and is never made by the library.
    env["LEDGER_CREATE_TABLE"] = "n"
    began = time.perf_counter()
    with ProjectionRunner(
        application_class=Ledger, projection_class=CountStreams, view_class=StreamCounts, env=env
    ) as runner:
        runner.wait(sample, timeout=WAIT_S_MAX)
        seconds = time.perf_counter() - began
        done = runner.view.max_tracking_id(Ledger.name) or sample
    return done / seconds
