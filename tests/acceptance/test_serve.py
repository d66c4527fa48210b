"""`streamledger serve` as a process: it drains, refuses what is unsafe, and shares no directory."""

import json
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.acceptance.load import BELIEVED, Client, Record, stored_sequences
from tests.acceptance.serving import data_directory, end, run, serving, start
from tests.deliveries import push_started

NOW_S = int(time.time())


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_server_told_to_stop_under_load_stores_all_that_it_acknowledged(how: signal.Signals) -> None:
    with data_directory() as data_dir:
        service, record = start(data_dir), Record()
        try:
            with Client(service.url, record, kinds=BELIEVED, pause_s=0.002):
                record.wait_for(200)
                # The terminal's Ctrl-C reaches every process of the group, as here.
                os.killpg(service.process.pid, how)
                assert service.process.wait(40) == 0
            assert record.statuses().keys() <= {200, 503, None}
        finally:
            end(service)
        with serving(data_dir) as again:
            stored = stored_sequences(again)
            assert sorted(stored) == sorted(set(stored))
            assert record.sequences("believed", 200) <= set(stored)
            assert set(stored) <= record.sequences("believed")
        doctor = run("doctor", "--data-dir", str(data_dir), "--json")
        assert doctor.returncode == 0, doctor.stdout + doctor.stderr


def test_a_second_server_on_the_same_directory_ends_with_a_sentence_and_a_code() -> None:
    with data_directory(made=True) as data_dir, serving(data_dir) as service:
        second = run("serve", "--port", "0", "--data-dir", str(data_dir))
        assert second.returncode in (1, 2, 3)
        assert second.stderr.startswith("streamledger: ")
        assert str(data_dir) in second.stderr
        assert "Traceback" not in second.stderr
        assert service.get("/health/ready").status == 200


def test_a_port_that_is_taken_ends_with_a_sentence_and_a_code() -> None:
    with data_directory(made=True) as data_dir, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("serve", "--port", str(port), "--data-dir", str(data_dir))
    assert ended.returncode == 3
    assert ended.stderr.startswith(f"streamledger: cannot listen on 127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({"callback_keys": None}, "STREAMLEDGER_CALLBACK_KEYS"),
        ({"callback_keys": None, "api_tokens": "a:read:token-of-sixteen"}, "STREAMLEDGER_CALLBACK_KEYS"),
        ({}, "STREAMLEDGER_API_TOKENS"),
    ],
)
def test_it_refuses_to_listen_where_others_reach_it_without_keys_or_tokens(
    settings: dict[str, str | None], missing: str
) -> None:
    with data_directory() as data_dir:
        for host in ("0.0.0.0", "::"):
            ended = run("serve", "--host", host, "--port", "0", "--data-dir", str(data_dir), **settings)
            assert ended.returncode == 2
            assert ended.stderr.startswith(f"streamledger: refusing to listen on {host}")
            assert missing in ended.stderr
        # Tokens may also be in the store, so only for them it has to be opened.
        assert data_dir.exists() == (missing == "STREAMLEDGER_API_TOKENS")


def test_with_keys_and_tokens_or_insecure_it_listens_everywhere() -> None:
    with data_directory(made=True) as data_dir:
        with serving(data_dir, ["--host", "0.0.0.0"], api_tokens="a:read:token-of-sixteen") as service:
            assert service.get("/health/ready").status == 200
        with serving(data_dir, ["--host", "0.0.0.0", "--insecure"], callback_keys=None) as service:
            assert service.get("/v1/sessions").status == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [("STREAMLEDGER_PROT", "8470"), ("STREAMLEDGER_PORT", "many"), ("STREAMLEDGER_BATCH_SIZE_MAX", "0")],
)
def test_a_setting_that_is_unknown_or_does_not_fit_ends_it_with_its_name(
    name: str, value: str, tmp_path: Path
) -> None:
    ended = run("serve", "--data-dir", str(tmp_path / "x"), **{name.removeprefix("STREAMLEDGER_"): value})
    assert ended.returncode == 2
    assert name in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_command_line_reads_beside_a_running_server() -> None:
    with data_directory(made=True) as data_dir, serving(data_dir) as service:
        service.deliver(push_started("beside", "2210464508206756938", NOW_S))
        service.read("/v1/sessions/2210464508206756938")
        listed = run("sessions", "--json", "--data-dir", str(data_dir))
        assert listed.returncode == 0, listed.stderr
        assert "2210464508206756938" in listed.stdout
        shown = run("timeline", "2210464508206756938", "--json", "--data-dir", str(data_dir))
        assert shown.returncode == 0, shown.stderr
        assert "push_started" in shown.stdout
        unknown = run("timeline", "404", "--data-dir", str(data_dir))
        assert unknown.returncode == 4
        assert unknown.stderr.startswith("streamledger: no session has the sequence 404")


def test_several_workers_share_the_port_and_the_ledger() -> None:
    with data_directory(made=True) as data_dir, serving(data_dir, ["--workers", "2"]) as service:
        bodies = [push_started(f"shared-{number % 3}", str(2**60 + number), NOW_S) for number in range(60)]
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(service.deliver, bodies))
        assert {answer.status for answer in answers} == {200}
        assert len({answer.position for answer in answers}) == 60
        assert sorted(stored_sequences(service)) == sorted(body["sequence"] for body in bodies)


def test_a_web_worker_that_is_killed_is_started_again() -> None:
    with data_directory(made=True) as data_dir, serving(data_dir) as service:
        children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children")
        before = set(children.read_text().split())
        workers = [pid for pid in before if b"unix_socket" not in Path(f"/proc/{pid}/cmdline").read_bytes()]
        assert len(workers) == 2, "the web worker and the projector"
        for pid in workers:
            os.kill(int(pid), signal.SIGKILL)
        deadline = time.monotonic() + 30
        status = 0
        while status != 200 and time.monotonic() < deadline:
            threading.Event().wait(0.05)
            try:
                status = service.deliver(push_started("again", "1", NOW_S)).status
            except OSError:
                continue
        assert status == 200
        assert json.loads(service.get("/v1/sessions/1", min_position=service.last_position).body)["state"]
