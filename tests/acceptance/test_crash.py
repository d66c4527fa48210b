"""kill -9 of the whole process group and of its PostgreSQL, under load, ten times over one data directory."""

import os
import signal
import sys
import time
from pathlib import Path

from tests.acceptance.load import BELIEVED, Client, Record, stored_sequences
from tests.acceptance.serving import data_directory, end, run, serving, start

ROUNDS = 10


def postmaster_of(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0])


def test_every_acknowledged_delivery_survives_kill_9_exactly_once() -> None:
    record = Record()
    ready_after_s = []
    with data_directory() as data_dir:
        for number in range(ROUNDS):
            began = time.monotonic()
            service = start(data_dir)
            ready_after_s.append(round(time.monotonic() - began, 2))
            try:
                first = 1 + number * 10**6
                with Client(service.url, record, kinds=BELIEVED, pause_s=0, first=first):
                    record.wait_for(100)
                    # In either order: the program first, or its database first.
                    victims = [(os.killpg, service.process.pid), (os.kill, postmaster_of(data_dir))]
                    for kill, victim in victims[:: 1 if number % 2 else -1]:
                        kill(victim, signal.SIGKILL)
                assert service.process.wait(20) == -signal.SIGKILL
                assert record.statuses().keys() <= {200, 503, None}
            finally:
                end(service)
        acknowledged = record.sequences("believed", 200)
        with serving(data_dir) as service:
            stored = stored_sequences(service)
            assert len(stored) == len(set(stored))
            assert acknowledged <= set(stored)
            assert set(stored) <= record.sequences("believed")
            service.get("/v1/sessions", min_position=service.read("/v1/projections")["items"][0]["head"])
            sessions = {
                each["sequence"] for page in service.pages("/v1/sessions", limit=500) for each in page
            }
            assert sessions == set(stored)
        doctor = run("doctor", "--data-dir", str(data_dir), "--json")
        assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    # Shown with -rP: how long a start takes is measured and told, a busy machine fails no test.
    sys.stdout.write(
        f"{len(acknowledged)} acknowledged, {len(stored)} stored, ready after {ready_after_s} s\n"
    )
