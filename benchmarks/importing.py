"""Import of an export, and of plain bodies, into empty ledgers, against COPY of the same rows in one run."""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from benchmarks.history import fill
from benchmarks.table import print_table
from streamledger.ledger.acts import Actor
from streamledger.ledger.application import Ledger, environment
from streamledger.ledger.portable import Head, head_line
from streamledger.operations.export_events import Wanted, export_events
from streamledger.operations.import_events import import_events
from streamledger.operations.imported_delivery import ImportRules
from streamledger.postgres.connection import Database, connect
from streamledger.postgres.embedded import start_embedded
from streamledger.postgres.schema import migrate

COLUMNS = "originator_id, originator_version, topic, state, delivery_id"


EVENTS = 200_000


def main(arguments: list[str] | None = None) -> None:
    """One run of each, each into a ledger of its own."""
    parser = argparse.ArgumentParser(prog="benchmarks import")
    parser.add_argument("--events", type=int, default=EVENTS)
    events: int = parser.parse_args(arguments or []).events
    with (
        tempfile.TemporaryDirectory(prefix="streamledger-bench-") as directory,
        start_embedded(Path(directory)) as server,
    ):
        full = Database(server.owner_dsn)
        migrate(full)
        exported, plain = Path(directory) / "events.ndjson", Path(directory) / "bodies.ndjson"
        with connect(full, application_name="bench") as source:
            fill(source, events)

            def export() -> None:
                with exported.open("wb") as file:
                    file.write(head_line(Head()))
                    export_events(source, Wanted(), file.write)

            seconds = {"export to a plain file": timed(export)}
            write_bodies(exported, plain)
            for name, path in {
                "COPY binary of the same rows, from ledger to ledger": None,
                "import of the export": exported,
                "import of what is there already": exported,
                "import of plain bodies": plain,
            }.items():
                schema = "imported" if path == exported else f"ledger_{len(seconds)}"
                migrate(Database(server.owner_dsn, schema=schema))
                with connect(Database(server.owner_dsn, schema=schema), application_name="bench") as target:
                    seconds[name] = timed(lambda path=path, to=target: fill_from(path, source, to, events))  # type: ignore[misc]  # bound by default
        copied = seconds["COPY binary of the same rows, from ledger to ledger"]
        print_table(
            ("what", "events/s", "of COPY"),
            [(name, f"{events / each:,.0f}", f"{copied / each:.2f}") for name, each in seconds.items()],
            benchmark="import",
        )


def fill_from(
    path: Path | None, source: psycopg.Connection[Any], target: psycopg.Connection[Any], events: int
) -> None:
    """Fill a ledger from a file, or by COPY from another ledger."""
    if path is None:
        copy(source, target)
        return
    schema = target.execute("SELECT current_schema()").fetchone()
    assert schema is not None
    now_us = time.time_ns() // 1000
    with path.open("rb") as file:
        done = import_events(
            target,
            Ledger(environment(Database("", schema[0]))),
            file,
            plain=path.stem == "bodies",
            rules=ImportRules(body_bytes_max=262_144, now_us=now_us),
            actor=Actor(by="benchmark", reason="", at_us=now_us),
        )
    assert done.stored + done.known == events, done


def copy(source: psycopg.Connection[Any], target: psycopg.Connection[Any]) -> None:
    """The same rows by PostgreSQL's own means, with its indexes: what an import is held against."""
    with (
        source.cursor() as reading,
        target.cursor() as writing,
        reading.copy(
            f"COPY (SELECT {COLUMNS} FROM ledger_events ORDER BY notification_id) TO STDOUT (FORMAT BINARY)"
        ) as rows,
        writing.copy(f"COPY ledger_events ({COLUMNS}) FROM STDIN (FORMAT BINARY)") as into,
    ):
        for block in rows:
            into.write(block)


def write_bodies(exported: Path, plain: Path) -> None:
    """The bodies of an export, one a line, as another receiver's log has them."""
    with exported.open("rb") as lines, plain.open("wb") as bodies:
        next(lines)
        for line in lines:
            bodies.write(msgspec.json.decode(line)["body"].encode() + b"\n")


def timed(work: Callable[[], None]) -> float:
    """Its seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
