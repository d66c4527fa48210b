"""The memory of a program and of its children while it works, sampled; Linux only, elsewhere 0."""

import os
import threading
from pathlib import Path

SAMPLE_EVERY_S = 0.1


class PeakMemory:
    """A context in which the most memory that this process and its children had together is found.

    `bytes_max` is the sum of their proportional shares, so that what they share counts once. PostgreSQL's
    processes are left out: they are children of the program too where it is embedded.
    """

    def __init__(self) -> None:
        self.bytes_max = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(SAMPLE_EVERY_S):
            self.bytes_max = max(self.bytes_max, sum(map(_bytes_of, _family(os.getpid()))))


def _family(process: int) -> list[int]:
    children = Path(f"/proc/{process}/task/{process}/children")
    try:
        found = [int(each) for each in children.read_text().split()]
        return [process, *(one for each in found if not _is_postgres(each) for one in _family(each))]
    except OSError:
        return []


def _is_postgres(process: int) -> bool:
    return Path(f"/proc/{process}/comm").read_text().startswith("postgres")


def _bytes_of(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
