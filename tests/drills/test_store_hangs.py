"""All of PostgreSQL hangs (SIGSTOP) under load: everybody is answered, and it goes on when the store does."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamledger.postgres.processes import processes_on
from tests.acceptance.load import Client, Record
from tests.acceptance.serving import data_directory, database_of, serving
from tests.drills.auditor import audit
from tests.drills.drill import ANSWER_S_MAX, BACK_S_MAX, LONG, settled, unready
from tests.waiting import until

END_S_MAX = 30
"""The deliveries in hand are answered first, and the projector and the server are given time to answer."""
HANGS_S = 60 if LONG else 15
"""Long enough for one that is known to be gone to be waited for, wherever that were."""


@contextmanager
def stopped(data_dir: Path) -> Iterator[None]:
    """All processes of the server stand still."""
    held = processes_on(data_dir / "postgres")
    assert held
    for pid in held:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in held:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def test_while_postgresql_hangs_every_delivery_is_answered_and_afterwards_all_is_well() -> None:
    record = Record()
    with data_directory(made=True) as data_dir, serving(data_dir, ["--workers", "2"]) as service:
        with Client(service.url, record):
            record.wait_for(100)
            with stopped(data_dir):
                stopped_s = time.monotonic()
                time.sleep(0.3)  # a commit of a moment ago still counts
                for wait_s in (0, 1, HANGS_S - 4):
                    time.sleep(wait_s)
                    assert "deliveries cannot be stored since 2" in unready(service)
                time.sleep(max(0, stopped_s + HANGS_S - time.monotonic()))
                seen = [each for each in list(record.sent) if each.sent_s > stopped_s]
                assert {each.status for each in seen if each.kind == "believed"} <= {503, 200}
                late = [each for each in seen if each.sent_s > stopped_s + ANSWER_S_MAX]
                assert late
                assert max(each.waited_s for each in late) < 1, "known to be gone, and yet waited for"
            back_s = time.monotonic()
            record.wait_for(100)
            found_s = record.first_since(back_s, 200)
            assert found_s is not None
            assert found_s < BACK_S_MAX
        settled(service)
        audit(database_of(data_dir), record)
        assert record.waited_s_max() < ANSWER_S_MAX
        assert record.statuses()[None] == 0
        log = service.log.read_text()
        told = log.count("the store is gone")
        assert told == log.count("the store is back")
        assert told in (1, 2), "once in each worker that anything came to"
        assert log.count("\n") < 20, log


def test_sigterm_ends_the_program_although_postgresql_hangs() -> None:
    with data_directory(made=True) as data_dir, serving(data_dir) as service:
        record = Record()
        with Client(service.url, record, clients=2):
            record.wait_for(20)
        with stopped(data_dir):
            service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(END_S_MAX) == 0
        assert "Traceback" not in service.log.read_text()


def test_a_worker_that_dies_meanwhile_is_begun_and_refuses_until_the_store_is_back() -> None:
    with data_directory(made=True) as data_dir, serving(data_dir) as service:
        pid = service.process.pid
        worker = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        refused, record = Record(), Record()
        with stopped(data_dir):
            os.kill(worker, signal.SIGKILL)
            until(lambda: "a web worker begins without the store" in service.log.read_text())
            with Client(service.url, refused, clients=2):
                refused.wait_for(20, 503)
            assert service.get("/health/live").status == 200
            assert service.get("/health/ready").status == 503
        assert refused.statuses().keys() == {503}
        assert refused.waited_s_max() < ANSWER_S_MAX
        back_at = time.monotonic()
        with Client(service.url, record, clients=2):
            record.wait_for(20)
        found_s = record.first_since(back_at, 200)
        assert found_s is not None
        assert found_s < BACK_S_MAX
        assert "Traceback" not in service.log.read_text()


def test_a_worker_without_a_store_ends_when_it_is_told_to() -> None:
    with data_directory(made=True) as data_dir, serving(data_dir) as service:
        pid = service.process.pid
        worker = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        with stopped(data_dir):
            os.kill(worker, signal.SIGKILL)
            until(lambda: "a web worker begins without the store" in service.log.read_text())
            service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(END_S_MAX) == 0
