"""`streamledger doctor`: is everything as it should be; what is not is said in a sentence each."""

from typing import Any

import click

from streamledger import bootstrap
from streamledger.cli.options import json_option
from streamledger.cli.source import Server, ServerSaid, source_of, source_options
from streamledger.cli.terminal import say, say_json
from streamledger.domain.answers import ProjectionStatus
from streamledger.operations.diagnose import Finding, diagnose
from streamledger.operations.limits import LIMITS
from streamledger.readmodel.queries.sessions import Page
from streamledger.settings import Settings

MARKS = {"good": "ok  ", "warning": "warn", "bad": "BAD "}


@click.command()
@click.option("--deep", is_flag=True, help="Read every event, and count all rows against their counters.")
@json_option
@source_options
def doctor(deep: bool, as_json: bool, **source: object) -> None:
    """Check store, ledger, conservation of deliveries, and projections. Exits with 1 when anything is bad.

    With --url: what a server tells of itself, its health and its projections. Durability, positions,
    conservation and limits are checked at the store alone.
    """
    asked = source_of(source)
    if deep and isinstance(asked, Server):
        raise click.UsageError("--deep reads the store: name it instead of a server")
    findings = _of_server(asked) if isinstance(asked, Server) else _of_store(asked.settings, deep)
    if as_json:
        say_json(findings)
    else:
        for finding in findings:
            say(f"{MARKS[finding.level]}  {finding.check}: {finding.detail}")
    if any(finding.level == "bad" for finding in findings):
        raise SystemExit(1)


def _of_store(settings: Settings, deep: bool) -> list[Finding]:
    with bootstrap.open_connection(settings, "doctor") as (_, connection):
        limits = {name: getattr(settings, name) for name in LIMITS}
        return diagnose(connection, bootstrap.now_us(), limits, deep=deep)


def _of_server(server: Server) -> list[Finding]:
    try:
        health = server.get(dict[str, Any], "/health/ready", {})
    except ServerSaid as said:
        return [Finding("intake", "bad", str(said))]
    found = [Finding("intake", "good", "deliveries are stored")]
    found += [Finding(each["what"], "warning", each["detail"]) for each in health["degraded"]]
    for each in server.get(Page[ProjectionStatus], "/v1/projections", {}).items:
        behind = each.lag_events > 0
        found.append(
            Finding(
                f"projection {each.name}",
                "warning" if behind else "good",
                f"at {each.position} of {each.head}" if behind else f"caught up at position {each.position}",
            )
        )
    return found
