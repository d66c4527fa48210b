"""The embedded PostgreSQL is killed under load: the program starts it again, and the intake goes on."""

import os
import signal
import time
from pathlib import Path

from tests.acceptance.load import Client, Record
from tests.acceptance.serving import data_directory, database_of, serving
from tests.drills.auditor import audit
from tests.drills.drill import ANSWER_S_MAX, BACK_S_MAX, ROUNDS, settled


def postmaster_of(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])


def test_a_killed_postmaster_costs_less_than_five_seconds_and_no_acknowledged_delivery() -> None:
    record = Record()
    with data_directory(made=True) as data_dir, serving(data_dir, ["--workers", "2"]) as service:
        with Client(service.url, record) as _:
            for _ in range(ROUNDS):
                record.wait_for(100)
                os.kill(postmaster_of(data_dir), signal.SIGKILL)
                killed_s = time.monotonic()
                record.wait_for(100)
                back_s = record.first_since(killed_s, 200)
                assert back_s is not None
                assert back_s < BACK_S_MAX
        settled(service)
        audit(database_of(data_dir), record)
        assert record.waited_s_max() < ANSWER_S_MAX
        log = service.log.read_text()
        assert log.count("the embedded PostgreSQL ended by itself") == ROUNDS
        assert log.count("\n") < 12 * ROUNDS, log
