"""`streamledger backup` and `streamledger restore`: the whole store in one file, and back."""

from functools import partial
from pathlib import Path
from typing import Final

import click
import msgspec

from streamledger import bootstrap
from streamledger.cli.options import json_option, store_options, store_settings
from streamledger.cli.progress_line import ProgressLine
from streamledger.operations.backup import Moved, back_up, restore
from streamledger.operations.diagnose import Finding, diagnose
from streamledger.postgres.connection import connect

SAY_EVERY_S: Final = 1.0


@click.command(name="backup")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@json_option
@store_options
def backup_command(config: Path | None, file: Path, as_json: bool, **store: object) -> None:
    """Write the whole store to FILE while it runs: ledger, quarantine, counters, tokens and read model.

    FILE is a dump of PostgreSQL (pg_dump, custom format) as of the moment the command begins. It holds what
    deliveries hold, secrets too, and only you may read it.
    """
    settings = store_settings(config, **store)
    with bootstrap.open_store(settings) as database:
        line = ProgressLine(SAY_EVERY_S)
        done = back_up(
            database,
            file,
            embedded=settings.database_url is None,
            on_progress=partial(_say, line, "backing up"),
        )
        line.end()
    if as_json:
        click.echo(msgspec.json.encode(done))
    else:
        click.echo(
            f"{file}: {done.bytes // 1024} KiB, up to position {done.position} and beyond,"
            f" {done.quarantined} in quarantine"
        )


@click.command(name="restore")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
@store_options
def restore_command(config: Path | None, file: Path, as_json: bool, **store: object) -> None:
    """Restore a backup into an empty data directory, database or schema, and check it as `doctor` does.

    Positions keep their numbers. Start `serve` afterwards, and `verify projections` to hold the read model
    against history. Exits with 1 when a check fails.
    """
    settings = store_settings(config, **store)
    line = ProgressLine(SAY_EVERY_S)
    with bootstrap.open_empty_store(settings) as place:
        done = restore(
            place.owner,
            file,
            embedded=settings.database_url is None,
            on_progress=partial(_say, line, "restoring"),
        )
        line.end()
        database = place.prepared()
        with connect(database, application_name="streamledger restore") as connection:
            findings: list[Finding] = diagnose(connection, bootstrap.now_us())
    bad = [finding for finding in findings if finding.level == "bad"]
    if as_json:
        click.echo(msgspec.json.encode({"restored": done, "findings": findings}))
    else:
        click.echo(
            f"restored up to position {done.position}, {done.quarantined} in quarantine;"
            " `streamledger verify projections` compares the read model with history"
        )
        for finding in bad:
            click.echo(f"BAD   {finding.check}: {finding.detail}")
    if bad:
        raise SystemExit(1)


def _say(line: ProgressLine, doing: str, moved: Moved) -> None:
    line.say(f"{doing}: table {moved.tables} {moved.table}, file {moved.bytes // 1024} KiB")
