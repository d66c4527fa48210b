"""Code that waits as if it had a thread, on the event loop: where it would block it parks (ADR 0045).

psycopg's connection and the eventsourcing library are synchronous. In a thread beside the event loop each
answer of the server waits for the interpreter's lock, which the loop gives away and takes back with every
request: that cost both of them more than the append itself. A greenlet has the loop's thread, and gives way
only where it waits.
"""

import asyncio
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Any, Final, TypeVar

import psycopg
from greenlet import GreenletExit, greenlet
from psycopg.waiting import Ready, Wait

from streamledger.postgres.patience import HastyConnection

T = TypeVar("T")

LOOK_S: Final = 0.1
"""How often who waits for the server looks whether its time is over: psycopg's own interval."""


class Parking:
    """One function that runs on the event loop, from `start` on. Only it may call the methods that wait."""

    def __init__(self, run: Callable[[], None]) -> None:
        """Within the event loop that it is to run on."""
        self._loop = asyncio.get_running_loop()
        self._run = run
        self._greenlet = greenlet(self._to_the_end)
        self._resting = False
        self._ended: asyncio.Future[None] = self._loop.create_future()

    def start(self) -> None:
        """Begin, once the event loop is at it."""
        self._loop.call_soon(self._resume, None)

    def wake(self) -> None:
        """End its rest, if it rests, once the event loop has dealt with what came together."""
        if self._resting:
            self._resting = False
            self._loop.call_soon(self._resume, True)

    async def end(self, wait_s_max: float) -> None:
        """Wait until the function has returned; one that does not is ended where it waits."""
        await asyncio.wait([self._ended], timeout=wait_s_max)
        if not self._ended.done():
            self._greenlet.throw(GreenletExit)

    def rest(self, seconds: float) -> bool:
        """Wait to be woken; whether that came before the time was over."""
        self._resting = True
        timer = self._loop.call_later(seconds, self._rested)
        try:
            woken: bool = self._park()
            return woken
        finally:
            timer.cancel()
            self._resting = False

    def sleep(self, seconds: float) -> None:
        """Wait, whatever comes."""
        timer = self._loop.call_later(seconds, self._resume, None)
        try:
            self._park()
        finally:
            timer.cancel()

    def connected(self, connect: Callable[[], psycopg.Connection[Any]]) -> psycopg.Connection[Any]:
        """A connection for this function alone, made in a thread: names are looked up there."""
        connection = self._in_thread(connect)
        if isinstance(connection, HastyConnection):
            connection.drive = self.drive
        return connection

    def _in_thread(self, connect: Callable[[], psycopg.Connection[Any]]) -> psycopg.Connection[Any]:
        future: asyncio.Future[psycopg.Connection[Any]] = self._loop.create_future()

        def run() -> None:
            try:
                settle = partial(_settle, future, connect())
            except BaseException as error:  # whose it is, the function has to know
                settle = partial(_settle, future, error)
            with suppress(RuntimeError):  # the loop has ended meanwhile, and nobody waits
                self._loop.call_soon_threadsafe(settle)

        # A daemon: the end of the program waits for no name server.
        Thread(target=run, name="connecting", daemon=True).start()
        future.add_done_callback(self._resume)
        try:
            self._park()
        finally:
            future.remove_done_callback(self._resume)
            future.cancel()  # where the function is ended: what is made later is for nobody
        return future.result()

    def drive(self, generator: Generator[Any, Any, T], fileno: int) -> T:
        """What a generator of psycopg returns, which yields what it waits for of its socket."""
        try:
            wanted = next(generator)
            while True:
                wanted = generator.send(self._ready(fileno, wanted))
        except StopIteration as done:
            result: T = done.value
            return result

    def _ready(self, fileno: int, wanted: Wait) -> Ready:
        """What the socket is ready for; nothing after `LOOK_S`.

        It is watched no longer than that: the generator may close it, and its number is another's then.
        """
        if wanted & Wait.R:
            self._loop.add_reader(fileno, self._resume, Ready.R)
        if wanted & Wait.W:
            self._loop.add_writer(fileno, self._resume, Ready.W)
        timer = self._loop.call_later(LOOK_S, self._resume, Ready.NONE)
        try:
            ready: Ready = self._park()
            return ready
        finally:
            timer.cancel()
            if wanted & Wait.R:
                self._loop.remove_reader(fileno)
            if wanted & Wait.W:
                self._loop.remove_writer(fileno)

    def _park(self) -> Any:
        parent = self._greenlet.parent
        assert parent is not None  # noqa: S101  # the loop's thread, for as long as this lives
        return parent.switch()

    def _resume(self, value: Any) -> None:
        if not self._greenlet.dead:
            self._greenlet.switch(value)

    def _rested(self) -> None:
        if self._resting:  # else it is being woken
            self._resume(False)

    def _to_the_end(self, _: Any) -> None:
        try:
            self._run()
        finally:
            if not self._ended.done():
                self._ended.set_result(None)


def _settle(
    future: "asyncio.Future[psycopg.Connection[Any]]", made: psycopg.Connection[Any] | BaseException
) -> None:
    if isinstance(made, BaseException):
        if not future.cancelled():
            future.set_exception(made)
    elif future.cancelled():
        made.close()
    else:
        future.set_result(made)
