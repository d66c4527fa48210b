"""`streamledger demo`: a server with a simulated Tencent beside it, so that there is something to look at."""

import asyncio
import contextlib
import shlex
import socket
import time
from collections.abc import Sequence
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Final

import click

from streamledger import bootstrap
from streamledger.cli import serve
from streamledger.cli.options import load_settings
from streamledger.cli.processes import Family, be_a_child, end_with_parent
from streamledger.domain.errors import StreamledgerError
from streamledger.invocation import own_command
from streamledger.ledger.appender import Appender
from streamledger.operations.receive import Receiver, Trust
from streamledger.operations.troubles import last_received_us
from streamledger.postgres.connection import Database, connect
from streamledger.settings import Settings
from streamledger.simulator.connection import target
from streamledger.simulator.delivery import Signing
from streamledger.simulator.player import Pace, Player
from streamledger.simulator.story import FUTURE_S, PAST_S, Received, received, story

DEMO_KEY: Final = "demo-callback-key"
USUAL_PORT: Final = 8470
AT_ONCE: Final = 200
"""How many deliveries of the past wait for the store together."""
AGAIN_S: Final = 5.0

_then_us: ContextVar[int] = ContextVar("then_us")


@click.command()
@click.option("--port", type=int, help=f"Port to listen on; {USUAL_PORT} by default, or a free one.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=Path("streamledger-data/demo"),
    show_default=True,
)
@click.option("--streams", type=click.IntRange(1, 100), default=9, show_default=True,
              help="Steady live streams; a few in trouble come in addition.")  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed, another day.")
def demo(port: int | None, data_dir: Path, streams: int, seed: int) -> None:
    """Serve on an embedded store of its own and play Tencent against it: ninety minutes that have passed,
    received as of their time, and from then on live pushes as time passes. Ctrl-C ends it."""
    port = free_port() if port in (None, 0) else port
    settings = load_settings(
        port=port,
        data_dir=data_dir,
        database_url="",  # a demo never writes into the user's own database
        owner_database_url="",
        host="127.0.0.1",
        callback_keys=f"demo:{DEMO_KEY}",
        image_hosts=f"127.0.0.1:{port}",
    )
    family = Family()
    serve.run(
        settings, family, lambda url: family.start("simulated Tencent", play, settings, url, streams, seed)
    )


def free_port() -> int:
    """The usual port, or when that is taken any that is free."""
    for port in (USUAL_PORT, 0):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            found: int = probe.getsockname()[1]
            return found
    return USUAL_PORT


def play(settings: Settings, url: str, streams: int, seed: int) -> None:
    """A child beside the server: the past at once, then the present, one story after the other."""
    be_a_child(settings)
    end_with_parent()
    signing = Signing(key=DEMO_KEY)
    now_ms = time.time_ns() // 1_000_000
    calls = story(now_ms, streams=streams, seed=seed, images=f"{url}/static")
    with bootstrap.open_store(settings) as database:
        with connect(database, application_name="streamledger demo") as connection:
            since_ms = last_received_us(connection) // 1000  # what an earlier demo has is not put in again
        past = [each for each in received(calls, signing) if since_ms < each.at_ms <= now_ms]
        asyncio.run(_receive(settings, database, past))
    # Blanks before the first word: the log of the server ends its lines by itself.
    click.echo(f"\n{len(past)} deliveries of the last {PAST_S // 60} minutes were put into the ledger, as of")
    click.echo(f"the time they would have come at. Live pushes go on. Look at {url}/")
    click.echo(
        f"or run: {own_command()} sessions --data-dir {shlex.quote(str(settings.data_dir.absolute()))}"
    )
    click.echo("Ctrl-C stops the server.")
    while True:
        ahead = [call for call in calls if call.at_ms > now_ms]
        player = Player(
            ahead, target(url), signing, starts_at_ms=now_ms, pace=Pace(1.0), on_try=lambda _: None
        )
        with contextlib.suppress(StreamledgerError):  # nobody listens, for a moment
            asyncio.run(player.play())
        time.sleep(AGAIN_S)
        if (now := time.time_ns() // 1_000_000) - now_ms > FUTURE_S * 1000:
            seed += 1
            calls = story(now, streams=streams, seed=seed, images=f"{url}/static")
        now_ms = now


async def _receive(settings: Settings, database: Database, past: Sequence[Received]) -> None:
    """The intake itself, with a clock that stands at the time of each delivery."""
    appender = Appender(
        partial(bootstrap.connect_writer, database),
        bootstrap.open_ledger(database),
        bootstrap.appender_limits(settings),
    )
    receiver = Receiver(
        appender,
        Trust(keys=bootstrap.key_ring(settings).keys, grace_s=0, ahead_s_max=settings.ahead_s_max),
        _then_us.get,
    )

    async def receive(each: Received) -> None:
        _then_us.set(each.at_ms * 1000)
        await receiver.receive(each.body, each.source_ip)

    try:
        for place in range(0, len(past), AT_ONCE):
            await asyncio.gather(*map(receive, past[place : place + AT_ONCE]))
    finally:
        await appender.close()
