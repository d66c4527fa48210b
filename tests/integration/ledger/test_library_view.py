"""The ledger as an application of the eventsourcing library: the same table, the same lock, stable names."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from eventsourcing.application import AggregateNotFoundError
from eventsourcing.persistence import IntegrityError, OperationalError, ProgrammingError, Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL, Identifier

from streamledger.domain.events import Delivery, PushStarted, PushStopped, ScreenshotCreated
from streamledger.ledger import reader
from streamledger.ledger.application import Ledger, environment
from streamledger.ledger.recorder import LedgerRecorder
from streamledger.postgres.connection import Database, connect
from tests.deliveries import NOON_S, any_event, new_event, push_started, push_stopped, screenshot, store
from tests.integration.ledger.writing import lock_held


@pytest.fixture
def ledger(any_database: Database) -> Iterator[Ledger]:
    with Ledger(environment(any_database)) as application:
        yield application


def started(originator_id: str, version: int) -> PushStarted:
    return PushStarted(
        originator_id=originator_id,
        originator_version=version,
        delivery=Delivery(body=b'{"event_type":1}', received_at_us=NOON_S * 1_000_000),
    )


def test_the_library_loads_a_streams_events_in_their_order(any_database: Database, ledger: Ledger) -> None:
    with connect(any_database, application_name="test") as connection:
        store(
            connection,
            [
                new_event(push_started("room", "7", NOON_S)),
                any_event("another"),
                new_event(push_stopped("room", "7", NOON_S + 60)),
            ],
        )
    history = ledger.history("room")
    assert (history.id, history.version) == ("room", 2)
    assert [type(event) for event in history.events] == [PushStarted, PushStopped]
    assert b'"event_type":0' in history.events[1].delivery.body
    with pytest.raises(AggregateNotFoundError):
        ledger.history("nowhere")
    assert ledger.repository.get("room") == history


def test_the_librarys_own_readers_see_what_the_intake_wrote(any_database: Database, ledger: Ledger) -> None:
    assert ledger.recorder.max_notification_id() is None
    with connect(any_database, application_name="test") as connection:
        positions = store(connection, [any_event(f"room-{number % 2}") for number in range(5)]).positions
        store(connection, [new_event(screenshot("room-0", NOON_S))])
        written = reader.read_rows_after(connection, 0, 10)
    found = ledger.recorder.select_notifications(start=1, limit=10)
    assert [
        (each.id, each.originator_id, each.originator_version, each.topic, each.state) for each in found
    ] == [row[:5] for row in written]
    assert ledger.recorder.max_notification_id() == 6
    some = ledger.recorder.select_notifications(2, 2, stop=5, inclusive_of_start=False)
    assert [each.id for each in some] == list(positions[2:4])
    shots = ledger.recorder.select_notifications(None, 10, topics=["screenshot-created.v1"])
    assert [type(ledger.mapper.to_domain_event(each)) for each in shots] == [ScreenshotCreated]
    assert [each.id for each in ledger.notification_log.select(start=4, limit=9)] == [4, 5, 6]


def test_what_the_library_saves_waits_for_the_lock_of_all_writers(
    any_database: Database, ledger: Ledger
) -> None:
    assert isinstance(ledger.recorder, LedgerRecorder)
    with connect(any_database, application_name="test") as connection:
        store(connection, [any_event("room")])
        saving = threading.Thread(target=ledger.save, args=(started("room", 2),))
        with lock_held(any_database):
            saving.start()
            waits = None
            while waits != (1,):
                waits = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                    " AND datname = current_database()"
                ).fetchone()
                assert saving.is_alive(), "it did not wait"
            assert len(reader.read_after(connection, 0, 10)) == 1
        saving.join(20)
        store(connection, [any_event("room")])
        events = reader.read_after(connection, 0, 10)
    assert [event.originator_version for event in events] == [1, 2, 3]
    assert events[1].name == "push-started.v1"


def test_the_library_still_finds_its_conflicts(any_database: Database, ledger: Ledger) -> None:
    with connect(any_database, application_name="test") as connection:
        store(connection, [any_event("room")])
    for version in (1, 3):
        with pytest.raises(IntegrityError):
            ledger.save(started("room", version))
    recordings = ledger.save(started("room", 2))
    assert [each.notification.id for each in recordings] == [2]


def test_a_lost_store_is_told_at_once_and_not_after_ten_tries(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def away(*_: Any, **__: Any) -> Any:
        tries.append(1)
        raise psycopg.OperationalError("away")

    with Ledger(environment(database)) as ledger:
        ledger.recorder.max_notification_id()  # the pool is open
        monkeypatch.setattr("streamledger.ledger.recorder.append_events", away)
        with pytest.raises(OperationalError, match="away"):
            ledger.save(started("room", 1))
        with pytest.raises(ProgrammingError, match="tracking"):
            ledger.events.put([started("room", 1)], tracking=Tracking("upstream", 1))
    assert len(tries) == 1


class StreamCounts(PostgresTrackingRecorder):
    """How many events each stream has: a view as the library's documentation has it."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.table = Identifier(self.datastore.schema, "stream_counts")
        self.sql_create_statements.append(
            SQL("CREATE TABLE IF NOT EXISTS {} (stream_id text PRIMARY KEY, events int8)").format(self.table)
        )

    def count(self, stream_id: str, tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(
                SQL(
                    "INSERT INTO {} AS c VALUES (%s, 1)"
                    " ON CONFLICT (stream_id) DO UPDATE SET events = c.events + 1"
                ).format(self.table),
                (stream_id,),
            )

    def counted(self) -> dict[str, int]:
        with self.datastore.get_connection() as connection:
            rows = connection.execute(SQL("SELECT stream_id, events FROM {}").format(self.table)).fetchall()
        return {row["stream_id"]: row["events"] for row in rows}


class CountStreams(Projection[StreamCounts]):
    """A projection of the library over the ledger's events; it knows nothing of streamledger's own."""

    name = "stream_counts_projection"

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        self.view.count(domain_event.originator_id, tracking)


def _wait_until_it_listens(connection: psycopg.Connection[Any]) -> None:
    """The library reads first and listens then: it hears of what comes between only with the next event."""
    deadline_s = time.monotonic() + 60
    listening = (
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'"
        " AND state = 'idle'"
    )
    while connection.execute(listening).fetchone() is None:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_a_projection_of_the_library_follows_the_ledger_as_it_stands(any_database: Database) -> None:
    env = {
        **environment(any_database),
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "CREATE_TABLE": "y",
        "LEDGER_CREATE_TABLE": "n",
    }
    with connect(any_database, application_name="test") as connection:
        store(connection, [any_event("before"), any_event("before")])
        with ProjectionRunner(
            application_class=Ledger, projection_class=CountStreams, view_class=StreamCounts, env=env
        ) as runner:
            _wait_until_it_listens(connection)
            positions = store(connection, [any_event("while"), any_event("before")]).positions
            runner.wait(positions[-1], timeout=60)
            assert runner.projection.view.counted() == {"before": 3, "while": 1}
            assert runner.projection.view.max_tracking_id("ledger") == 4


def test_a_process_that_serves_has_the_library_loaded_and_writes_through_it(database: Database) -> None:
    """In a process of its own: this one has loaded it for the tests above."""
    program = f"""
import asyncio, logging, sys
from streamledger import bootstrap
from streamledger.postgres.connection import Database
from streamledger.settings import Settings
app = bootstrap.create_web_app(Settings(), Database({database.dsn!r}))
async def serve():
    to_app, from_app = asyncio.Queue(), asyncio.Queue()
    task = asyncio.ensure_future(app({{"type": "lifespan"}}, to_app.get, from_app.put))
    await to_app.put({{"type": "lifespan.startup"}})
    assert (await from_app.get())["type"] == "lifespan.startup.complete"
    ledger = app.application.state.callbacks._receiver._appender._ledger
    assert "eventsourcing" in sys.modules, "the library is not loaded"
    assert isinstance(ledger, sys.modules["eventsourcing.application"].Application), ledger
    assert logging.getLogger("psycopg").level == logging.NOTSET, "the library has silenced psycopg"
    await to_app.put({{"type": "lifespan.shutdown"}})
    await from_app.get()
    await task
asyncio.run(serve())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
