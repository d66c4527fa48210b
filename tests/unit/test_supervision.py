"""A background task that fails is begun again, later each time, and its state can be seen."""

import asyncio
import logging
import threading

import pytest

from streamledger.supervision import BACK_OFF_S, BACK_OFF_S_MAX, STEADY_S, Tasks


class Time:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, duration_s: float) -> None:
        self.slept.append(duration_s)
        self.now_s += duration_s
        await asyncio.sleep(0)


async def test_a_task_that_fails_is_begun_again_later_each_time_and_soon_again_once_it_was_steady(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Time()
    tasks = Tasks(clock, clock.sleep)
    began: list[str] = []
    done = asyncio.Event()

    async def run() -> None:
        began.append(tasks.statuses()[0].state)
        if len(began) == 9:
            clock.now_s += STEADY_S
        if len(began) == 11:
            done.set()
            await asyncio.sleep(3600)
        raise ValueError("a fault with a secret")

    async with tasks.keep("feed", run):
        await done.wait()
        (status,) = tasks.statuses()
        assert (status.name, status.state, status.failures, status.cause) == (
            "feed", "running", 10, "ValueError",
        )  # fmt: skip
    assert tasks.statuses() == []
    assert began == ["running"] * 11
    doubled = [min(BACK_OFF_S * 2**number, BACK_OFF_S_MAX) for number in range(8)]
    assert clock.slept == [*doubled, BACK_OFF_S, 2 * BACK_OFF_S]
    assert caplog.text.count("the task feed failed (ValueError)") == 10


async def test_a_task_that_waits_to_be_begun_again_is_said_to_have_failed() -> None:
    tasks = Tasks()

    async def ends() -> None:
        return

    async with tasks.keep("listener", ends):
        await asyncio.sleep(0)
        assert tasks.statuses()[0].state == "failed"
        assert tasks.statuses()[0].cause == "it ended by itself"


def test_a_thread_that_fails_is_begun_again_until_it_is_told_to_stop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL)
    stopping, again = threading.Event(), threading.Event()
    began: list[int] = []

    def run() -> None:
        began.append(1)
        if len(began) == 1:
            raise ValueError("a fault")
        again.set()
        stopping.wait(10)

    thread = Tasks().keep_thread("retention", run, stopping.is_set)
    thread.start()
    assert again.wait(10)
    stopping.set()
    thread.join(10)
    assert not thread.is_alive()
    assert len(began) == 2
