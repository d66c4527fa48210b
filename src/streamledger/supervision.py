"""Background tasks: begun again when they end in an error, and what health says of them."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, Literal

import msgspec

logger = logging.getLogger(__name__)

BACK_OFF_S: Final = 0.5
"""Before the first new beginning; each further failure doubles it, up to BACK_OFF_S_MAX."""
BACK_OFF_S_MAX: Final = 30.0
STEADY_S: Final = 60.0
"""A task that ran for so long before it failed is begun anew as soon as after its first failure."""

State = Literal["running", "failed"]


class TaskStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a background task does."""

    name: str
    state: State
    """failed: it waits to be begun again"""
    since_s: float
    """When that state began, in seconds since 1970 UTC."""
    failures: int = 0
    """Since the process began."""
    cause: str | None = None
    """Of the last failure."""


class Tasks:
    """The background tasks of a process, by name."""

    def __init__(
        self,
        clock_s: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock_s = clock_s
        self._sleep = sleep
        self._statuses: dict[str, TaskStatus] = {}

    def statuses(self) -> list[TaskStatus]:
        """All of them, by name."""
        return sorted(self._statuses.values(), key=lambda each: each.name)

    @asynccontextmanager
    async def keep(self, name: str, run: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Run a task, that never ends by itself, while this lasts."""
        task = asyncio.create_task(self._run(name, run), name=name)
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self._statuses.pop(name, None)

    async def _run(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        back_off_s = BACK_OFF_S
        while True:
            began_s = self._begun(name)
            try:
                await run()
                error: Exception | None = None
            except Exception as failure:  # whatever it is: a task that dies silently is the worst
                error = failure
            if self._clock_s() - began_s >= STEADY_S:
                back_off_s = BACK_OFF_S
            self._failed(name, error, back_off_s)
            await self._sleep(back_off_s)
            back_off_s = min(2 * back_off_s, BACK_OFF_S_MAX)

    def keep_thread(
        self, name: str, run: Callable[[], None], is_stopping: Callable[[], bool]
    ) -> threading.Thread:
        """The same on a thread, which is not begun yet; `run` returns when it was told to stop."""

        def again() -> None:
            back_off_s = BACK_OFF_S
            while not is_stopping():
                began_s = self._begun(name)
                error: Exception | None = None
                try:
                    run()
                except Exception as failure:  # as above
                    error = failure
                if is_stopping():
                    break
                if self._clock_s() - began_s >= STEADY_S:
                    back_off_s = BACK_OFF_S
                self._failed(name, error, back_off_s)
                until_s = time.monotonic() + back_off_s
                while not is_stopping() and time.monotonic() < until_s:
                    time.sleep(0.1)
                back_off_s = min(2 * back_off_s, BACK_OFF_S_MAX)
            self._statuses.pop(name, None)

        return threading.Thread(target=again, name=name, daemon=True)

    def _begun(self, name: str) -> float:
        now_s = self._clock_s()
        known = self._statuses.get(name)
        self._statuses[name] = (
            TaskStatus(name=name, state="running", since_s=now_s)
            if known is None
            else msgspec.structs.replace(known, state="running", since_s=now_s)
        )
        return now_s

    def _failed(self, name: str, error: Exception | None, back_off_s: float) -> None:
        cause = "it ended by itself" if error is None else type(error).__name__
        logger.error("the task %s failed (%s); again in %g s", name, cause, back_off_s, exc_info=error)
        known = self._statuses[name]
        self._statuses[name] = msgspec.structs.replace(
            known, state="failed", since_s=self._clock_s(), failures=known.failures + 1, cause=cause
        )
