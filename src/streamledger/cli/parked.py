"""`streamledger parked`: the events that a projection could not take in, and another try at them."""

from pathlib import Path

import click
from rich.table import Table

from streamledger import bootstrap
from streamledger.cli.options import console, json_option, store_options, store_settings
from streamledger.cli.rebuild import named_projections
from streamledger.cli.source import Store
from streamledger.cli.terminal import say, say_json
from streamledger.domain.rebuild_answers import ParkedEvent
from streamledger.readmodel.projections.unparking import retry_parked
from streamledger.readmodel.queries.rebuilds import RebuildQueries
from streamledger.readmodel.queries.sessions import LIMIT_MAX, Page
from streamledger.readmodel.rebuild.building import prepare_session


@click.group()
def parked() -> None:
    """Events that a projection could not take in. A new version of its rules tries them by itself."""


@parked.command(name="list")
@click.option("--projection", help="Only of this projection.")
@click.option("--limit", type=click.IntRange(1, LIMIT_MAX), default=50, show_default=True)
@json_option
@store_options
def list_command(
    config: Path | None, projection: str | None, limit: int, as_json: bool, **store: object
) -> None:
    """List parked events with their errors."""
    if projection is not None:
        named_projections((projection,))
    page = Store(store_settings(config, **store)).ask(
        Page[ParkedEvent],
        lambda queries: RebuildQueries(queries.pool).parked(projection, limit),
        "/v1/parked",
        {},
    )
    if as_json:
        say_json(page)
        return
    table = Table("projection", "position", "tries", "version", "last tried", "error")
    for each in page.items:
        numbers = (str(each.position), str(each.tries), str(each.version))
        table.add_row(each.projection, *numbers, each.parked_at, each.error)
    console().print(table if page.items else "No event is parked.")


@parked.command()
@click.argument("projections", nargs=-1, metavar="[PROJECTION...]")
@json_option
@store_options
def retry(config: Path | None, projections: tuple[str, ...], as_json: bool, **store: object) -> None:
    """Try parked events again. Exits with 1 when any fails again."""
    wanted = named_projections(projections)
    found = {}
    with bootstrap.open_connection(store_settings(config, **store), "parked") as (database, connection):
        prepare_session(connection)
        for each in wanted:
            taken, left = retry_parked(connection, database.schema, each, bootstrap.now_us())
            found[each.name] = {"taken_in": taken, "parked": left}
    if as_json:
        say_json(found)
    else:
        for name, counts in found.items():
            say(f"{name}: {counts['taken_in']} taken in, {counts['parked']} parked still")
    if any(counts["parked"] for counts in found.values()):
        raise SystemExit(1)
