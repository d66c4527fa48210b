"""`streamledger demo`: live sessions for a newcomer, also after the simulated past is over."""

import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from streamledger.cli import demo
from tests.acceptance.serving import COMMAND, data_directory, settings_of

WAIT_S = 90


def items(address: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(address, timeout=30) as answer:
        found: list[dict[str, Any]] = json.load(answer)["items"]
        return found


def live_streams(url: str) -> list[dict[str, Any]]:
    return items(f"{url}/v1/streams?presence=live")


def streams(url: str) -> list[dict[str, Any]]:
    return items(f"{url}/v1/streams?limit=500")


def sessions(url: str) -> list[dict[str, Any]]:
    return items(f"{url}/v1/sessions?limit=100")


def set_aside(url: str) -> set[str]:
    return {each["reason"] for each in items(f"{url}/v1/quarantine?limit=500")}


def children_of(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def test_it_shows_live_streams_while_it_runs_and_leaves_nothing_running() -> None:
    with data_directory() as data_dir:
        process = subprocess.Popen(
            [*COMMAND, "demo", "--port", "0", "--streams", "2", "--data-dir", str(data_dir)],
            env=settings_of(callback_keys=None),
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["url"]
            said = ""
            while "Ctrl-C stops" not in said:
                said += process.stdout.readline()
            assert f"Look at {url}/" in said
            deadline = time.monotonic() + WAIT_S
            while (
                not (
                    (live := live_streams(url))
                    and {"gallery", "rooftop"} <= {each["stream_id"] for each in streams(url)}
                )
                and time.monotonic() < deadline
            ):
                threading.Event().wait(0.2)
            assert set_aside(url) >= {"expired", "bad_signature", "unsigned", "malformed"}
            shot = next(each for each in sessions(url) if each["screenshots"]["latest_url"])
            address = shot["screenshots"]["latest_url"]
            assert address.startswith(f"{url}/static/shot-")
            with urllib.request.urlopen(address, timeout=30) as image:
                assert image.headers["content-type"] == "image/svg+xml"
            assert live
            children = children_of(process.pid)
            os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C at a terminal
            assert process.wait(WAIT_S) == 0
            assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def test_a_port_that_is_taken_is_left_to_who_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]
        monkeypatch.setattr(demo, "USUAL_PORT", taken)
        found = demo.free_port()
        assert found not in (0, taken)
    assert demo.free_port() == taken
