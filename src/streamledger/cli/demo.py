"""`streamledger demo`: a server with a simulated Tencent beside it, so that there is something to look at."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

import click

from streamledger.cli import serve
from streamledger.cli.options import load_settings
from streamledger.cli.processes import Family

DEMO_KEY: Final = "demo-callback-key"
SPEED: Final = 300
"""Seconds of stream life a second: the simulated half hour is played in six seconds."""
LIVE: Final = ("--live", "--duration", "5m", "--sessions-per-stream", "1")
"""Beside it, as time passes: pushes that begin in the first minute and go on, round after round."""


class _Players:
    """The processes that play Tencent; none outlives the server that they play against."""

    def __init__(self, url: str, streams: int) -> None:
        self._command = [sys.executable, "-m", "streamledger.cli", "simulate", "--url", url]
        self._command += ["--key", DEMO_KEY, "--streams", str(streams)]
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._ended = False

    def play(self, seed: int, *more: str, shown: bool) -> int:
        """Plays to the end; the return code, or 0 when all is over already."""
        output = None if shown else subprocess.DEVNULL
        with self._lock:
            if self._ended:
                return 0
            player = subprocess.Popen(  # noqa: S603  # our own command
                [*self._command, "--seed", str(seed), *more], stdout=output, stderr=output
            )
            self._running.add(player)
        code = player.wait()
        with self._lock:
            self._running.discard(player)
        return code

    def end(self) -> None:
        """Ends those that play, and lets no more begin."""
        with self._lock:
            self._ended = True
            for player in self._running:
                player.terminate()


@click.command()
@click.option("--port", type=int, default=8470, show_default=True)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=Path("streamledger-data/demo"),
    show_default=True,
)
@click.option("--streams", type=int, default=8, show_default=True, help="Live streams that are simulated.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed plays the same streams.")
def demo(port: int, data_dir: Path, streams: int, seed: int) -> None:
    """Serve on an embedded store of its own and play Tencent against it: the last half hour in six
    seconds, and live pushes as time passes. Ctrl-C ends it."""
    os.environ.pop("STREAMLEDGER_DATABASE_URL", None)  # a demo never writes into the user's own database
    settings = load_settings(port=port, data_dir=data_dir, host="127.0.0.1", callback_keys=f"demo:{DEMO_KEY}")
    family = Family()
    started: list[_Players] = []

    def play_the_past(players: _Players, url: str) -> None:
        players.play(seed, "--speed", str(SPEED), shown=True)
        if not family.stopping:
            click.echo(f"\nThe past is played, live pushes go on. Look at {url}/ or {url}/v1/sessions")
            click.echo(f"or run: streamledger sessions --data-dir {data_dir}. Ctrl-C stops the server.")

    def play_the_present(players: _Players) -> None:
        number = seed
        while not family.stopping:
            number += 1
            if players.play(number, *LIVE, shown=False) not in (0, 1):  # 1: a fact was not acknowledged
                return

    def begin(url: str) -> None:
        players = _Players(url, streams)
        started.append(players)
        threading.Thread(target=play_the_past, args=(players, url), daemon=True).start()
        threading.Thread(target=play_the_present, args=(players,), daemon=True).start()

    try:
        serve.run(settings, family, begin)
    finally:
        for players in started:
            players.end()
