"""What a web worker answers that has to begin while the store is away: 503, until the store is back.

The application cannot begin without the store, and a worker that waited for it would leave whoever calls
meanwhile in the backlog, without an answer.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import msgspec
import uvicorn

from streamledger.domain.errors import StoreUnavailable
from streamledger.postgres.connection import Database, connect
from streamledger.postgres.patience import Patience
from streamledger.web.connections import ConnectionLimits, Connections
from streamledger.web.problems import PROBLEM_TYPE, problem
from streamledger.web.protocol import GuardedProtocol
from streamledger.web.reached import ReachedLimits

logger = logging.getLogger(__name__)

LOOK_S: Final = 0.5
"""How often it is looked for the store."""
LOOKING: Final = Patience(connect_s_max=2, answer_s_max=2)
LAST_ANSWER_S_MAX: Final = 1

_LIVE: Final = msgspec.json.encode({"status": "live"})
_AWAY: Final = msgspec.json.encode(problem(503, "Service Unavailable", "the store cannot be reached"))


def found_store(database: Database, limits: ConnectionLimits, listener: socket.socket) -> bool:
    """Return once the store is there, at once or later; False when told to end before.

    Deliveries that are answered meanwhile are counted nowhere: there is no store to count them in.
    """
    missing = _missing(database)
    if missing is None:
        return True
    logger.error("a web worker begins without the store, and answers 503: %s", missing)
    connections = Connections(limits, ReachedLimits(), is_exempt=lambda _: True)
    server = _Meanwhile(
        uvicorn.Config(
            _refuse,
            http=partial(GuardedProtocol, connections=connections),  # type: ignore[arg-type]  # a factory will do
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=LAST_ANSWER_S_MAX,
        )
    )
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        # uvicorn closes what it listens on, and the application is to listen there next.
        runner.run(server.serve_until_found(database, listener.dup()))
    return server.has_found


class _Meanwhile(uvicorn.Server):
    has_found = False

    async def serve_until_found(self, database: Database, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()

        def look() -> None:
            while not self.should_exit and _missing(database) is not None:
                time.sleep(LOOK_S)
            with contextlib.suppress(RuntimeError):  # the loop has ended: it was told to
                loop.call_soon_threadsafe(self._find)

        # A daemon: the end of the program waits for no name server.
        threading.Thread(target=look, name="looking for the store", daemon=True).start()
        await self.serve(sockets=[listener])

    def _find(self) -> None:
        self.has_found = not self.should_exit
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        signal.signal(signal.SIGTERM, self.handle_exit)
        if hasattr(signal, "SIGHUP"):  # the parent begins another worker, with the settings of then
            signal.signal(signal.SIGHUP, self.handle_exit)
        yield


def _missing(database: Database) -> StoreUnavailable | None:
    try:
        connect(database, application_name="streamledger web worker", patience=LOOKING).close()
    except StoreUnavailable as error:
        return error
    return None


async def _refuse(scope: Any, _receive: Any, send: Any) -> None:
    """What each request is answered: that the process is alive, or to come again."""
    is_live = scope["path"].endswith("/health/live")
    body = _LIVE if is_live else _AWAY
    headers = [
        (b"content-type", b"application/json" if is_live else PROBLEM_TYPE.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    if not is_live:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": 200 if is_live else 503, "headers": headers})
    await send({"type": "http.response.body", "body": body if scope["method"] != "HEAD" else b""})
