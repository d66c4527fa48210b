"""`streamledger demo`: live sessions for a newcomer, also after the simulated past is over."""

import json
import os
import signal
import subprocess
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.acceptance.serving import COMMAND, data_directory, settings_of

WAIT_S = 90


def live_streams(url: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{url}/v1/streams?presence=live", timeout=30) as answer:
        found: list[dict[str, Any]] = json.load(answer)["items"]
        return found


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
            while "The past is played" not in said:
                said += process.stdout.readline()
            assert "acknowledged" in said
            deadline = time.monotonic() + WAIT_S
            while not (live := live_streams(url)) and time.monotonic() < deadline:
                threading.Event().wait(0.2)
            assert live
            children = children_of(process.pid)
            os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C at a terminal
            assert process.wait(WAIT_S) == 0
            assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
