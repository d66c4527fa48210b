"""The library's ProjectionRunner on a sample of the ledger: a small view, one transaction an event."""

import time
from typing import Any

from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL

from streamledger.ledger.application import Ledger
from streamledger.postgres.connection import Database, eventsourcing_env
from streamledger.tencent.reader import read_notification

PERSISTENCE = "eventsourcing.postgres"
WAIT_S_MAX = 600


class StreamCounts(PostgresTrackingRecorder):
    """How many events each stream has: far less than any projection of ours keeps."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.sql_create_statements.append(
            SQL("CREATE TABLE IF NOT EXISTS bench_stream_counts (stream_id text PRIMARY KEY, events int8)")
        )

    def count(self, stream_id: str, tracking: Tracking) -> None:
        """Row and position in one transaction, as the library's documentation has it."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(
                "INSERT INTO bench_stream_counts AS c VALUES (%s, 1)"
                " ON CONFLICT (stream_id) DO UPDATE SET events = c.events + 1",
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
    env = {**eventsourcing_env(database), "CREATE_TABLE": "y", "PERSISTENCE_MODULE": PERSISTENCE}
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
