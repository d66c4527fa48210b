"""The disk of the embedded store is full: deliveries are refused, and it comes back by itself."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamledger.postgres.healing import LOOK_S
from tests.acceptance.load import Client, Record
from tests.acceptance.serving import database_of, serving
from tests.drills.auditor import audit
from tests.drills.drill import ANSWER_S_MAX, BACK_S_MAX, settled, unready

DISK_MIB = 320
BLOCK = b"\0" * 1024 * 1024


@contextmanager
def small_disk() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="streamledger-disk-") as directory:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=0711", "tmpfs", directory],
            capture_output=True,
            text=True,
            check=False,
        )
        if mounted.returncode != 0:
            pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
        try:
            yield Path(directory)
        finally:
            subprocess.run(["umount", directory], check=True)


def fill(disk: Path) -> Path:
    """Takes all the room there is."""
    file = disk / "filling"
    with file.open("ab", buffering=0) as filling:
        for size in (len(BLOCK), 4096):
            try:
                while True:
                    filling.write(BLOCK[:size])
            except OSError:
                continue
    return file


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_costs_refusals_and_nothing_that_was_acknowledged() -> None:
    record = Record()
    with (
        small_disk() as disk,
        serving(disk / "ledger", refused_per_minute_max=0, refused_kept_per_s_max=1_000_000) as service,
    ):
        with Client(service.url, record, pause_s=0):
            record.wait_for(200)
            # Room for what is written ahead is kept in files that are there: it takes a while to use it up.
            deadline = time.monotonic() + 90
            while record.statuses()[503] < 20 and time.monotonic() < deadline:
                filled = fill(disk)
                time.sleep(0.2)
            assert record.statuses()[503] >= 20, record.statuses()
            assert "the disk of the store is full" in unready(service)
            time.sleep(6)
            filled.unlink()
            freed_s = time.monotonic()
            record.wait_for(100)
            back_s = record.first_since(freed_s, 200)
            assert back_s is not None
            assert back_s < BACK_S_MAX
        settled(service)
        audit(database_of(disk / "ledger"), record)
        assert record.waited_s_max() < ANSWER_S_MAX
        # The log lies on that disk: it cannot say before that it is full.
        deadline = time.monotonic() + 2 * LOOK_S
        while "has room again" not in service.log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.1)
