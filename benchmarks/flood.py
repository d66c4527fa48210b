"""Genuine deliveries at a steady rate while strangers attack: one row an attack, from one address and fifty.

Must hold in each row: all acknowledged, the 99th of a hundred answered within 100 ms, and no process of
the server grown by 50 MB. The longest stall is that of the worker's event loop, in processor time.
"""

import argparse
import asyncio
import http.client
import json
import multiprocessing
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from benchmarks import attacks
from benchmarks.attacks import answer_of
from benchmarks.baselines import PATH
from benchmarks.load import requests
from benchmarks.server import start_server
from benchmarks.table import print_table
from benchmarks.watched import Stalls

RATE_PER_S = 500
SECONDS = 10
CONNECTIONS = 16
FEW, MANY = 1, 50
P99_MS_MAX = 100
GROWTH_BYTES_MAX = 50 * 2**20
SAMPLE_EVERY_S = 0.1
TOKEN = "benchmark-token-of-the-reader"  # of a server that lives for a minute


class Case(msgspec.Struct, frozen=True):
    """An attack with so many connections from so many addresses."""

    attack: attacks.Attack
    addresses: int
    connections: int

    @property
    def name(self) -> str:
        """As in the table."""
        words = self.attack.__name__.replace("_", " ")
        return f"{words}, {self.connections} from {self.addresses}"


CASES = (
    *(Case(attacks.endless_header_line, *of) for of in ((FEW, 20), (MANY, 100))),
    *(Case(attacks.many_small_headers, *of) for of in ((FEW, 20), (MANY, 100))),
    *(Case(attacks.silence, *of) for of in ((FEW, 4), (MANY, 50))),
    *(Case(attacks.pipelining, *of) for of in ((FEW, 50), (MANY, 100))),
    *(Case(attacks.pipelining_with_a_wrong_token, *of) for of in ((FEW, 50), (MANY, 100))),
    *(Case(attacks.never_reading, *of) for of in ((FEW, 50), (MANY, 100))),
    *(Case(attacks.unsigned_json5, *of) for of in ((FEW, 20), (FEW, 60), (MANY, 100))),
    *(Case(attacks.forged_and_large, *of) for of in ((FEW, 20), (MANY, 100))),
    *(Case(attacks.refused_and_going_on, *of) for of in ((FEW, 32), (MANY, 200))),
    *(Case(attacks.forged, *of) for of in ((FEW, 32), (MANY, 200))),
)


def main(arguments: list[str] | None = None) -> None:
    """Without an attack, then with each."""
    argparse.ArgumentParser(prog="benchmarks flood").parse_args(arguments or [])
    rows, faults = [], []
    with (
        tempfile.TemporaryDirectory(prefix="streamledger-bench-") as directory,
        tempfile.NamedTemporaryFile(prefix="streamledger-stalls-") as file,
    ):
        stalls = Stalls(Path(file.name))
        server, url, port = start_server(
            Path(directory),
            program=("benchmarks.watched", file.name),
            STREAMLEDGER_API_TOKENS=f"bench:read:{TOKEN}",
        )
        try:
            for number, case in enumerate((None, None, *CASES)):
                stalls.forget()
                with grown(server.pid) as growth:
                    did, statuses, latencies = _attacked(case, number, port)
                name = "no attack" if case is None else case.name
                if number:  # the first only warms up
                    rows.append(_row(name, statuses, latencies, stalls.longest_s, growth, did))
                    faults += _faults(name, statuses, latencies, growth)
            metrics = _metrics(url)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
    head = (
        "500/s genuine and",
        "acknowledged",
        "p50 ms",
        "p99 ms",
        "max ms",
        "longest stall, ms",
        "most grown, MB",
        "strangers",
    )
    print_table(head, rows, benchmark="flood")
    counted = {name: value for name, value in metrics.items() if "limit_reached" in name and value != "0"}
    print("\n" + "\n".join(f"{name} {value}" for name, value in counted.items()))
    for fault in faults:
        print(f"does not hold: {fault}")


