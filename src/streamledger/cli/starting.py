"""What `serve` says at its start: who could send or query unchecked, a free port, the first steps."""

import contextlib
import logging
import os
import socket
from typing import Final

from streamledger.cli.terminal import say
from streamledger.invocation import own_command
from streamledger.postgres.connection import Database, connect
from streamledger.settings import Settings
from streamledger.web.pages.setup import setup_lines

logger = logging.getLogger(__name__)

PORTS_TRIED: Final = 100
"""Above the one that is taken; few enough to be tried in a moment."""


def warn_of_openness(settings: Settings) -> None:
    """One line in the log for each thing that nobody checks; no line where all is checked."""
    if settings.callback_keys is None and settings.callback_keys_file is None:
        logger.warning(
            "no callback key is set (STREAMLEDGER_CALLBACK_KEYS): deliveries without a signature are"
            " believed, whoever sends them"
        )
    if settings.insecure:
        logger.warning(
            "--insecure: on %s nothing is refused for want of callback keys or API tokens;"
            " whoever reaches it may send callbacks, query and release",
            settings.host,
        )


def port_advice(host: str, port: int) -> str:
    """What to do about a port that cannot be listened on: the next one that can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in range(port + 1, min(port + 1 + PORTS_TRIED, 65_536)):
        with contextlib.closing(socket.socket(family, socket.SOCK_STREAM)) as listener:
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((host, candidate))
            except OSError:
                continue
            return f"; --port {candidate} is free"
    return ""


def say_first_steps(settings: Settings, database: Database, url: str) -> None:
    """What to do in Tencent's console, as long as nothing has been received."""
    with connect(database, application_name="streamledger") as connection:
        received = connection.execute("SELECT position FROM ledger_head").fetchone()
    if received is not None and received[0] > 0:
        return
    address = f"{settings.public_url.rstrip('/') or url}/callbacks/tencent"
    if settings.callback_token is not None:
        address += "/CALLBACK_TOKEN"
    has_keys = settings.callback_keys is not None or settings.callback_keys_file is not None
    lines = setup_lines(
        os.environ,
        address=address,
        own_command=None if has_keys else own_command(),
        is_public=bool(settings.public_url),
    )
    say("\n" + "\n".join(lines))
