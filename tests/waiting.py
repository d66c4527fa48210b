"""Waiting for what nobody tells of, with a deadline."""

import time
from collections.abc import Callable
from typing import Any


def until(
    condition: Callable[[], Any],
    what: object = "it did not come true",
    *,
    wait_s: float = 60,
    pause_s: float = 0.01,
) -> Any:
    """What the condition gives once that is true; fails with `what` where it never is."""
    deadline = time.monotonic() + wait_s
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(pause_s)
    return found
