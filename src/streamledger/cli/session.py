"""`streamledger session` and `streamledger explain`: one session, at any moment, and why it is so."""

from pathlib import Path
from typing import Any

import click
import msgspec
from rich.table import Column, Table

from streamledger.cli.moments import asked, moment_options
from streamledger.cli.options import console, json_option, load_settings, printable, store_options
from streamledger.cli.sessions import ask
from streamledger.domain.answers import Session
from streamledger.readmodel.explaining import Explanation, explain
from streamledger.readmodel.moment import Asked
from streamledger.readmodel.past_queries import PastQueries
from streamledger.readmodel.queries import LIMIT_MAX, Queries


@click.command()
@click.argument("sequence")
@click.option("--stream", "stream_id", help="The session's stream, when several have this sequence.")
@moment_options
@json_option
@store_options
def session(
    config: Path | None,
    sequence: str,
    stream_id: str | None,
    as_of: str | None,
    known_at: str | None,
    slack_s: int | None,
    as_json: bool,
    **store: object,
) -> None:
    """Show the session named SEQUENCE, as it is or as it was."""
    moment = asked(as_of, known_at, slack_s)

    async def question(queries: Queries) -> Session:
        if moment is not None:
            return await PastQueries(queries).session(sequence, moment, stream_id)
        return await queries.session(sequence, stream_id)

    found = ask(load_settings(config, **store), question)
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    table = Table("field", "value")
    for name, value in msgspec.to_builtins(found).items():
        table.add_row(name, _shown(value))
    console().print(table)


@click.command("explain")
@click.argument("sequence")
@click.option("--stream", "stream_id", help="The session's stream, when several have this sequence.")
@moment_options
@click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=20,
    show_default=True,
    help="Recordings and screenshots that are explained.",
)
@json_option
@store_options
def explain_command(
    config: Path | None,
    sequence: str,
    stream_id: str | None,
    as_of: str | None,
    known_at: str | None,
    slack_s: int | None,
    limit: int,
    as_json: bool,
    **store: object,
) -> None:
    """Tell which deliveries set each field of the session named SEQUENCE, and what they overruled."""
    moment = asked(as_of, known_at, slack_s) or Asked()

    async def question(queries: Queries) -> Explanation:
        return await explain(PastQueries(queries), sequence, moment, stream_id, limit)

    found = ask(load_settings(config, **store), question)
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    fields = Table(
        Column("field", no_wrap=True), "value", "set by", "copies", "overruled", Column("rule", no_wrap=True)
    )
    for field in found.fields:
        fields.add_row(
            field.field,
            _shown(field.value),
            ", ".join(map(str, field.positions)),
            str(field.confirmed or ""),
            "; ".join(f"{said.position}: {_shown(said.value)}" for said in field.overruled),
            field.rule.code,
        )
    console().print(fields)
    for code, text in sorted({(field.rule.code, field.rule.text) for field in found.fields}):
        click.echo(f"{code}: {text}")
    attributions = Table("at", "kind", "confidence", "because", "candidates")
    for each in found.attributions.items:
        attributions.add_row(
            each.at,
            each.kind,
            each.confidence,
            "; ".join(rule.text for rule in each.because),
            "\n".join(
                f"{candidate.sequence} {candidate.outcome},"
                f" overlap {candidate.overlap_ms} ms, distance {candidate.distance_ms} ms"
                for candidate in each.candidates
            ),
        )
    if found.attributions.items:
        console().print(attributions)
    if found.attributions.next_cursor:
        click.echo(f"More than {limit} recordings and screenshots; raise --limit or use the HTTP interface.")


def _shown(value: Any) -> str:
    match value:
        case None | []:
            return ""
        case dict() as facts:
            return ", ".join(f"{name} {_shown(each)}" for name, each in facts.items() if each is not None)
        case list() as items:
            return "\n".join(_shown(each) for each in items)
        case _:
            return printable(str(value))
