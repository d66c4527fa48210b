"""Who watches the embedded PostgreSQL lets go of it at once."""

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from streamledger.postgres.healing import LOOK_S, Healer


def test_a_close_does_not_wait_for_the_next_look_at_the_disk(tmp_path: Path) -> None:
    postmaster: Any = SimpleNamespace(exited=threading.Event())
    healer = Healer(postmaster, lambda _: postmaster, tmp_path, lambda _: None)
    began = time.monotonic()
    healer.close()
    took_s = time.monotonic() - began
    postmaster.exited.set()  # as the server's own stop does, which follows
    assert took_s < LOOK_S / 5