def _attacked(case: Case | None, number: int, port: int) -> tuple[dict[str, int], Counter[str], list[float]]:
    """What the strangers did, and what became of the genuine ones meanwhile."""
    pending = requests("127.0.0.1", port, PATH, RATE_PER_S * SECONDS, seed=number)
    if case is None:
        return {}, *uvloop.run(_send_at_rate(port, pending))
    # Addresses of their own for each attack: on Linux all of 127/8 is this machine's.
    addresses = [f"127.1.{number}.{last + 1}" for last in range(case.addresses)]
    result: Any = multiprocessing.Queue()
    arguments = (case.attack, port, addresses, case.connections, SECONDS, result)
    strangers = multiprocessing.Process(target=attacks.run, args=arguments)
    strangers.start()
    try:
        statuses, latencies = uvloop.run(_send_at_rate(port, pending))
        return result.get(timeout=SECONDS + 30), statuses, latencies
    finally:
        strangers.join(10)
        if strangers.is_alive():
            strangers.kill()


async def _send_at_rate(port: int, pending: list[bytes]) -> tuple[Counter[str], list[float]]:
    """Each request has its time, whether or not those before it are answered; latency counts from there."""
    statuses: Counter[str] = Counter()
    latencies: list[float] = []
    free: asyncio.Queue[Any] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    began = time.perf_counter()

    async def send(request: bytes, due: float, streams: Any) -> None:
        reader, writer = streams
        try:
            writer.write(request)
            status, _ = await answer_of(reader)
        except (OSError, asyncio.IncompleteReadError):
            status = "closed"
            streams = await asyncio.open_connection("127.0.0.1", port)
        statuses[status] += 1
        latencies.append(time.perf_counter() - due)
        free.put_nowait(streams)

    async with asyncio.TaskGroup() as group:
        for number, request in enumerate(pending):
            due = began + number / RATE_PER_S
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(send(request, due, await free.get()))
    return statuses, sorted(latencies)


@contextmanager
def grown(server: int) -> Iterator[dict[str, int]]:
    """By how many bytes the memory of each process of the server's grew at most while this lasts.

    What is shared does not count, so PostgreSQL's buffers do not.
    """
    before, most, ended = _memory(server), dict[str, int](), threading.Event()

    def sample() -> None:
        while not ended.wait(SAMPLE_EVERY_S):
            for name, size in _memory(server).items():
                # A connection's process that is new grew from nothing.
                most[name] = max(most.get(name, 0), size - before.get(name, 0))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()


def _memory(process: int) -> dict[str, int]:
    found: dict[str, int] = {}
    try:
        status = Path(f"/proc/{process}/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in status if ":" in line)
        found[f"{fields['Name'].strip()} {process}"] = int(fields["RssAnon"].split()[0]) * 1024
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in (task / "children").read_text().split():
                found |= _memory(int(child))
    except (OSError, KeyError):
        pass  # it has just ended
    return found


def _row(
    name: str,
    statuses: Counter[str],
    latencies: list[float],
    stall_s: float,
    growth: dict[str, int],
    did: dict[str, int],
) -> list[str]:
    return [
        name,
        f"{statuses['200']:,} of {len(latencies):,}",
        f"{latencies[len(latencies) // 2] * 1000:.1f}",
        f"{_p99_ms(latencies):.1f}",
        f"{latencies[-1] * 1000:.1f}",
        f"{stall_s * 1000:.1f}",
        f"{max(growth.values()) / 2**20:.1f}",
        ", ".join(f"{what} {times:,}" for what, times in did.items()),
    ]


def _faults(
    name: str, statuses: Counter[str], latencies: list[float], growth: dict[str, int]
) -> Iterator[str]:
    if set(statuses) != {"200"}:
        yield f"{name}: {json.dumps(statuses)}"
    if _p99_ms(latencies) > P99_MS_MAX:
        yield f"{name}: p99 {_p99_ms(latencies):.0f} ms"
    process, size = max(growth.items(), key=lambda each: each[1])
    if size > GROWTH_BYTES_MAX:
        yield f"{name}: {process} grew by {size / 2**20:.0f} MB"


def _p99_ms(latencies: list[float]) -> float:
    return latencies[len(latencies) * 99 // 100] * 1000


def _metrics(url: str) -> dict[str, str]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    lines = connection.getresponse().read().decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
