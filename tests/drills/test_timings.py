"""Web workers are killed one after the other: how long answers took is told as if nothing had been."""

import os
import signal
import time
from pathlib import Path

from tests.acceptance.serving import Service, data_directory, serving
from tests.deliveries import push_started
from tests.drills.scraping import scrape, value_of
from tests.waiting import until

WORKERS = 2


def children(service: Service) -> list[int]:
    """The processes of web workers and projector, in the order of their start."""
    pid = service.process.pid
    told = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sorted(int(each) for each in told if b"serve" in Path(f"/proc/{each}/cmdline").read_bytes())


def timed(service: Service) -> tuple[float, float]:
    """How many answers were timed, and how many commits."""
    now = scrape(service)
    return (
        value_of(now, "streamledger_answer_seconds_count", answer="acknowledged"),
        value_of(now, "streamledger_commit_seconds_count"),
    )


def test_every_worker_tells_the_answers_of_all_and_no_count_goes_back_when_one_is_killed() -> None:
    sent = commits = 0.0
    with data_directory(made=True) as data_dir, serving(data_dir, ["--workers", str(WORKERS)]) as service:
        workers = children(service)[:WORKERS]
        for pid in [*workers, None]:
            for _ in range(30):
                body = push_started("room", str(2**60 + int(sent)), int(time.time()))
                assert service.deliver(body).status == 200
                sent += 1
            for _ in range(10):  # now by the one, now by the other
                answered, committed = timed(service)
                assert answered == sent
                assert committed >= max(commits, 1)
                commits = committed
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                until(lambda gone=pid: gone not in children(service))
                until(lambda: len(children(service)) == WORKERS + 1)
        assert not set(workers) & set(children(service))
