"""`streamledger serve`: the store, the web workers and the projector, until Ctrl-C."""

import contextlib
import errno
import http.client
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import click
import msgspec

from streamledger import bootstrap
from streamledger.cli.options import load_settings, store_options
from streamledger.cli.processes import Family, run_projector, run_web
from streamledger.cli.starting import port_advice, say_first_steps, warn_of_openness
from streamledger.cli.systemd import begin_again, handed_over, hear_again, notify
from streamledger.domain.errors import StreamledgerError
from streamledger.operations.descriptors import backlog, needed_for, raise_limit
from streamledger.operations.given_secrets import refuse_unsafe, with_cookie_key
from streamledger.operations.tracing import require_package
from streamledger.settings import Settings
from streamledger.telemetry import configure_logging

logger = logging.getLogger(__name__)

READY_WAIT_S_MAX: Final = 30.0
OF_THE_SOCKET: Final = frozenset({"host", "port"})
"""Settings that even a new start in the same process keeps, for it keeps its socket."""


class AddressUnusable(StreamledgerError):
    """cannot listen on {host}:{port}: {cause}{advice}"""

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
    read = partial(load_settings, config, host=host, port=port, workers=workers, insecure=insecure, **store)
    run(read(), reread=read)


def run(
    settings: Settings,
    family: Family | None = None,
    on_ready: Callable[[str], None] | None = None,
    reread: Callable[[], Settings] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; `on_ready` is called once, with the URL, when deliveries can be kept.

    On SIGHUP the settings are read again by `reread`; on SIGUSR2 the program as it is installed then begins
    anew in this process, and whoever connects meanwhile waits in the socket's backlog.
    """
    configure_logging(settings.log_level, settings.log_format)
    raise_limit(needed_for(settings.connections_max))
    given, listener = settings, handed_over()
    if listener is not None:
        host, port = listener.getsockname()[:2]
        settings = msgspec.structs.replace(settings, host=host, port=port)
    _refuse_invalid(settings)
    warn_of_openness(settings)
    family = family or Family()
    signal.signal(signal.SIGTERM, family.ask_to_stop)
    signal.signal(signal.SIGINT, family.ask_to_stop)
    for name, act in (("SIGHUP", family.ask_to_reread), ("SIGUSR2", family.ask_to_begin_again)):
        if reread is not None and hasattr(signal, name) and not _is_ignored(name):
            signal.signal(getattr(signal, name), act)
    hear_again()
    with contextlib.closing(listener or _listen(settings)) as listener:
        host, port = listener.getsockname()[:2]
        with bootstrap.open_store(settings, serving=True) as database:
            bootstrap.refuse_unguarded(settings, database)
            settings = with_cookie_key(msgspec.structs.replace(settings, port=port))
            for row in range(settings.workers):
                family.start("web worker", run_web, settings, database, listener, reread, row)
            family.start("projector", run_projector, settings, database)
            try:
                if _wait_until_ready(host, port, family):
                    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
                    _announce(settings, url)
                    if on_ready is None and sys.stdout.isatty():
                        say_first_steps(settings, database, url)
                    notify("READY=1")
                    if on_ready is not None:
                        on_ready(url)
                    family.watch(partial(_reread, family, given, settings, reread) if reread else None)
            finally:
                if not family.is_to_begin_again:
                    notify("STOPPING=1")
                family.stop()
        if family.is_to_begin_again:
            logger.warning("beginning again; who connects meanwhile waits")
            begin_again(listener)


def _refuse_invalid(settings: Settings) -> None:
    """Raises what is wrong with the settings before anything begins."""
    refuse_unsafe(settings)
    bootstrap.key_ring(settings)
    bootstrap.senders(settings)
    bootstrap.image_hosts(settings)
    bootstrap.public_url(settings)
    bootstrap.api_tokens(settings.api_tokens)
    if settings.traces_url:
        require_package()


def _is_ignored(name: str) -> bool:
    """Whether who started us wants this signal ignored, as nohup does."""
    return signal.getsignal(getattr(signal, name)) is signal.SIG_IGN


def _terminal_is_gone() -> bool:
    """Whether the terminal that it was started at was closed, of which SIGHUP tells too."""
    try:
        os.tcgetpgrp(0)
    except OSError as error:
        return error.errno == errno.EIO
    return False


def _reread(family: Family, given: Settings, running: Settings, reread: Callable[[], Settings]) -> None:
    """Read the settings again and let the children go by what can change; a fault leaves all as it was."""
    if _terminal_is_gone():
        family.ask_to_stop()
        return
    notify("RELOADING=1")
    try:
        fresh = reread()
        # Host and port are the socket's, and the cookie key the first start's, whatever is said now.
        now = msgspec.structs.replace(running, **{name: getattr(fresh, name) for name in bootstrap.RENEWED})
        _refuse_invalid(now)
    except StreamledgerError as error:
        logger.error("the settings in force stay as they were: %s", error)
    else:
        configure_logging(now.log_level, now.log_format)
        family.renew(now)
        logger.warning("callback keys, API tokens and log level were read again")
        fields = Settings.__struct_fields__
        fixed = [name for name in fields if getattr(fresh, name) != getattr(given, name)]
        if waiting := ", ".join(name for name in fixed if name not in {*bootstrap.RENEWED, *OF_THE_SOCKET}):
            logger.warning("changed, and in force only after a new start (SIGUSR2): %s", waiting)
        if bound := ", ".join(name for name in fixed if name in OF_THE_SOCKET):
            logger.warning(
                "changed, and in force only once it is stopped, for it keeps its socket: %s", bound
            )
    notify("READY=1")


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(backlog())
    except OSError as error:
        listener.close()
        advice = port_advice(settings.host, settings.port) if error.errno == errno.EADDRINUSE else ""
        raise AddressUnusable(
            host=settings.host, port=settings.port, cause=error.strerror or str(error), advice=advice
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
    else:
        click.echo(json.dumps({"ready": True, "url": url, "store": store}))
    sys.stdout.flush()
