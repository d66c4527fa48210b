"""The ledger as an application of the eventsourcing library: the same table, the same lock, stable names."""

import threading
from collections.abc import Iterator

import pytest
from eventsourcing.application import AggregateNotFoundError
from eventsourcing.persistence import IntegrityError
from eventsourcing.postgres import PostgresApplicationRecorder

from streamledger.domain.events import Delivery
from streamledger.ledger import reader
from streamledger.ledger.application import Ledger, StoredDelivery
from streamledger.ledger.recorder import LedgerRecorder
from streamledger.postgres.connection import Database, carry_connection, connect, eventsourcing_env
from tests.deliveries import NOON_S, any_event, new_event, push_started, push_stopped, store
from tests.integration.ledger.writing import lock_held


@pytest.fixture
def ledger(any_database: Database) -> Iterator[Ledger]:
    application = Ledger(eventsourcing_env(any_database))
    recorder = application.recorder
    assert isinstance(recorder, PostgresApplicationRecorder)
    carry_connection(recorder.datastore, any_database, application_name="streamledger library")
    yield application
    application.close()


def delivery_in(originator_id: str, version: int) -> StoredDelivery:
    return StoredDelivery(
        originator_id=originator_id,
        originator_version=version,
        name="push-started.v1",
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
    assert [event.name for event in history.events] == ["push-started.v1", "push-stopped.v1"]
    assert b'"event_type":0' in history.events[1].delivery.body
    with pytest.raises(AggregateNotFoundError):
        ledger.history("nowhere")


def test_the_librarys_own_readers_see_what_the_appender_wrote(any_database: Database, ledger: Ledger) -> None:
    with connect(any_database, application_name="test") as connection:
        positions = store(connection, [any_event(f"room-{number % 2}") for number in range(5)]).positions
    notifications = ledger.recorder.select_notifications(start=1, limit=10)
    assert [each.id for each in notifications] == list(positions)
    assert ledger.recorder.max_notification_id() == positions[-1]


def test_the_repository_folds_a_stream_into_its_history(any_database: Database, ledger: Ledger) -> None:
    with connect(any_database, application_name="test") as connection:
        store(connection, [any_event("room"), any_event("room")])
    history = None
    for event in ledger.events.get("room"):
        history = event.mutate(history)
    assert history == ledger.history("room")


def test_what_the_library_saves_waits_for_the_lock_of_the_appender(
    any_database: Database, ledger: Ledger
) -> None:
    assert isinstance(ledger.recorder, LedgerRecorder)
    with connect(any_database, application_name="test") as connection:
        store(connection, [any_event("room")])
        saving = threading.Thread(target=ledger.save, args=(delivery_in("room", 2),))
        with lock_held(any_database):
            saving.start()
            waits = None
            while waits != (1,):
                waits = connection.execute(
                    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
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
    with pytest.raises(IntegrityError):
        ledger.save(delivery_in("room", 1))
