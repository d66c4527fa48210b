"""Genuine deliveries at a steady rate while one address sends forged ones as fast as it can."""

import asyncio
import http.client
import json
import multiprocessing
import re
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.baselines import PATH
from benchmarks.ingest import start_server
from benchmarks.load import requests
from benchmarks.table import print_table

RATE_PER_S = 500
SECONDS = 20
CONNECTIONS = 16
FLOOD_CONNECTIONS = 32
FLOOD_ADDRESS = "127.0.0.2"  # on Linux every address of 127/8 is this machine's
REFUSED_ROWS_MAX = 2_000


def main() -> None:
    """Without the flood, then with it: statuses and latencies of the genuine ones, counts of the forged."""
    with tempfile.TemporaryDirectory(prefix="streamledger-bench-") as directory:
        server, url, port = start_server(
            Path(directory), STREAMLEDGER_QUARANTINE_REFUSED_ROWS_MAX=str(REFUSED_ROWS_MAX)
        )
        try:
            rows = [_row("no flood", *_genuine(port, seed=1))]
            stopping = multiprocessing.Event()
            forged: Any = multiprocessing.Queue()
            flood = multiprocessing.Process(target=_flood, args=(port, stopping, forged))
            flood.start()
            rows.append(_row(f"flood from {FLOOD_ADDRESS}", *_genuine(port, seed=2)))
            stopping.set()
            sent = forged.get()
            flood.join()
            metrics = _metrics(url)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
    print_table(("genuine, 500/s", "sent", "statuses", "p50 ms", "p99 ms", "max ms"), rows, benchmark="flood")
    print(f"\nforged: {sum(sent.values()) / SECONDS:,.0f}/s, {dict(sent)}")
    kept = int(metrics['streamledger_quarantine_rows{budget="refused"}'])
    print(f"kept of them: {kept} rows (cap {REFUSED_ROWS_MAX}), the rest counted")
    assert kept <= REFUSED_ROWS_MAX


def _genuine(port: int, seed: int) -> tuple[Counter[str], list[float]]:
    return uvloop.run(_send_at_rate(port, requests("127.0.0.1", port, PATH, RATE_PER_S * SECONDS, seed=seed)))


async def _send_at_rate(port: int, pending: list[bytes]) -> tuple[Counter[str], list[float]]:
    """Each request has its time, whether or not those before it are answered; latency counts from there."""
    statuses: Counter[str] = Counter()
    latencies: list[float] = []
    free: asyncio.Queue[Any] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    began = time.perf_counter()

    async def send(request: bytes, due: float, streams: Any) -> None:
        status = await _exchange(streams, request)
        statuses[status] += 1
        latencies.append(time.perf_counter() - due)
        free.put_nowait(streams)

    async with asyncio.TaskGroup() as group:
        for number, request in enumerate(pending):
            due = began + number / RATE_PER_S
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(send(request, due, await free.get()))
    return statuses, sorted(latencies)


async def _exchange(streams: Any, request: bytes) -> str:
    reader, writer = streams
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    at = head.find(b"content-length:")
    await reader.readexactly(int(head[at + 15 :].split(b"\r\n", 1)[0]))
    return str(head[9:12].decode())


def _flood(port: int, stopping: Any, result: Any) -> None:
    """Forged deliveries over many connections, each as fast as it is answered."""
    genuine = requests("127.0.0.1", port, PATH, 500, seed=3)
    # As long as the true one, so that the request's length still fits.
    wrong = [re.sub(rb'"sign": "[0-9a-f]{32}"', b'"sign": "' + b"0" * 32 + b'"', each) for each in genuine]
    statuses: Counter[str] = Counter()

    async def work(offset: int) -> None:
        streams = await asyncio.open_connection("127.0.0.1", port, local_addr=(FLOOD_ADDRESS, 0))
        number = offset
        while not stopping.is_set():
            statuses[await _exchange(streams, wrong[number % len(wrong)])] += 1
            number += 1

    async def drive() -> None:
        await asyncio.gather(*(work(offset * 7) for offset in range(FLOOD_CONNECTIONS)))

    uvloop.run(drive())
    result.put(statuses)


def _row(name: str, statuses: Counter[str], latencies: list[float]) -> list[str]:
    return [
        name,
        f"{len(latencies):,}",
        json.dumps(statuses),
        f"{latencies[len(latencies) // 2] * 1000:.1f}",
        f"{latencies[len(latencies) * 99 // 100] * 1000:.1f}",
        f"{latencies[-1] * 1000:.1f}",
    ]


def _metrics(url: str) -> dict[str, str]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
