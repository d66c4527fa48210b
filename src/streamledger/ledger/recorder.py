"""The eventsourcing library's PostgreSQL recorder on our table: binary arrays and the advisory lock."""

from collections.abc import Sequence
from typing import Any

from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg import Cursor
from psycopg.rows import DictRow
from psycopg.sql import SQL, Identifier, Literal

from streamledger.ledger.append import CHANNEL, lock_key


class LedgerRecorder(PostgresApplicationRecorder):
    """What `Ledger(Application)` saves and reads with; it takes the same lock as every other writer.

    The table is made by our migrations, so the library must run with CREATE_TABLE=n.
    """

    def __init__(self, datastore: PostgresDatastore, *, events_table_name: str = "ledger_events") -> None:
        super().__init__(datastore, events_table_name=events_table_name)
        # LOCK TABLE, the library's way, also waits for VACUUM and ANALYZE; this does not (ADR 0004).
        self.lock_table_statements = [
            SQL("SELECT pg_advisory_xact_lock({})").format(Literal(lock_key(datastore.schema)))
        ]
        self.channel_name = f"{CHANNEL}_{datastore.schema}"
        self.insert_arrays_statement = SQL(
            "INSERT INTO {schema}.{table} (originator_id, originator_version, topic, state)"
            " SELECT * FROM unnest(%b::text[], %b::int8[], %b::text[], %b::bytea[])"
            " RETURNING notification_id"
        ).format(schema=Identifier(datastore.schema), table=Identifier(events_table_name))

    def _insert_stored_events(
        self, curs: Cursor[DictRow], stored_events: Sequence[StoredEvent], **_: Any
    ) -> None:
        self._lock_table(curs)
        self._notify_channel(curs)
        curs.execute(
            self.insert_arrays_statement,
            (
                [str(event.originator_id) for event in stored_events],
                [event.originator_version for event in stored_events],
                [event.topic for event in stored_events],
                [event.state for event in stored_events],
            ),
        )
