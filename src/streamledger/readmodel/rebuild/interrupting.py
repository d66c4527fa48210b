"""Long statements that can be broken off: done on threads, while who waits looks whether to go on."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any, Final, TypeVar

import psycopg

LOOK_S: Final = 0.2
"""How often to look whether the rebuild was cancelled."""

T = TypeVar("T")


def interruptible(
    work: Sequence[Callable[[], T]],
    connections: Sequence[psycopg.Connection[Any]],
    check: Callable[[], None],
    threads: int = 1,
) -> list[T]:
    """Do this work, so many at once, and call `check` all the while; gives what each piece gives, in order.

    What `check` raises, or a signal, or a piece that fails, breaks off the statements under way on these
    connections (which may grow meanwhile) and comes out here once every thread has ended.
    """
    with ThreadPoolExecutor(threads, "rebuild") as pool:
        futures = [pool.submit(piece) for piece in work]
        try:
            for future in futures:
                while not future.done():
                    wait([future], LOOK_S)
                    check()
                future.result()
        except BaseException:
            _break_off(futures, connections)
            raise
    return [future.result() for future in futures]


def _break_off(futures: Sequence[Future[T]], connections: Sequence[psycopg.Connection[Any]]) -> None:
    """Again and again: a thread that is between two statements would begin the next."""
    for future in futures:
        future.cancel()  # what has not begun
    while wait(futures, 0).not_done:
        for connection in list(connections):
            with suppress(psycopg.Error):  # it has just ended
                connection.cancel()
        wait(futures, LOOK_S)
