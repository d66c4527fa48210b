"""Making many items on the event loop without holding it, and no more of them than an answer may hold."""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

Row = TypeVar("Row")
Item = TypeVar("Item")
Given = TypeVar("Given")

HELD_S_MAX: Final = 0.002
"""How long items are made before others on the event loop have their turn; one item may take longer."""
ON_LOOP_BYTES_MAX: Final = 4 * 1024
"""Of a body that is made ready on the event loop, several times what a genuine one has; one of 16 KiB that
is full of secrets' names takes some ten milliseconds."""
ANSWER_BYTES_MAX: Final = 2 * 1024 * 1024
"""Of what is read from the ledger for one answer; a list ends there, and its cursor goes on."""


class Pace:
    """Gives the event loop back now and then."""

    def __init__(self) -> None:
        self._since_s = time.perf_counter()

    async def rest(self) -> None:
        """Let others run if this has gone on for HELD_S_MAX."""
        if time.perf_counter() - self._since_s >= HELD_S_MAX:
            await asyncio.sleep(0)
            self._since_s = time.perf_counter()


async def off_loop(size: int, do: Callable[[Given], Item], given: Given) -> Item:
    """What `do` makes of something; of what is large on another thread, so that the event loop goes on."""
    return do(given) if size <= ON_LOOP_BYTES_MAX else await asyncio.to_thread(do, given)


async def made_of(
    rows: Iterable[Row],
    make: Callable[[Row], Item],
    size_of: Callable[[Row], int] = lambda _: 0,
    size_of_item: Callable[[Item], int] = lambda _: 0,
) -> list[Item]:
    """The items of the rows, in order; fewer than the rows when these are larger than an answer may be."""
    pace = Pace()
    items: list[Item] = []
    left = ANSWER_BYTES_MAX
    for row in rows:
        size = size_of(row)
        items.append(await off_loop(size, make, row))
        left -= size + size_of_item(items[-1])
        if left <= 0:
            break
        await pace.rest()
    return items
