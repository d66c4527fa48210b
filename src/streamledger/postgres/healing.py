"""An embedded PostgreSQL that ends unasked is started again, for as long as its program runs (ADR 0020)."""

import logging
import mmap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from streamledger.domain.errors import StreamledgerError
from streamledger.postgres.disk_space import DiskSpace
from streamledger.postgres.postmaster import Postmaster

logger = logging.getLogger(__name__)

PAUSES_S: Final = (0.0, 0.2, 0.5, 1.0, 2.0, 4.0)
"""Before each try, the last again and again: a disk that is full has room at some moment."""
STEADY_S: Final = 60.0
"""A server that has run so long is started again at once; one that ends sooner waits as for a failed try."""
LOOK_S: Final = 5.0
"""How often the free space is looked at."""

# Anonymous memory, which forked children share: they tell the number, the parent counts.
_restarts: Final = mmap.mmap(-1, 8)


def restarts() -> int:
    """How often this program, parent or child, has started its embedded PostgreSQL again."""
    return int.from_bytes(_restarts[:8], "big")


class Healer:
    """Waits on its own thread for the end of the server, and calls `start` until there is another."""

    def __init__(
        self,
        postmaster: Postmaster,
        start: Callable[[Callable[[], bool]], Postmaster],
        data_dir: Path,
        on_start: Callable[[Postmaster], None],
    ) -> None:
        self._postmaster = postmaster
        self._start = start
        self._on_start = on_start
        self._space = DiskSpace(data_dir)
        self._closing = threading.Event()
        self._starting = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="postgres-healer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """From here on the server may end; returns when none is being started any more."""
        self._closing.set()
        with self._starting:  # not the thread's end: between two looks at the disk it sleeps for seconds
            pass

    def _run(self) -> None:
        tries = 0
        while True:
            began = time.monotonic()
            while not self._postmaster.exited.wait(LOOK_S if not self._closing.is_set() else 0):
                if self._closing.is_set():
                    return
                self._space.look()
            if self._closing.is_set():
                return
            tries = 0 if time.monotonic() - began >= STEADY_S else tries
            logger.error("the embedded PostgreSQL ended by itself; starting it again")
            ended = time.monotonic()
            with self._starting:
                tries = self._start_again(tries)
            if self._closing.is_set():
                return
            number = restarts() + 1
            _restarts[:8] = number.to_bytes(8, "big")
            lasted_s = time.monotonic() - ended
            logger.warning("the embedded PostgreSQL is back after %.1f s (restart %s)", lasted_s, number)

    def _start_again(self, tries: int) -> int:
        """Returns how many tries it took, with those before."""
        told = ""
        while not self._closing.wait(PAUSES_S[min(tries, len(PAUSES_S) - 1)]):
            tries += 1
            try:
                self._postmaster = self._start(self._closing.is_set)
            except (StreamledgerError, OSError) as error:
                if not self._closing.is_set() and str(error) != told:
                    told = str(error)
                    logger.error("%s; trying again until it starts", error)
                self._space.look()
                continue
            self._on_start(self._postmaster)
            break
        return tries
