"""`streamledger doctor`: is everything as it should be; what is not is said in a sentence each."""

from pathlib import Path

import click
import msgspec

from streamledger import bootstrap
from streamledger.cli.options import json_option, load_settings, store_options
from streamledger.operations.diagnose import Finding, diagnose
from streamledger.postgres.connection import connect

MARKS = {"good": "ok  ", "warning": "warn", "bad": "BAD "}


@click.command()
@json_option
@store_options
def doctor(config: Path | None, as_json: bool, **store: object) -> None:
    """Check store, ledger, conservation of deliveries, and projections. Exits with 1 when anything is bad."""
    settings = load_settings(config, **store)
    with (
        bootstrap.open_store(settings) as database,
        connect(database, application_name="streamledger doctor") as connection,
    ):
        findings: list[Finding] = diagnose(connection, bootstrap.now_us())
    if as_json:
        click.echo(msgspec.json.encode(findings))
    else:
        for finding in findings:
            click.echo(f"{MARKS[finding.level]}  {finding.check}: {finding.detail}")
    if any(finding.level == "bad" for finding in findings):
        raise SystemExit(1)
