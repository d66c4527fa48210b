"""Each process of a server is killed at random points under load: worker, projector, postmaster, backends."""

import contextlib
import os
import random
import signal
import time
from pathlib import Path

from streamledger.postgres.processes import processes_on
from tests.acceptance.load import Client, Record
from tests.acceptance.serving import data_directory, database_of, serving
from tests.drills.auditor import audit
from tests.drills.drill import ANSWER_S_MAX, LONG, settled

KILLS = 50 if LONG else 5


def victims(parent: int, data_dir: Path) -> list[int]:
    """All processes but the parent itself."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return sorted({*map(int, children), *processes_on(data_dir / "postgres")})


def test_whatever_is_killed_nothing_acknowledged_is_lost_and_no_hand_is_needed() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201  # repeats this drill
    chance = random.Random(seed)
    record = Record()
    with data_directory(made=True) as data_dir, serving(data_dir, ["--workers", "2"]) as service:
        with Client(service.url, record, seed=seed):
            for _ in range(KILLS):
                record.wait_for(chance.randrange(1, 100))
                time.sleep(chance.random() / 10)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(chance.choice(victims(service.process.pid, data_dir)), signal.SIGKILL)
            record.wait_for(100)
        settled(service)
        audit(database_of(data_dir), record, counts_lost=True)
        assert record.waited_s_max() < ANSWER_S_MAX
