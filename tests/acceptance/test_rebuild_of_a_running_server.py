"""Rebuilds of a running server: over HTTP and by command, followed, refused, cancelled, under load."""

import json
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from streamledger.postgres.connection import connect
from streamledger.readmodel.rebuild import record
from tests.acceptance.serving import Answer, Service, beginning, data_directory, database_of, run, serving
from tests.deliveries import push_started, push_stopped
from tests.waiting import until

NOW_S = int(time.time())
LEFT_BEHIND = "SELECT FROM pg_tables WHERE tablename ~ '_(g|was)[0-9]+$'"


@pytest.fixture(scope="module")
def own() -> Iterator[tuple[Service, str]]:
    """A service of this module's own, and its data directory."""
    with data_directory(made=True) as data_dir, serving(data_dir) as started:
        for number in range(60):
            sequence = str(2**60 + number)
            started.deliver(push_started(f"rebuilt-{number % 7}", sequence, NOW_S - 600 + number))
            if number % 3:
                started.deliver(push_stopped(f"rebuilt-{number % 7}", sequence, NOW_S - 500 + number))
        started.read("/v1/sessions")
        yield started, str(data_dir)


def connected(data_dir: str) -> psycopg.Connection[Any]:
    return connect(database_of(data_dir), application_name="test")


def asked(service: Service, **request: Any) -> Answer:
    return service.request(
        "POST", "/v1/projections/rebuild", json.dumps(request).encode(), {"Content-Type": "application/json"}
    )


def sequences(page: Any) -> list[str]:
    return [each["sequence"] for each in page["items"]]


def followed(service: Service, rebuild_id: str) -> list[tuple[str, Any]]:
    """The events of a rebuild until its feed ends."""
    text = service.get(f"/v1/rebuilds/{rebuild_id}/live").body.decode()
    found = []
    for block in text.strip().split("\n\n"):
        if not block.startswith(":"):
            name, data = block.split("\n")
            found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_a_rebuild_is_asked_for_and_followed_to_its_end(own: tuple[Service, str]) -> None:
    service, _ = own
    first = service.read("/v1/sessions", limit=20)
    answer = asked(service)
    assert answer.status == 202
    events = followed(service, answer.json()["id"])
    assert [name for name, _ in events][-1] == "ended"
    assert {name for name, _ in events[:-1]} <= {"progress"}
    last = events[-1][1]
    assert (last["state"], last["digests_equal"], last["error"]) == ("done", True, None)
    # A cursor from before the switch goes on after it, without gap or repetition.
    second = service.read("/v1/sessions", limit=20, cursor=first["next_cursor"])
    whole = service.read("/v1/sessions", limit=40)
    assert sequences(first) + sequences(second) == sequences(whole)


def test_a_rebuild_that_is_not_there_cannot_be_followed(own: tuple[Service, str]) -> None:
    service, _ = own
    assert service.get("/v1/rebuilds/999999/live").status == 404


def test_a_second_rebuild_is_refused_with_a_sentence_everywhere(own: tuple[Service, str]) -> None:
    service, data_dir = own
    with record.only_one(database_of(data_dir)):
        answer = asked(service)
        assert (answer.status, answer.headers["content-type"]) == (409, "application/problem+json")
        assert "under way" in answer.json()["detail"]
        for command in (
            ["rebuild"],
            ["rebuild", "--dry-run"],
            ["rebuild", "--stream", "rebuilt-1"],
            ["verify", "projections"],
        ):
            done = run(*command, "--data-dir", data_dir)
            assert done.returncode == 1, done
            assert done.stderr.endswith("streamledger: a rebuild of this ledger is under way already\n")


