"""`streamledger verify`: is what is kept still what was taken in."""

from pathlib import Path

import click

from streamledger import bootstrap
from streamledger.cli.options import json_option, store_options, store_settings
from streamledger.cli.progress import shown
from streamledger.cli.rebuild import ended_by_signals, named_projections
from streamledger.cli.terminal import say, say_json
from streamledger.operations.rebuild import Order
from streamledger.operations.verify_projections import verify_projections


@click.group()
def verify() -> None:
    """Check what is kept against history."""


@verify.command(name="projections")
@click.argument("projections", nargs=-1, metavar="[PROJECTION...]")
@click.option("--workers", type=click.IntRange(1, 16), help="Processes; as many as processors by default.")
@json_option
@store_options
def projections_command(
    config: Path | None, projections: tuple[str, ...], workers: int | None, as_json: bool, **store: object
) -> None:
    """Compare the read model's rows with those of a rebuild that is not switched.

    Exits with 1 when anything differs.
    """
    settings = store_settings(config, **store)
    order = Order(projections=named_projections(projections), workers=workers or 0)
    with (
        ended_by_signals("the verification") as is_cancelled,
        bootstrap.open_store(settings) as database,
        shown() as on_progress,
    ):
        found = verify_projections(
            database, order, clock_us=bootstrap.now_us, on_progress=on_progress, is_cancelled=is_cancelled
        )
    if as_json:
        say_json(found)
    else:
        for each in found:
            mark = "ok  " if each.sound else "BAD "
            say(f"{mark}  {each.projection} at position {each.position}: {each.detail}")
            if not each.sound and each.live_digest is not None:
                say(f"      rows {each.live_digest}, history {each.history_digest}")
    if not all(each.sound for each in found):
        raise SystemExit(1)
