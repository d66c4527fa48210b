"""`python -m benchmarks.watched FILE serve ...`: the program, its web worker's event loop watched.

The longest stall goes into FILE as it grows, in processor time of the loop's thread, so that others who
use the machine do not count: the time from one look to the next, a millisecond of rest included.
"""

import asyncio
import mmap
import struct
import sys
import time
from pathlib import Path
from typing import Any

from streamledger.cli import processes
from streamledger.cli.__main__ import main

LOOK_EVERY_S = 0.001
SECONDS = struct.Struct("d")


class Stalls:
    """The longest stall since the file was last set to zero; shared between processes."""

    def __init__(self, path: Path) -> None:
        if path.stat().st_size < SECONDS.size:
            path.write_bytes(bytes(SECONDS.size))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), SECONDS.size)

    @property
    def longest_s(self) -> float:
        """In seconds of processor time."""
        found: float = SECONDS.unpack(self._shared[: SECONDS.size])[0]
        return found

    def note(self, seconds: float) -> None:
        """Keep it where it is longer."""
        if seconds > self.longest_s:
            self._shared[: SECONDS.size] = SECONDS.pack(seconds)

    def forget(self) -> None:
        """Begin anew."""
        self._shared[: SECONDS.size] = SECONDS.pack(0.0)


def watch(server: type[Any], stalls: Stalls) -> None:
    """Look at the processor time of each turn of the loop that this kind of server runs in."""
    startup = server.startup

    async def watched_startup(self: Any, *arguments: Any, **named: Any) -> None:
        loop = asyncio.get_running_loop()
        before = time.thread_time()

        def look() -> None:
            nonlocal before
            now = time.thread_time()
            stalls.note(now - before)
            before = now
            loop.call_later(LOOK_EVERY_S, look)

        await startup(self, *arguments, **named)
        stalls.forget()
        look()

    server.startup = watched_startup


if __name__ == "__main__":
    watch(processes._Server, Stalls(Path(sys.argv.pop(1))))  # to measure it
    main()
