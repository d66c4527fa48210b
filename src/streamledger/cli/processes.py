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
from multiprocessing.process import BaseProcess
from typing import Any, Final

import uvicorn

from streamledger.bootstrap import create_rebuild_attendant, create_retention, create_runner, create_web_app
from streamledger.cli.meanwhile import found_store
from streamledger.domain.errors import StreamledgerError
from streamledger.operations.descriptors import backlog
from streamledger.postgres.connection import Database
from streamledger.settings import Settings
from streamledger.supervision import Tasks
from streamledger.telemetry import configure_logging
from streamledger.web.app import end_streams
from streamledger.web.callbacks import HotPath
from streamledger.web.pages.page import compile_templates
from streamledger.web.protocol import guarded_config

logger = logging.getLogger(__name__)

DRAIN_S_MAX: Final = 20
"""How long a worker may take to answer what it has accepted; Tencent waits as long for an answer."""
LAST_ANSWER_S_MAX: Final = 2.0
"""How long connections that rest are kept for a last request when a worker stops; none, and it goes on."""
PROJECTOR_STOP_S_MAX: Final = 10
RESTART_S: Final = 0.5
ORPHAN_LOOK_S: Final = 0.1
ORPHAN_S_MAX: Final = 0.7
"""What a child whose parent was killed has left to answer what it can."""
SWITCH_INTERVAL_S: Final = 0.0005
"""How soon the event loop gets the interpreter back from a thread beside it; else it may wait 5 ms."""
FORKS: Final = bool(sys.platform == "linux")


class _Server(uvicorn.Server):
    """uvicorn's server, told to stop by the parent: the terminal's Ctrl-C reaches every process at once."""

    def __init__(self, config: uvicorn.Config, reread: Callable[[], Settings] | None = None) -> None:
        super().__init__(config)
        self._reread = reread

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Who connects from now on waits in the backlog of the parent's socket. Who is connected is answered
        # once more, and told to connect anew: a connection that is closed at rest may just be written to.
        for server in self.servers:
            server.close()
        if isinstance(self.config.app, HotPath):
            end_streams(self.config.app.application)
        self.server_state.default_headers.append((b"connection", b"close"))
        deadline = time.monotonic() + LAST_ANSWER_S_MAX
        while self.server_state.connections and time.monotonic() < deadline:  # noqa: ASYNC110  # uvicorn's set
            await asyncio.sleep(0.05)
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self.handle_exit)
        if self._reread is not None and hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._renew, self._reread)
        yield

    def _renew(self, reread: Callable[[], Settings]) -> None:
        if isinstance(self.config.app, HotPath):
            try:
                self.config.app.application.state.renew(reread())
            except StreamledgerError as error:  # the parent has read them a moment ago, and tells
                logger.error("the settings in force stay as they were: %s", error)


def run_web(
    settings: Settings,
    database: Database,
    listener: socket.socket,
    reread: Callable[[], Settings] | None = None,
    row: int = 0,
) -> None:
    """A web worker; returns when told to stop, after it has answered what it had accepted.

    `row` is where it counts how long that takes, its own and that of whoever takes its place.
    On SIGHUP it reads its settings again by `reread`, and goes by those that can change.
    """
    be_a_child(settings)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    end_with_parent()
    application = create_web_app(settings, database, row)
    if not found_store(database, application.connections.limits, listener):
        return
    config = guarded_config(
        application,
        application.connections,
        application,
        timeout_keep_alive=settings.idle_s_max,
        lifespan="on",
        timeout_graceful_shutdown=DRAIN_S_MAX,
        backlog=backlog(),
    )
    # What is loaded stays: without this the collector goes through all of it now and then, which stops
    # whatever is being answered for tens of milliseconds.
    gc.collect()
    gc.freeze()
    threading.Thread(target=_prepare, args=(application,), name="preparing", daemon=True).start()
    asyncio_run(config, listener, reread)


def _prepare(application: HotPath) -> None:
    """Make what the first visitor would wait for, and all others with him."""
    compile_templates()
    _ = application.application.openapi_schema


def asyncio_run(
    config: uvicorn.Config, listener: socket.socket, reread: Callable[[], Settings] | None = None
) -> None:
    """Run uvicorn on a socket that is bound already."""
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_Server(config, reread).serve(sockets=[listener]))


