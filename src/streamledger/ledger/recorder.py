"""The eventsourcing library's PostgreSQL recorder on our table: the append as its `insert_events`."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Final, cast

import psycopg
from eventsourcing.persistence import Notification, ProgrammingError, StoredEvent, Tracking
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore, PostgresFactory
from eventsourcing.utils import Environment
from psycopg.rows import tuple_row

from streamledger.ledger.append import CHANNEL, Appended, append_events
from streamledger.ledger.reader import HEAD_SQL
from streamledger.postgres.connection import Database, carry_connection

DSN: Final = "STREAMLEDGER_LEDGER_DSN"
"""Key of the environment with the whole connection string; the library's own keys know five facts of one."""

for _name in ("psycopg", "psycopg.pool"):  # the library silences them when it is imported
    logging.getLogger(_name).setLevel(logging.NOTSET)

_NOTIFICATIONS_SQL: Final = """
SELECT originator_id, originator_version, topic, state, notification_id FROM ledger_events
WHERE notification_id >= %b AND notification_id <= %b AND (%b::text[] IS NULL OR topic = ANY(%b::text[]))
ORDER BY notification_id LIMIT %b
"""
_POSITION_MAX: Final = 2**63 - 1


class LedgerDatastore(PostgresDatastore):
    """The library's pool, with every parameter of the DSN, opened by the first who needs it."""

    def __init__(self, database: Database) -> None:
        super().__init__(
            "", "", "", "", "",
            pool_size=1, max_overflow=3, pre_ping=True, schema=database.schema, originator_id_type="text",
            connect_timeout=10, idle_in_transaction_session_timeout=5,
        )  # fmt: skip
        carry_connection(self, database, application_name="streamledger library")

    def register_type_adapters(self) -> None:
        """Nothing to look up: the append takes plain arrays, no composite types."""


class LedgerFactory(PostgresFactory):
    """Makes the ledger's recorder without connecting: who only writes brings a connection."""

    def __init__(self, env: Environment) -> None:
        super().__init__(env)
        dsn = self.env.get(DSN)
        if dsn is None:
            raise OSError(f"the connection string is not in the environment with key '{DSN}'")
        self.datastore = LedgerDatastore(Database(dsn, self.env.get(self.POSTGRES_SCHEMA) or "public"))


class LedgerRecorder(PostgresApplicationRecorder):
    """What `Ledger` writes and reads with. The table is made by our migrations: CREATE_TABLE=n."""

    def __init__(self, datastore: PostgresDatastore, *, events_table_name: str = "ledger_events") -> None:
        super().__init__(datastore, events_table_name=events_table_name)
        self.channel_name = f"{CHANNEL}_{datastore.schema}"  # what subscriptions listen to

    def insert_events(
        self,
        stored_events: Sequence[StoredEvent],
        *,
        connection: psycopg.Connection[Any] | None = None,
        counts: Mapping[str, int] | None = None,
        counted_as: str | None = None,
        look_first: bool = False,
        outcome: list[Appended] | None = None,
        tracking: Tracking | None = None,
        **_: Any,
    ) -> list[int]:
        """Append a batch in one statement, once; returns the positions. As `append.append_events`.

        On the caller's connection, in its transaction where one is open; without one, on the library's pool,
        and then errors are the library's. There is no second try: who cannot know whether a commit was done
        asks again with `look_first`. Where `outcome` is given it is told there instead: the library then
        pairs no events with positions, which is most of what it costs.
        """
        if tracking is not None:
            raise ProgrammingError("the ledger follows nobody: a view of it keeps its tracking itself")
        if not stored_events:
            return []
        with nullcontext(connection) if connection else self.datastore.get_connection() as used:
            appended = append_events(
                cast("psycopg.Connection[Any]", used),
                self.datastore.schema,
                stored_events,
                counts=counts or {},
                counted_as=counted_as,
                look_first=look_first,
            )
        if outcome is None:
            return appended.positions
        outcome.append(appended)
        return []

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> list[Notification]:
        """Events in the order of their positions, read as binary tuples; one try."""
        first = 0 if start is None else start if inclusive_of_start else start + 1
        names = list(topics) or None
        with self.datastore.get_connection() as connection:
            cursor = connection.cursor(binary=True, row_factory=tuple_row)
            last = _POSITION_MAX if stop is None else stop
            cursor.execute(_NOTIFICATIONS_SQL, (first, last, names, names, limit), prepare=True)
            return [Notification(*row) for row in cursor.fetchall()]

    def max_notification_id(self) -> int | None:
        """The position of the last event, from the head row; None where there is none. One try."""
        with self.datastore.get_connection() as connection:
            row = connection.cursor(row_factory=tuple_row).execute(HEAD_SQL).fetchone()
        return row[0] or None if row else None
