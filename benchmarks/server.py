"""The installed program as a process, on a fresh store, for benchmarks that ask it over HTTP."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.load import KEY

PROGRAM = ("streamledger.cli",)


def start_server(
    directory: Path, *arguments: str, program: Sequence[str] = PROGRAM, **settings: str
) -> tuple[subprocess.Popen[str], str, int]:
    """The installed program on an embedded store in the directory; returns process, URL and port."""
    given = {"STREAMLEDGER_CALLBACK_KEYS": f"bench:{KEY}", "STREAMLEDGER_LOG_LEVEL": "warning", **settings}
    command = [sys.executable, "-m", *program, "serve", "--port", "0"]
    server = subprocess.Popen(
        [*command, "--data-dir", str(directory), *arguments],
        env={**os.environ, **given},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    url = json.loads(server.stdout.readline())["url"]
    return server, url, int(url.rsplit(":", 1)[1])


@contextmanager
def serving(directory: Path, *arguments: str, **settings: str) -> Iterator[tuple[int, str]]:
    """The same while this lasts; gives its pid and URL."""
    server, url, _ = start_server(directory, *arguments, **settings)
    try:
        yield server.pid, url
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def lag(url: str) -> tuple[int, float]:
    """Events and seconds that the slowest projection is behind."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    try:
        connection.request("GET", "/v1/projections")
        projections = json.loads(connection.getresponse().read())["items"]
    finally:
        connection.close()
    return max(each["lag_events"] for each in projections), max(each["lag_s"] for each in projections)


def wait_for(port: int) -> None:
    """Until something answers there. Raises TimeoutError after 30 s."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except OSError:
            time.sleep(0.05)
        else:
            return
        finally:
            connection.close()
    raise TimeoutError(f"nothing answers on port {port}")