def run_projector(settings: Settings, database: Database) -> None:
    """The projector, and what does rebuilds beside it; returns when told to stop."""
    be_a_child(settings)
    runner = create_runner(database)
    retention = create_retention(settings, database)
    attendant = create_rebuild_attendant(settings, database)
    stopping = threading.Event()
    tasks = Tasks()
    tasks.keep_thread("retention", retention.run, stopping.is_set).start()

    def stop(*_: object) -> None:
        stopping.set()
        attendant.stop()
        runner.stop()
        _end_after(PROJECTOR_STOP_S_MAX)

    signal.signal(signal.SIGTERM, stop)
    end_with_parent()
    attending = tasks.keep_thread("rebuild attendant", attendant.run, stopping.is_set)
    attending.start()
    try:
        runner.run()
    finally:
        stopping.set()
        attendant.stop()
        attending.join()


def be_a_child(settings: Settings) -> None:
    """A forked child has its parent's handlers: until it sets its own, SIGTERM must end it."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("SIGHUP", "SIGUSR2"):  # said to the whole group they are the parent's to act upon
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    configure_logging(settings.log_level, settings.log_format)


def end_with_parent() -> None:
    """Stop within a second when the parent has died, whatever killed it: the next start needs the port."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        # The sentinel of multiprocessing tells nothing while a sibling lives that was forked later.
        while os.getppid() == parent.pid:
            time.sleep(ORPHAN_LOOK_S)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(ORPHAN_S_MAX)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def _end_after(wait_s: float) -> None:
    """End this process after that time, whatever it waits for; what it was storing is rolled back."""

    def end() -> None:
        time.sleep(wait_s)
        logger.warning("it did not stop within %s s: the store does not answer", wait_s)
        os._exit(0)

    threading.Thread(target=end, name="last-resort", daemon=True).start()


class Family:
    """The child processes; one that dies unasked is started again."""

    def __init__(self) -> None:
        # Forked, a child is ready a second sooner and shares its parent's memory; elsewhere than on Linux
        # system libraries do not bear it. The parent opens no connection and runs no event loop.
        self._context = multiprocessing.get_context("fork") if FORKS else multiprocessing.get_context("spawn")
        self._members: list[tuple[str, Callable[..., None], tuple[Any, ...], BaseProcess]] = []
        self._stopping = threading.Event()
        self._rereading = threading.Event()
        self._is_ending = False
        self.is_to_begin_again = False
        """Whether what stops is to begin again, on the same socket."""

    def start(self, name: str, target: Callable[..., None], *arguments: Any) -> None:
        """Start a child."""
        self._members.append((name, target, arguments, self._spawn(name, target, arguments)))

    def _spawn(self, name: str, target: Callable[..., None], arguments: tuple[Any, ...]) -> BaseProcess:
        process = self._context.Process(target=target, args=arguments, name=name)
        process.start()
        return process

    def ask_to_stop(self, *_: object) -> None:
        """Make `watch` return; it overrules what asked to begin again before."""
        self.is_to_begin_again = False
        self._is_ending = True
        self._stopping.set()

    def ask_to_begin_again(self, *_: object) -> None:
        """Make `watch` return, and another program of the same process go on, unless it is to end."""
        self.is_to_begin_again = not self._is_ending
        self._stopping.set()

    def ask_to_reread(self, *_: object) -> None:
        """Make `watch` call what reads the settings again."""
        self._rereading.set()

    def renew(self, settings: Settings) -> None:
        """Web workers read their settings again; whoever is started from now on is given these."""
        for index, (name, target, arguments, process) in enumerate(self._members):
            self._members[index] = (name, target, (settings, *arguments[1:]), process)
            if target is run_web and process.is_alive() and process.pid is not None:
                os.kill(process.pid, signal.SIGHUP)

    @property
    def stopping(self) -> bool:
        """Whether `ask_to_stop` was called."""
        return self._stopping.is_set()

    def has_lost_a_member(self) -> bool:
        """Whether a child has ended, by itself or by a fault."""
        return any(not process.is_alive() for _, _, _, process in self._members)

    def watch(self, reread: Callable[[], None] | None = None) -> None:
        """Wait until asked to stop, starting again what dies meanwhile; `reread` is what SIGHUP asks for."""
        while not self._stopping.is_set():
            self._stopping.wait(0.2)
            if self._rereading.is_set() and reread is not None:
                self._rereading.clear()
                reread()
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
