"""A function on the event loop that waits as if it had a thread: the loop goes on, and it goes on after."""

import asyncio
import gc
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any
from unittest.mock import Mock

import psycopg
import pytest
from psycopg.waiting import Ready, Wait

from streamledger.domain.errors import StoreUnavailable
from streamledger.postgres.parking import Parking

FOREVER_S = 60.0


def play(function: Callable[[Parking], None], beside: Callable[[Parking], Any] | None = None) -> None:
    """Run a function to its end, and beside it what is to happen once it waits for the first time."""

    async def run() -> None:
        parking = Parking(lambda: function(parking))
        parking.start()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if beside is not None:
            beside(parking)
        await parking.end(10)

    asyncio.run(run())


def test_a_rest_ends_when_it_is_woken_or_when_its_time_is_over() -> None:
    woken = []

    def function(parking: Parking) -> None:
        woken.append(parking.rest(FOREVER_S))
        woken.append(parking.rest(0.001))
        parking.wake()  # it does not rest: this is for nothing
        woken.append(parking.rest(0.001))

    def wake_twice(parking: Parking) -> None:
        parking.wake()
        parking.wake()

    play(function, wake_twice)
    assert woken == [True, False, False]


def test_who_sleeps_is_not_woken() -> None:
    slept_s = []

    def function(parking: Parking) -> None:
        began_s = time.monotonic()
        parking.sleep(0.05)
        slept_s.append(time.monotonic() - began_s)

    play(function, Parking.wake)
    assert slept_s[0] >= 0.049


def test_a_connection_is_made_in_a_thread() -> None:
    made: Any = object()
    seen: list[Any] = []

    def connect() -> psycopg.Connection[Any]:
        seen.append(_in_event_loop())
        return made

    def fail() -> psycopg.Connection[Any]:
        raise StoreUnavailable(cause="no such host")

    def function(parking: Parking) -> None:
        assert parking.connected(connect) is made
        with pytest.raises(StoreUnavailable, match="no such host"):
            parking.connected(fail)
        seen.append(_in_event_loop())

    play(function)
    assert seen == [False, True]


def test_a_connection_that_is_made_for_nobody_is_closed_and_its_error_is_nobodys() -> None:
    made = Mock(spec=psycopg.Connection)
    said: list[Any] = []

    def end_while_connecting(connect: Callable[[], psycopg.Connection[Any]]) -> None:
        may_end, ended = threading.Event(), threading.Event()

        def slowly() -> psycopg.Connection[Any]:
            assert may_end.wait(10)
            try:
                return connect()
            finally:
                ended.set()

        async def run() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _loop, facts: said.append(facts))

            def function() -> None:
                parking.connected(slowly)

            parking = Parking(function)
            parking.start()
            await parking.end(0.01)
            may_end.set()
            assert await asyncio.to_thread(ended.wait, 10)
            await asyncio.sleep(0.05)
            gc.collect()  # asyncio tells of an error that nobody looked at when it is collected

        asyncio.run(run())

    def fail() -> psycopg.Connection[Any]:
        raise StoreUnavailable(cause="no such host")

    end_while_connecting(fail)
    end_while_connecting(lambda: made)
    assert said == []
    made.close.assert_called_once_with()


def test_a_socket_is_watched_for_as_long_as_it_is_waited_for() -> None:
    ours, theirs = socket.socketpair()
    got: list[Ready] = []

    def exchange() -> Generator[Wait, Ready, bytes]:
        got.append((yield Wait.RW))
        ready = Ready.NONE
        while not ready:  # nothing comes at first, and that is told as well
            ready = yield Wait.R
            got.append(ready)
        return ours.recv(10)

    with closing(ours), closing(theirs):
        ours.setblocking(False)

        async def run() -> None:
            loop = asyncio.get_running_loop()
            answers = []

            def function() -> None:
                answers.append(parking.drive(exchange(), ours.fileno()))

            parking = Parking(function)
            parking.start()
            loop.call_later(0.15, theirs.send, b"answer")
            await parking.end(10)
            assert answers == [b"answer"]
            assert not loop.remove_reader(ours.fileno())
            assert not loop.remove_writer(ours.fileno())

        asyncio.run(run())
    assert got == [Ready.W, Ready.NONE, Ready.R]


async def test_who_waits_for_ever_is_ended_and_can_clear_away() -> None:
    cleared = []

    def function() -> None:
        try:
            parking.rest(FOREVER_S)
        finally:
            cleared.append(True)

    parking = Parking(function)
    parking.start()
    await parking.end(0.01)
    assert cleared == [True]
    parking.wake()
    await asyncio.sleep(0.01)


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
