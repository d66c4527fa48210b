"""Import of an export into an empty ledger and into one that has it all, against COPY of the same rows."""

import tempfile
import time
from pathlib import Path

from benchmarks.history import fill
from benchmarks.table import print_table
from streamledger.ledger.portable import Head, head_line
from streamledger.operations.export_events import Wanted, export_events
from streamledger.operations.import_events import import_events
from streamledger.postgres.connection import Database, connect
from streamledger.postgres.embedded import start_embedded
from streamledger.postgres.schema import migrate


def main(events: int = 200_000) -> None:
    """One run of each."""
    with (
        tempfile.TemporaryDirectory(prefix="streamledger-bench-") as directory,
        start_embedded(Path(directory)) as server,
    ):
        full, empty = Database(server.dsn), Database(server.dsn, schema="imported")
        migrate(full)
        migrate(empty)
        path = Path(directory) / "events.ndjson"
        rows = []
        with (
            connect(full, application_name="bench") as source,
            connect(empty, application_name="bench") as target,
        ):
            began = time.perf_counter()
            fill(source, events)
            rows.append(("COPY binary into the ledger, events made on the way", began, time.perf_counter()))
            with path.open("wb") as file:
                file.write(head_line(Head()))
                began = time.perf_counter()
                export_events(source, Wanted(), file.write)
                rows.append(("export to a plain file", began, time.perf_counter()))
            for name in ("import into an empty ledger", "import of what is there already"):
                with path.open("rb") as file:
                    began = time.perf_counter()
                    done = import_events(target, empty.schema, file, plain=False, now_us=0)
                    assert done.stored + done.known == events, done
                    rows.append((name, began, time.perf_counter()))
        print_table(
            ("what", "events/s"),
            [(name, f"{events / (end - began):,.0f}") for name, began, end in rows],
            benchmark="import",
        )
