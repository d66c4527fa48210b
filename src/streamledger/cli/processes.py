"""The processes of `serve`: web workers that share a socket, and the projector, under one parent."""

import asyncio
import contextlib
import gc
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any, Final

import uvicorn

from streamledger.bootstrap import create_rebuild_desk, create_retention, create_runner, create_web_app
from streamledger.postgres.connection import Database
from streamledger.settings import Settings
from streamledger.telemetry import configure_logging
from streamledger.web.app import end_streams
from streamledger.web.callbacks import HotPath
from streamledger.web.pages.page import compile_templates
from streamledger.web.protocol import OneWriteProtocol

logger = logging.getLogger(__name__)

DRAIN_S_MAX: Final = 20
"""How long a worker may take to answer what it has accepted; Tencent waits as long for an answer."""
RESTART_S: Final = 0.5
BACKLOG: Final = 2048
SWITCH_INTERVAL_S: Final = 0.0005
"""How soon the appender's thread gets the interpreter back after a commit; else it may wait 5 ms."""
FORKS: Final = bool(sys.platform == "linux")


class _Server(uvicorn.Server):
    """uvicorn's server, told to stop by the parent: the terminal's Ctrl-C reaches every process at once."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if isinstance(self.config.app, HotPath):
            end_streams(self.config.app.application)
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self.handle_exit)
        yield


def run_web(settings: Settings, database: Database, listener: socket.socket) -> None:
    """A web worker; returns when told to stop, after it has answered what it had accepted."""
    _be_a_child(settings)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    _end_with_parent()
    config = uvicorn.Config(
        create_web_app(settings, database),
        http=OneWriteProtocol,
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=DRAIN_S_MAX,
        backlog=BACKLOG,
    )
    # What is loaded stays: without this the collector goes through all of it now and then, which stops
    # whatever is being answered for tens of milliseconds.
    gc.collect()
    gc.freeze()
    threading.Thread(target=compile_templates, name="templates", daemon=True).start()
    asyncio_run(config, listener)


def asyncio_run(config: uvicorn.Config, listener: socket.socket) -> None:
    """Run uvicorn on a socket that is bound already."""
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_Server(config).serve(sockets=[listener]))


def run_projector(settings: Settings, database: Database) -> None:
    """The projector, and the desk that does rebuilds beside it; returns when told to stop."""
    _be_a_child(settings)
    runner = create_runner(database)
    retention = create_retention(settings, database)
    threading.Thread(target=retention.run, name="retention", daemon=True).start()
    desk = create_rebuild_desk(settings, database)

    def stop(*_: object) -> None:
        desk.stop()
        runner.stop()

    signal.signal(signal.SIGTERM, stop)
    _end_with_parent()
    attending = threading.Thread(target=desk.run, name="rebuild-desk")
    attending.start()
    try:
        runner.run()
    finally:
        desk.stop()
        attending.join()


def _be_a_child(settings: Settings) -> None:
    """A forked child has its parent's handlers: until it sets its own, SIGTERM must end it."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    configure_logging(settings.log_level)


def _end_with_parent() -> None:
    """Stop in good order when the parent has died, whatever killed it."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


class Family:
    """The child processes; one that dies unasked is started again."""

    def __init__(self) -> None:
        # Forked, a child is ready a second sooner and shares its parent's memory; elsewhere than on Linux
        # system libraries do not bear it. The parent opens no connection and runs no event loop.
        self._context = multiprocessing.get_context("fork") if FORKS else multiprocessing.get_context("spawn")
        self._members: list[tuple[str, Callable[..., None], tuple[Any, ...], BaseProcess]] = []
        self._stopping = threading.Event()

    def start(self, name: str, target: Callable[..., None], *arguments: Any) -> None:
        """Start a child."""
        self._members.append((name, target, arguments, self._spawn(name, target, arguments)))

    def _spawn(self, name: str, target: Callable[..., None], arguments: tuple[Any, ...]) -> BaseProcess:
        process = self._context.Process(target=target, args=arguments, name=name)
        process.start()
        return process

    def ask_to_stop(self, *_: object) -> None:
        """Make `watch` return."""
        self._stopping.set()

    @property
    def stopping(self) -> bool:
        """Whether `ask_to_stop` was called."""
        return self._stopping.is_set()

    def has_lost_a_member(self) -> bool:
        """Whether a child has ended, by itself or by a fault."""
        return any(not process.is_alive() for _, _, _, process in self._members)

    def watch(self) -> None:
        """Wait until asked to stop, starting again what dies meanwhile."""
        while not self._stopping.is_set():
            self._stopping.wait(0.2)
            for index, (name, target, arguments, process) in enumerate(self._members):
                if process.is_alive() or self._stopping.is_set():
                    continue
                logger.error("the %s ended with code %s; starting it again", name, process.exitcode)
                self._stopping.wait(RESTART_S)
                self._members[index] = (name, target, arguments, self._spawn(name, target, arguments))

    def stop(self) -> None:
        """Tell the children to stop, in the order of their start, and wait for them."""
        deadline = time.monotonic() + DRAIN_S_MAX + 5
        for _, _, _, process in self._members:
            if process.is_alive():
                process.terminate()
        for name, _, _, process in self._members:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                logger.error("the %s did not stop in time; killing it", name)
                process.kill()
                process.join()
