"""Durable ingest over HTTP with the projector running, against receivers that store nothing."""

import http.client
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import baselines
from benchmarks.load import KEY, Result, requests, run_load
from benchmarks.table import print_table

ROUNDS = 3
CONNECTIONS = (64, 256)


def main(count: int = 40_000) -> None:
    """Interleave the three receivers round by round, so that noise meets all of them."""
    with tempfile.TemporaryDirectory(prefix="streamledger-bench-") as directory:
        server, url, port = start_server(Path(directory))
        targets = {"streamledger": (None, port)}
        for name in ("bare Litestar", "bare ASGI"):
            targets[name] = baselines.start(name)
        for _, other in targets.values():
            _wait_for(other)
        rows = []
        try:
            for connections in CONNECTIONS:
                best: dict[str, list[Result]] = {name: [] for name in targets}
                for number in range(ROUNDS):
                    for name, (_, at) in targets.items():
                        # Streams of its own: the same pushes once more, at another time, would be conflicts.
                        seed = connections * ROUNDS + number
                        pending = requests("127.0.0.1", at, baselines.PATH, count, seed=seed)
                        result = run_load("127.0.0.1", at, pending, connections)
                        assert set(result.statuses) == {"200"}, result.statuses
                        best[name].append(result)
                        if name == "streamledger":
                            print(f"  {connections} connections: {result.rate:,.0f}/s, {_lag(url)}")
                medians = {
                    name: sorted(r.rate for r in results)[ROUNDS // 2] for name, results in best.items()
                }
                for name, results in best.items():
                    p99 = sorted(r.p99_ms for r in results)[ROUNDS // 2]
                    p50 = sorted(r.p50_ms for r in results)[ROUNDS // 2]
                    rows.append(
                        (
                            f"{name}, {connections} connections",
                            f"{medians[name]:,.0f}",
                            f"{medians[name] / medians['bare Litestar']:.2f}",
                            f"{medians[name] / medians['bare ASGI']:.2f}",
                            f"{p50:.1f}",
                            f"{p99:.1f}",
                        )
                    )
            time.sleep(2)
            print("  2 s after the end:", _lag(url))
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
            for process, _ in targets.values():
                if isinstance(process, multiprocessing.process.BaseProcess):
                    process.terminate()
        print_table(
            ("receiver", "requests/s", "of bare Litestar", "of bare ASGI", "p50 ms", "p99 ms"),
            rows,
            benchmark="ingest",
        )


def start_server(directory: Path, *arguments: str, **settings: str) -> tuple[subprocess.Popen[str], str, int]:
    """The installed program on a fresh embedded store; returns process, URL and port."""
    environment = {**os.environ, "STREAMLEDGER_CALLBACK_KEYS": f"bench:{KEY}", **settings}
    command = [sys.executable, "-m", "streamledger.cli", "serve", "--port", "0"]
    server = subprocess.Popen(
        [*command, "--data-dir", str(directory), *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    url = json.loads(server.stdout.readline())["url"]
    return server, url, int(url.rsplit(":", 1)[1])


def _lag(url: str) -> str:
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    connection.request("GET", "/v1/projections")
    projections = json.loads(connection.getresponse().read())["items"]
    return ", ".join(f"{p['name']} lags {p['lag_events']} events, {p['lag_s']} s" for p in projections)


def _wait_for(port: int) -> None:
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
