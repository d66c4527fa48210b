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
from types import FrameType
from typing import Any, Final

import msgspec
import uvicorn

from streamledger.domain.errors import StoreUnavailable
from streamledger.postgres.connection import Database, connect
from streamledger.postgres.patience import Patience
from streamledger.web.connections import ConnectionLimits, Connections
from streamledger.web.problems import PROBLEM_TYPE, problem
from streamledger.web.protocol import guarded_config
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
    server = Meanwhile(
        guarded_config(_refuse, connections, lifespan="off", timeout_graceful_shutdown=LAST_ANSWER_S_MAX)
    )
    # A daemon: the end of the program waits for no name server.
    threading.Thread(target=server.look_for, args=(database,), name="looking", daemon=True).start()
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        # uvicorn closes what it listens on, and the application is to listen there next.
        runner.run(server.serve(sockets=[listener.dup()]))
    return not server.is_told_to_end


class Meanwhile(uvicorn.Server):
    """Serves until the store is there, or it is told to end."""

    is_told_to_end = False

    def look_for(self, database: Database) -> None:
        """End once the store is there. On a thread: uvicorn looks at `should_exit` ten times a second."""
        while not self.should_exit and _missing(database) is not None:
            time.sleep(LOOK_S)
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """As uvicorn's, at a signal."""
        self.is_told_to_end = True  # also where the store has just been found
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Hear SIGTERM and SIGHUP, and leave them as they were."""
        # At SIGHUP, too: the parent begins another worker, with the settings of then.
        names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
        before = {name: signal.signal(getattr(signal, name), self.handle_exit) for name in names}
        try:
            yield
        finally:  # until the application has set its own, SIGTERM must end it as before
            for name, handler in before.items():
                signal.signal(getattr(signal, name), handler)


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
