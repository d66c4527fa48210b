"""Rebuild of every read model from a seeded history, against reading it to nowhere and the library."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from eventsourcing.postgres import PostgresApplicationRecorder

from benchmarks import library_runner
from benchmarks.history import fill
from benchmarks.memory import PeakMemory
from benchmarks.table import note_condition, print_table
from streamledger.ledger import reader
from streamledger.ledger.application import Ledger, environment
from streamledger.operations.rebuild import Order, rebuild
from streamledger.operations.rebuilt import Rebuilt
from streamledger.postgres.connection import Database, connect
from streamledger.postgres.embedded import start_embedded
from streamledger.postgres.schema import migrate
from streamledger.readmodel.projections.reading import events_and_errors
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.projections.view import Projection
from streamledger.readmodel.rebuild.record import Progress
from streamledger.tencent.reader import read_notification

EVENTS = 1_000_000
SAMPLE = 50_000
"""Events that the slow baselines are given."""
RUNNER_SAMPLE = 5_000
"""Events that the slowest is given."""


def main(arguments: list[str] | None = None) -> None:
    """One run of each, on one history in one store."""
    parser = argparse.ArgumentParser(prog="benchmarks rebuild")
    parser.add_argument("--events", type=int, default=EVENTS, help="of the history: 1000000, or 10000000")
    events: int = parser.parse_args(arguments or []).events
    with (
        tempfile.TemporaryDirectory(prefix="streamledger-bench-") as directory,
        start_embedded(Path(directory)) as server,
    ):
        database = Database(server.owner_dsn)
        migrate(database)
        with connect(database, application_name="bench") as connection:
            version = connection.execute("SHOW server_version").fetchone()
            note_condition("PostgreSQL", f"{version[0] if version else ''} embedded, fsync on")
            _, seconds = timed(lambda: fill(connection, events))
            print(f"  {events:,} events made and copied into the ledger in {seconds:.0f} s", flush=True)
            _, seconds = timed(lambda: copied_to_nowhere(connection))
            nowhere = events / seconds
            rows = [("COPY binary of the ledger to nowhere", f"{nowhere:,.0f}", "1.00", f"{events:,} events")]
            for name, wanted in {"all": PROJECTIONS, **{each.name: (each,) for each in PROJECTIONS}}.items():
                with PeakMemory() as memory:
                    done = _rebuild(database, wanted)
                # Of history, whatever the number of projections that take it in.
                rate = events / done.seconds
                rows.append(
                    (
                        f"rebuild, {name}: fold, indexes, digests, switch",
                        f"{rate:,.0f}",
                        f"{rate / nowhere:.2f}",
                        f"{memory.bytes_max / 2**20:.0f} MB at most, all processes but PostgreSQL's",
                    )
                )
            sample = min(events, SAMPLE)
            for name, work in {
                "the library's select_notifications, bodies read": library_read,
                "one fetch of binary tuples, bodies read": plain_read,
            }.items():
                _, seconds = timed(lambda work=work: work(database, sample))  # type: ignore[misc]  # bound by default
                rate = sample / seconds
                rows.append((name, f"{rate:,.0f}", f"{rate / nowhere:.2f}", f"{sample:,} events"))
            sample = min(events, RUNNER_SAMPLE)
            rate = library_runner.events_per_s(database, sample)
            name = "the library's ProjectionRunner, one small view, a transaction an event"
            rows.append((name, f"{rate:,.0f}", f"{rate / nowhere:.3f}", f"{sample:,} events"))
        print_table(("what", "events/s", "of COPY to nowhere", ""), rows, benchmark="rebuild")


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What the work gives, and its seconds."""
    began = time.perf_counter()
    found = work()
    return found, time.perf_counter() - began


def _rebuild(database: Database, projections: tuple[Projection, ...]) -> Rebuilt:
    phases: dict[str, float] = {}

    def note(progress: Progress) -> None:
        phases.setdefault(progress.phase, time.perf_counter())

    order = Order(projections=projections, workers=os.cpu_count() or 1)
    done = rebuild(database, order, clock_us=lambda: time.time_ns() // 1000, on_progress=note)
    ends = [*list(phases.values())[1:], time.perf_counter()]
    spent = {phase: end - began for (phase, began), end in zip(phases.items(), ends, strict=True)}
    print("  " + ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in spent.items()), file=sys.stderr)
    return done


def copied_to_nowhere(connection: psycopg.Connection[Any]) -> int:
    """Bytes of the whole table, read and thrown away."""
    count = 0
    with connection.cursor() as cursor, cursor.copy("COPY ledger_events TO STDOUT (FORMAT BINARY)") as copy:
        for block in copy:
            count += len(block)
    return count


def library_read(database: Database, sample: int) -> None:
    """As the library's ProjectionRunner reads: pages of notifications, each decoded; nothing is projected."""
    ledger = Ledger(env=environment(database))
    try:
        recorder = ledger.recorder
        assert isinstance(recorder, PostgresApplicationRecorder)
        start = 1
        while start <= sample:
            page = recorder.select_notifications(start, limit=1000)
            for each in page:
                read_notification(ledger.mapper.to_domain_event(each).delivery.body)
            start = page[-1].id + 1
    finally:
        ledger.close()


def plain_read(database: Database, sample: int) -> None:
    """The same by our own reader."""

    with connect(database, application_name="bench") as connection:
        after = 0
        while after < sample:
            rows = reader.read_rows_after(connection, after, 4000, sample)
            events_and_errors(rows)
            after = rows[-1][0]
