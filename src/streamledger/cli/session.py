"""`streamledger session` and `streamledger explain`: one session, at any moment, and why it is so."""

from typing import Any

import click
import msgspec

from streamledger.cli.moments import asked, moment_options, moment_parameters
from streamledger.cli.options import console, folded, json_option, plain_table
from streamledger.cli.source import path_of, source_of, source_options
from streamledger.cli.terminal import printable, say, say_json
from streamledger.cli.times import local, zone
from streamledger.domain.answers import Session
from streamledger.readmodel.moments.explaining import Explanation, explain
from streamledger.readmodel.moments.moment import Asked
from streamledger.readmodel.moments.queries import PastQueries
from streamledger.readmodel.queries.sessions import LIMIT_MAX


@click.command()
@click.argument("sequence")
@click.option("--stream", "stream_id", help="The session's stream, when several have this sequence.")
@moment_options
@json_option
@source_options
def session(
    sequence: str,
    stream_id: str | None,
    as_of: int | None,
    known_at: str | None,
    slack_s: int | None,
    as_json: bool,
    **source: object,
) -> None:
    """Show the session named SEQUENCE, as it is or as it was."""
    moment = asked(as_of, known_at, slack_s)
    found = source_of(source).ask(
        Session,
        lambda queries: PastQueries(queries).session(sequence, moment, stream_id),
        path_of("sessions", sequence),
        {"stream_id": stream_id, **moment_parameters(as_of, known_at, slack_s)},
    )
    if as_json:
        say_json(found)
        return
    table = plain_table("field", fold="value")
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
@source_options
def explain_command(
    sequence: str,
    stream_id: str | None,
    as_of: int | None,
    known_at: str | None,
    slack_s: int | None,
    limit: int,
    as_json: bool,
    **source: object,
) -> None:
    """Tell which deliveries set each field of the session named SEQUENCE, and what they overruled."""
    moment = asked(as_of, known_at, slack_s) or Asked()
    found = source_of(source).ask(
        Explanation,
        lambda queries: explain(PastQueries(queries), sequence, moment, stream_id, limit),
        path_of("sessions", sequence, "explain"),
        {"stream_id": stream_id, "limit": limit, **moment_parameters(as_of, known_at, slack_s)},
    )
    if as_json:
        say_json(found)
        return
    out = console()
    fields = plain_table(
        "field", folded("value"), folded("set by"), "copies", folded("overruled"), fold="rule"
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
    out.print(fields)
    for code, text in sorted({(field.rule.code, field.rule.text) for field in found.fields}):
        out.print(printable(f"{code}: {text}"))
    attributions = plain_table(f"at {zone()}", "kind", "sure", folded("because"), fold="candidates")
    for each in found.attributions.items:
        attributions.add_row(
            local(each.at),
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
        out.print(attributions)
    if found.attributions.next_cursor:
        say(f"More than {limit} recordings and screenshots; raise --limit or use the HTTP interface.")


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
