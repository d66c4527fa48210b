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
    """Serve on an embedded store of its own and play Tencent against it. Ctrl-C ends it."""
    os.environ.pop("STREAMLEDGER_DATABASE_URL", None)  # a demo never writes into the user's own database
    settings = load_settings(port=port, data_dir=data_dir, host="127.0.0.1", callback_keys=f"demo:{DEMO_KEY}")
    family = Family()

    def play(url: str) -> None:
        command = [sys.executable, "-m", "streamledger.cli.main", "simulate", "--url", url]
        command += ["--key", DEMO_KEY, "--streams", str(streams), "--seed", str(seed), "--speed", str(SPEED)]
        subprocess.run(command, check=False)  # noqa: S603  # our own command
        if not family.stopping:
            click.echo(f"\nThe simulation is over, the server goes on. Look at {url}/v1/sessions")
            click.echo(f"or run: streamledger sessions --data-dir {data_dir}. Ctrl-C stops the server.")

    serve.run(settings, family, lambda url: threading.Thread(target=play, args=(url,), daemon=True).start())
