"""The web application on a real database with a projector beside it, in threads, for a test or a script."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import uvicorn

from streamledger.bootstrap import create_runner, create_web_app
from streamledger.postgres.connection import Database, connect
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.projections.runner import catch_up
from streamledger.settings import Settings

READY_S_MAX = 30.0


@contextlib.contextmanager
def serving(
    database: Database, settings: Settings | None = None, *, caught_up: bool = False
) -> Iterator[str]:
    """The address of a server that is ready; with `caught_up` it shows what is in the ledger already."""
    if caught_up:
        with connect(database, application_name="catch up") as connection:
            catch_up(connection, database.schema, PROJECTIONS)
    app = create_web_app(settings or Settings(image_hosts="*"), database)
    server = uvicorn.Server(
        uvicorn.Config(app, lifespan="on", log_config=None, access_log=False, timeout_graceful_shutdown=5)
    )
    runner = create_runner(database)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        threads = [
            threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True),
            threading.Thread(target=runner.run, daemon=True),
        ]
        for thread in threads:
            thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            _wait_until_ready(address)
            yield address
        finally:
            server.should_exit = True
            runner.stop()
            for thread in threads:
                thread.join(20)


def _wait_until_ready(address: str) -> None:
    deadline = time.monotonic() + READY_S_MAX
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(address + "/health/ready").is_success:
                return
    raise TimeoutError(address)
