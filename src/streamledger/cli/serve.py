"""`streamledger serve`: the store, the web workers and the projector, until Ctrl-C."""

import contextlib
import http.client
import json
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from streamledger import bootstrap
from streamledger.cli.options import load_settings, store_options
from streamledger.cli.processes import BACKLOG, Family, run_projector, run_web
from streamledger.domain.errors import StreamledgerError
from streamledger.settings import Settings
from streamledger.telemetry import configure_logging

logger = logging.getLogger(__name__)

READY_WAIT_S_MAX: Final = 30.0


class AddressUnusable(StreamledgerError):
    """cannot listen on {host}:{port}: {cause}"""

    exit_code = 3


class EmbeddedStoreLost(StreamledgerError):
    """the embedded PostgreSQL ended by itself ({log} has the cause); start again, nothing is lost"""

    exit_code = 3


class ServerNotReady(StreamledgerError):
    """the server did not become ready within {waited_s} s; the log above has the cause"""

    exit_code = 3


@click.command()
@click.option("--host", help="Address to listen on; 127.0.0.1 by default.")
@click.option("--port", type=int, help="Port to listen on; 8470 by default, 0 for a free one.")
@click.option("--workers", type=int, help="Web processes that share the port; 1 by default.")
@click.option("--insecure", is_flag=True, default=None, help="Listen beyond loopback without keys or tokens.")
@store_options
def serve(
    config: Path | None,
    host: str | None,
    port: int | None,
    workers: int | None,
    insecure: bool | None,
    **store: object,
) -> None:
    """Receive callbacks and answer queries, on an embedded PostgreSQL unless a database is named."""
    settings = load_settings(config, host=host, port=port, workers=workers, insecure=insecure, **store)
    run(settings)


def run(
    settings: Settings, family: Family | None = None, on_ready: Callable[[str], None] | None = None
) -> None:
    """Serve until SIGINT or SIGTERM; `on_ready` is called once, with the URL, when deliveries can be kept."""
    configure_logging(settings.log_level)
    bootstrap.refuse_unsafe(settings)
    bootstrap.key_ring(settings)
    bootstrap.senders(settings)
    bootstrap.api_tokens(settings.api_tokens)
    family = family or Family()
    signal.signal(signal.SIGTERM, family.ask_to_stop)
    signal.signal(signal.SIGINT, family.ask_to_stop)
    with contextlib.closing(_listen(settings)) as listener:
        host, port = listener.getsockname()[:2]
        lost = threading.Event()

        def store_ended() -> None:
            if not family.stopping:
                lost.set()
                family.ask_to_stop()

        with bootstrap.open_store(settings, serving=True, on_end=store_ended) as database:
            bootstrap.refuse_unguarded(settings, database)
            for _ in range(settings.workers):
                family.start("web worker", run_web, settings, database, listener)
            family.start("projector", run_projector, settings, database)
            try:
                if _wait_until_ready(host, port, family):
                    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
                    _announce(settings, url)
                    if on_ready is not None:
                        on_ready(url)
                    family.watch()
            finally:
                family.stop()
        if lost.is_set():
            raise EmbeddedStoreLost(log=settings.data_dir / "postgres.log")


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise AddressUnusable(
            host=settings.host, port=settings.port, cause=error.strerror or str(error)
        ) from error
    return listener


def _wait_until_ready(host: str, port: int, family: Family) -> bool:
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # asked for by the user
    deadline = time.monotonic() + READY_WAIT_S_MAX
    while time.monotonic() < deadline and not family.stopping:
        if family.has_lost_a_member():
            raise ServerNotReady(waited_s=round(READY_WAIT_S_MAX - (deadline - time.monotonic()), 1))
        connection = http.client.HTTPConnection(reachable, port, timeout=2)
        try:
            connection.request("GET", "/health/ready")
            if connection.getresponse().status == http.HTTPStatus.OK:
                return True
        except OSError:
            pass  # not listening yet, or not answering yet
        finally:
            connection.close()
        time.sleep(0.02)
    if not family.stopping:
        raise ServerNotReady(waited_s=READY_WAIT_S_MAX)
    return False


def _announce(settings: Settings, url: str) -> None:
    store = "external PostgreSQL" if settings.database_url else f"embedded PostgreSQL in {settings.data_dir}"
    if sys.stdout.isatty():
        click.echo(f"streamledger is ready at {url} ({store}).")
        click.echo(f"  callbacks: {url}/callbacks/tencent   sessions: {url}/v1/sessions   Ctrl-C stops it.")
        if settings.callback_keys is None and settings.callback_keys_file is None:
            click.echo("  No callback key is set: unsigned deliveries are believed (docs/security.md).")
    else:
        click.echo(json.dumps({"ready": True, "url": url, "store": store}))
    sys.stdout.flush()