def test_up_to_a_position_first_and_the_server_goes_on_from_there(own: tuple[Service, str]) -> None:
    service, data_dir = own
    head = service.last_position
    answer = asked(service, to=head // 2)
    assert (answer.status, answer.json()["to_position"]) == (202, head // 2)
    assert followed(service, answer.json()["id"])[-1][1]["state"] == "done"

    def now() -> bool:
        return all(each["position"] == head for each in service.read("/v1/projections")["items"])

    until(now)
    assert run("verify", "projections", "--data-dir", data_dir).returncode == 0
    assert asked(service, to=head + 1).status == 400
    assert asked(service, to=0).status == 400
    done = run("rebuild", "--to", str(head + 1), "--data-dir", data_dir)
    assert (done.returncode, f"a position from 1 to {head}" in done.stderr) == (2, True)
    tried = run("rebuild", "--to", str(head // 2), "--dry-run", "--json", "--data-dir", data_dir)
    assert tried.returncode == 0, tried
    found = json.loads(tried.stdout)
    assert (found["position"], found["switched"]) == (head // 2, False)
    assert {each["table"]: each["removed"] > 0 for each in found["differences"]}["timeline"]
    assert run("rebuild", "--to", "1", "--stream", "x", "--data-dir", data_dir).returncode == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_command_and_nothing_is_left(
    own: tuple[Service, str], number: signal.Signals
) -> None:
    service, data_dir = own
    sessions = service.read("/v1/sessions")
    with connected(data_dir) as blocking, connected(data_dir) as connection:
        blocking.execute("BEGIN")
        blocking.execute("SELECT FROM sessions")  # the switch waits for this reader
        waiting = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'sessions'::regclass"
        with beginning("rebuild", "--workers", "2", "--data-dir", data_dir) as process:
            until(lambda: connection.execute(waiting).fetchall())
            assert connection.execute(LEFT_BEHIND).fetchall()
            process.send_signal(number)
            _, errors = process.communicate(timeout=60)
        assert process.returncode == 130, errors
        assert "the rebuild was cancelled; the live tables are as they were" in errors
        blocking.execute("ROLLBACK")
        assert not connection.execute(LEFT_BEHIND).fetchall()
        state = connection.execute("SELECT state FROM rebuilds ORDER BY id DESC LIMIT 1").fetchone()
        assert state == ("cancelled",)
    assert sequences(service.read("/v1/sessions")) == sequences(sessions)


def test_cancelled_over_http_it_ends_though_a_statement_of_it_waits_for_somebody(
    own: tuple[Service, str],
) -> None:
    service, data_dir = own
    with connected(data_dir) as blocking, connected(data_dir) as connection:
        blocking.execute("BEGIN")
        blocking.execute("LOCK TABLE timeline IN ACCESS EXCLUSIVE MODE")
        rebuild_id = asked(service).json()["id"]
        waiting = (
            "SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted"
            " AND application_name = 'streamledger rebuild'"
        )
        until(lambda: connection.execute(waiting).fetchall())
        assert service.request("DELETE", f"/v1/rebuilds/{rebuild_id}").status == 202
        assert followed(service, rebuild_id)[-1][1]["state"] == "cancelled"  # and the lock is still held
        assert not connection.execute(waiting).fetchall()
        assert not connection.execute(LEFT_BEHIND).fetchall()
        blocking.execute("ROLLBACK")
    assert followed(service, asked(service).json()["id"])[-1][1]["state"] == "done"


def test_what_a_killed_command_leaves_is_cleared_up_by_the_server_beside_it(
    own: tuple[Service, str],
) -> None:
    service, data_dir = own
    with connected(data_dir) as blocking, connected(data_dir) as connection:
        blocking.execute("BEGIN")
        blocking.execute("SELECT FROM sessions")
        waiting = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'sessions'::regclass"
        with beginning("rebuild", "--data-dir", data_dir):  # and killing
            until(lambda: connection.execute(waiting).fetchall())
            assert connection.execute(LEFT_BEHIND).fetchall()
        blocking.execute("ROLLBACK")
        until(lambda: not connection.execute(LEFT_BEHIND).fetchall())
        until(lambda: service.read("/v1/rebuilds", limit=1)["items"][0]["state"] != "running")
    ended = service.read("/v1/rebuilds", limit=1)["items"][0]
    assert (ended["state"], ended["error"]) == ("failed", "its process ended before it did")


def test_deliveries_go_on_while_it_is_rebuilt_cancelled_and_killed(own: tuple[Service, str]) -> None:
    service, data_dir = own
    sent = 0

    def deliver() -> None:
        nonlocal sent
        sent += 1
        service.deliver(push_started(f"under-load-{sent % 5}", str(2**61 + sent), NOW_S + sent % 60))

    for rounds in range(6):
        left = 15 + 25 * rounds
        with beginning("rebuild", "--workers", "2", "--data-dir", data_dir) as process:
            while process.poll() is None:
                deliver()
                left -= 1
                if left == 0 and rounds % 2 == 0:
                    os.killpg(process.pid, signal.SIGKILL)
                elif left == 0:
                    process.send_signal(signal.SIGTERM)
            out, errors = process.communicate()
        # SIGTERM before the command has begun ends it as it ends any program.
        assert process.returncode in (0, 130, -signal.SIGKILL, -signal.SIGTERM), errors
        assert "DIFFERENT" not in out
        assert len(service.pages("/v1/sessions", stream_id="under-load-1", limit=500)[0]) == (sent + 4) // 5

    def sound() -> bool:
        return run("verify", "projections", "--data-dir", data_dir).returncode == 0

    until(sound)
    done = run("rebuild", "--json", "--data-dir", data_dir)
    assert done.returncode == 0, done
    assert all(each["live_digest"] == each["rebuilt_digest"] for each in json.loads(done.stdout)["standings"])
    with connected(data_dir) as connection:
        assert not connection.execute(LEFT_BEHIND).fetchall()
