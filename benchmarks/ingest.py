"""Durable ingest over HTTP with the projector running, against receivers that store nothing."""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import msgspec

from benchmarks import baselines, processor_time, sizes, wrk
from benchmarks.server import lag, serving, wait_for
from benchmarks.table import print_table
from benchmarks.wrk import STOPLESS, USUAL, Load, Streams
from streamledger.postgres.embedded import running_dsn

ROUNDS, SECONDS = 3, 20
BASELINE_SECONDS_MAX = 8
CONNECTIONS = (64, 256)
DRAIN_S_MAX = 120
BASELINES = ("bare Litestar", "bare ASGI")


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One load on a fresh store, and what became of it."""

    load: Load
    lag_events: int
    """When the load has just ended."""
    lag_s: float
    drained_per_s: float | None
    """From then on; None where nothing was left."""
    spent_us: Counter[str]
    """Processor time by process, from the load's beginning until everything was taken in."""
    sizes: list[tuple[str, int, int]]

    @property
    def taken_in(self) -> float:
        """The share that was taken in while the load lasted."""
        return 1 - self.lag_events / self.load.answered


def main(arguments: list[str] | None = None) -> None:
    """`python -m benchmarks ingest --seconds 5 --rounds 1` shows that it runs."""
    parser = argparse.ArgumentParser(prog="benchmarks ingest")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="how long each load is held")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="the median of so many")
    given = parser.parse_args(arguments or [])
    wrk.refuse_without_wrk()
    ports = {}
    processes = []
    for name in BASELINES:
        process, ports[name] = baselines.start(name)
        processes.append(process)
    try:
        for port in ports.values():
            wait_for(port)
        _measure(ports, given.seconds, given.rounds)
    finally:
        for process in processes:
            process.terminate()


def _measure(ports: dict[str, int], seconds: int, rounds: int) -> None:
    """The receivers take turns round by round, so that noise meets all of them."""
    rows, ours = [], []
    for connections in CONNECTIONS:
        runs: list[Run] = []
        bare: dict[str, list[Load]] = {name: [] for name in BASELINES}
        for number in range(1, rounds + 1):
            runs.append(_ingest(USUAL, connections, seconds, number))
            _tell(f"{connections} connections", runs[-1])
            for name, port in ports.items():
                url = f"http://127.0.0.1:{port}"
                bare[name].append(_load(url, USUAL, connections, min(seconds, BASELINE_SECONDS_MAX), number))
        rates = {name: median(each.rate for each in loads) for name, loads in bare.items()}
        rows.append(_row(f"streamledger, {connections} connections", runs, rates))
        rows += [_bare_row(f"{name}, {connections} connections", bare[name], rates) for name in BASELINES]
        ours += runs
    stopless = [_ingest(STOPLESS, CONNECTIONS[0], seconds, number) for number in range(1, rounds + 1)]
    rows.append(_row(f"the same where stops never come, {CONNECTIONS[0]} connections", stopless))
    _tell("no stops", stopless[-1])
    head = ("receiver", "requests/s", "of bare Litestar", "of bare ASGI", "p50 ms", "p99 ms")
    print_table((*head, "taken in meanwhile", "s behind at the end", "drained/s"), rows, benchmark="ingest")
    print()
    _show_costs(ours[:rounds])


def _ingest(streams: Streams, connections: int, seconds: int, number: int) -> Run:
    with (
        tempfile.TemporaryDirectory(prefix="streamledger-bench-") as directory,
        serving(Path(directory)) as (pid, url),
    ):
        dsn = running_dsn(Path(directory))
        assert dsn is not None
        before = processor_time.by_process(pid, dsn)
        load = _load(url, streams, connections, seconds, number)
        assert not load.broken, load  # a baseline may let connections wait for seconds, and lose them
        began_s = time.monotonic()
        left, lag_s = first, _ = lag(url)
        while left and time.monotonic() - began_s < DRAIN_S_MAX:
            time.sleep(0.05)
            left, _ = lag(url)
        took_s = time.monotonic() - began_s
        spent = processor_time.by_process(pid, dsn)
        spent.subtract(before)
        return Run(
            load=load,
            lag_events=first,
            lag_s=lag_s,
            drained_per_s=(first - left) / took_s if first else None,
            spent_us=spent,
            sizes=sizes.by_table(dsn),
        )


def _load(url: str, streams: Streams, connections: int, seconds: int, number: int) -> Load:
    return wrk.run(
        url, baselines.PATH, streams=streams, connections=connections, seconds=seconds, number=number
    )


def _tell(name: str, run: Run) -> None:
    print(
        f"  {name}: {run.load.rate:,.0f}/s, p99 {run.load.p99_us / 1000:.1f} ms,"
        f" {run.taken_in:.3f} taken in meanwhile, {run.lag_events} events and {run.lag_s} s behind",
        flush=True,
    )


def _row(name: str, runs: Sequence[Run], bare: dict[str, float] | None = None) -> list[str]:
    def middle(value: Callable[[Run], float]) -> float:
        return median(map(value, runs))

    drained = [run.drained_per_s for run in runs if run.drained_per_s is not None]
    return [
        *_bare_row(name, [run.load for run in runs], bare)[:6],
        f"{middle(lambda run: run.taken_in):.3f}",
        f"{middle(lambda run: run.lag_s):.2f}",
        f"{median(drained):,.0f}" if drained else "",
    ]


def _bare_row(name: str, loads: Sequence[Load], bare: dict[str, float] | None) -> list[str]:
    rate = median(each.rate for each in loads)
    return [
        name,
        f"{rate:,.0f}",
        *(f"{rate / bare[each]:.2f}" if bare else "" for each in BASELINES),
        f"{median(each.p50_us for each in loads) / 1000:.1f}",
        f"{median(each.p99_us for each in loads) / 1000:.1f}",
        *[""] * 3,
    ]


def _show_costs(runs: Sequence[Run]) -> None:
    """What an event costs, of all these runs together."""
    events = sum(run.load.answered for run in runs)
    spent: Counter[str] = Counter()
    for run in runs:
        spent.update(run.spent_us)
    told = [(name, used_us / events) for name, used_us in spent.most_common()]
    rows = [(name, f"{each:.1f}") for name, each in told if each >= 0.05]  # what rounds to 0
    rows.append(("all processes", f"{sum(each for _, each in told):.1f}"))
    print_table(("process", "us of processor time an event"), rows, benchmark="ingest")
    print()
    heap, indexes = Counter[str](), Counter[str]()
    for run in runs:
        for table, rows_bytes, indexes_bytes in run.sizes:
            heap[table] += rows_bytes
            indexes[table] += indexes_bytes
    in_all = heap + indexes
    table_rows: list[tuple[str, ...]] = [
        (table, f"{heap[table] / events:.0f}", f"{indexes[table] / events:.0f}", f"{size / events:.0f}")
        for table, size in in_all.most_common()
    ]
    sums = (heap.total(), indexes.total(), in_all.total())
    table_rows.append(("all tables", *(f"{each / events:.0f}" for each in sums)))
    head = ("table", "bytes an event of rows", "of indexes", "in all")
    print_table(head, table_rows, benchmark="ingest")
