"""Restart, upgrade and SIGHUP under load refuse no connection and cut none off, and nothing is lost."""

import contextlib
import os
import signal
import threading
from pathlib import Path

import pytest

from tests.acceptance.load import NOW_S, Client, Record
from tests.acceptance.serving import data_directory, database_of, end, serving, signed_now, start
from tests.deliveries import KEY, push_started
from tests.drills.activation import Unit
from tests.drills.auditor import audit
from tests.drills.drill import ROUNDS, settled
from tests.waiting import until

CLIENTS = 48
"""Without a pause: a thousand requests a second and more, where the machine has time for them."""


def held_against(data_dir: Path, record: Record) -> None:
    """All was answered, by no refused or broken connection, and the store holds what was acknowledged."""
    lasted_s = max(each.sent_s + each.waited_s for each in record.sent) - record.sent[0].sent_s
    print(f"{len(record.sent) / lasted_s:.0f} requests/s, restarts included")  # noqa: T201  # a measurement
    assert [each for each in record.sent if each.status is None] == []
    assert record.statuses()[503] == 0, record.statuses()
    audit(database_of(data_dir), record)


def test_the_sockets_of_a_service_manager_hold_who_connects_while_the_program_restarts() -> None:
    record = Record()
    with data_directory(made=True) as data_dir, contextlib.closing(Unit(data_dir)) as unit:
        service = unit.start()
        try:
            assert service.url == unit.url
            assert unit.hears() == "READY=1"
            with Client(unit.url, record, clients=CLIENTS, pause_s=0):
                for _ in range(ROUNDS):
                    record.wait_for(200)
                    assert service.stop() == 0
                    assert unit.hears() == "STOPPING=1"
                    service.process.communicate()
                    service = unit.start()
                    assert unit.hears() == "READY=1"
                record.wait_for(200)
            settled(service)
            held_against(data_dir, record)
        finally:
            end(service)


def test_without_a_service_manager_the_program_begins_anew_in_its_own_process() -> None:
    record = Record()
    with data_directory(made=True) as data_dir, serving(data_dir, ["--workers", "2"]) as service:
        assert service.process.stdout is not None
        with Client(service.url, record, clients=CLIENTS, pause_s=0):
            for _ in range(ROUNDS):
                record.wait_for(200)
                os.kill(service.process.pid, signal.SIGUSR2)
                assert service.url in service.process.stdout.readline()  # another line that says ready
            record.wait_for(200)
        settled(service)
        held_against(data_dir, record)


def test_whoever_asks_again_while_it_begins_anew_is_heard_and_ends_nothing() -> None:
    with data_directory(made=True) as data_dir, serving(data_dir) as service:
        assert service.process.stdout is not None
        for _ in range(160):  # through more than one beginning
            os.kill(service.process.pid, signal.SIGUSR2)
            os.kill(service.process.pid, signal.SIGHUP)
            threading.Event().wait(0.05)
            assert service.process.poll() is None
        assert service.url in service.process.stdout.readline()
        settled(service)
        os.kill(service.process.pid, signal.SIGUSR2)
        assert service.stop() == 0  # it is to end, whatever was asked for before


def test_on_a_hangup_keys_and_tokens_are_read_again_and_nobody_is_cut_off(tmp_path: Path) -> None:
    config = tmp_path / "streamledger.toml"
    config.write_text(f'callback_keys = "main:{KEY}"\n')
    record = Record()
    other_key = "another callback key"
    with data_directory(made=True) as data_dir:
        service = start(data_dir, ["--config", str(config), "--workers", "2"], callback_keys=None)
        try:
            with Client(service.url, record):
                record.wait_for(50)
                body = signed_now(push_started("other", "77", NOW_S), key=other_key)
                assert service.post(body).status == 403
                config.write_text(
                    f'callback_keys = "main:{KEY},other:{other_key}"\n'
                    'api_tokens = "watch:read:0123456789abcdef"\nqueue_length_max = 500\nhost = "127.0.0.2"\n'
                )
                os.killpg(service.process.pid, signal.SIGHUP)  # as a closing terminal would: to all of them
                until(lambda: "were read again" in service.log.read_text())
                until(lambda: service.post(body).status == 200)
                record.wait_for(50)
                assert service.get("/v1/streams").status == 401
                config.write_text('callback_keys = "x:1,x:2"\n')
                os.kill(service.process.pid, signal.SIGHUP)
                until(lambda: "stay as they were" in service.log.read_text())
                assert service.post(body).status == 200
                record.wait_for(50)
            assert "only after a new start (SIGUSR2): queue_length_max\n" in service.log.read_text()
            assert "it keeps its socket: host\n" in service.log.read_text()
            assert record.statuses()[None] == 0
            assert service.process.poll() is None
        finally:
            end(service)


@pytest.mark.parametrize("number", ["0", "2", "x"])
def test_another_number_of_sockets_than_one_is_refused(number: str) -> None:
    from streamledger.cli.systemd import HandedOverUnusable, handed_over

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LISTEN_FDS", number)
        patch.setenv("LISTEN_PID", "1")
        assert handed_over() is None  # they are another process's
        patch.setenv("LISTEN_FDS", number)
        patch.setenv("LISTEN_PID", str(os.getpid()))
        with pytest.raises(HandedOverUnusable):
            handed_over()
