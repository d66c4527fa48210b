"""The runner: one is active, others stand by; it survives the loss of its connection, and follows."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import pytest

from streamledger.ledger import reader
from streamledger.postgres.connection import Database, connect
from streamledger.postgres.lease import Lease
from streamledger.readmodel.projections import runner as runner_module
from streamledger.readmodel.projections.runner import LEASE, Runner
from tests.deliveries import NOON_S, SCHEMA, new_event, push_started, store
from tests.integration.readmodel.reading import SESSIONS, sessions
from tests.waiting import until


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "STANDBY_S", 0.02)
    monkeypatch.setattr(runner_module, "RECONNECT_S", 0.02)


@contextmanager
def running(database: Database, name: str) -> Iterator[threading.Thread]:
    runner = Runner(lambda: connect(database, application_name=name), SCHEMA, SESSIONS)
    thread = threading.Thread(target=runner.run)
    thread.start()
    try:
        yield thread
    finally:
        runner.stop()
        thread.join(20)
        assert not thread.is_alive()


def active(connection: psycopg.Connection[Any]) -> list[str]:
    """Names of the connections that hold the runner's lease."""
    rows = connection.execute(
        "SELECT activity.application_name FROM leases JOIN pg_stat_activity AS activity USING (pid)"
        " WHERE leases.name = %s AND activity.backend_start = leases.connected_at",
        (LEASE,),
    ).fetchall()
    return [name for (name,) in rows]


def the_active(connection: psycopg.Connection[Any]) -> str:
    """The one that is active, once there is one."""
    names: list[str] = []
    until(lambda: names.extend(active(connection)) or names)
    (name,) = names
    return name


def position(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT position FROM projections WHERE name = 'sessions'").fetchone()
    return int(row[0]) if row else 0


def append(connection: psycopg.Connection[Any], number: int) -> int:
    return store(connection, [new_event(push_started("room", str(number), NOON_S + number))]).positions[0]


def test_it_takes_in_what_is_there_and_then_what_comes(database: Database) -> None:
    with connect(database, application_name="test") as connection:
        append(connection, 1)
        with running(database, "runner"):
            until(lambda: len(sessions(connection)) == 1)
            last = append(connection, 2)
            until(lambda: position(connection) == last)
        assert set(sessions(connection)) == {"1", "2"}
        append(connection, 3)
        assert len(sessions(connection)) == 2


def test_one_is_active_and_another_takes_over_when_its_connection_dies(database: Database) -> None:
    with connect(database, application_name="test") as connection, ExitStack() as runners:
        runners.enter_context(running(database, "first"))
        until(lambda: active(connection) == ["first"])
        runners.enter_context(running(database, "second"))
        until(
            lambda: (
                connection.execute(
                    "SELECT FROM pg_stat_activity WHERE application_name = 'second'"
                ).fetchone()
                is not None
            )
        )
        taken_over, number = set(), 0
        while len(taken_over) < 2:
            number += 1
            name = the_active(connection)
            last = append(connection, number)
            until(lambda last=last: position(connection) == last)
            taken_over.add(name)
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s",
                (name,),
            )
            assert number < 50, "one of them never took over"
        last = append(connection, number + 1)
        until(lambda: position(connection) == last)
        found = sessions(connection)
        assert len(found) == number + 1
        assert {row.deliveries for row in found.values()} == {1}


def test_two_that_both_believe_to_be_active_take_each_event_in_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease is a courtesy, the checkpoint is the fence: without the lease the loser finds it moved."""
    monkeypatch.setattr(Runner, "_become_active", lambda *_: True)
    monkeypatch.setattr(Lease, "renew", lambda _: None)
    with (
        connect(database, application_name="test") as connection,
        running(database, "first"),
        running(database, "second"),
    ):
        for number in range(1, 60):
            last = append(connection, number)
        until(lambda: position(connection) == last)
        found = sessions(connection)
        assert len(found) == 59
        assert {row.deliveries for row in found.values()} == {1}
        assert position(connection) == reader.head(connection)
