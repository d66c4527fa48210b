"""`streamledger sessions` and `streamledger timeline`: what the ledger says, on a terminal."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click
import msgspec
from rich.table import Column, Table

from streamledger import bootstrap
from streamledger.cli.moments import asked, moment_options
from streamledger.cli.options import console, json_option, load_settings, printable, store_options
from streamledger.domain.answers import Session, TimelineEntry
from streamledger.domain.errors import ParameterInvalid
from streamledger.domain.instants import parse_instant_ms
from streamledger.readmodel.past_queries import PastQueries
from streamledger.readmodel.queries import LIMIT_MAX, Page, Queries, SessionFilter
from streamledger.settings import Settings

Answer = TypeVar("Answer")


def ask(settings: Settings, question: Callable[[Queries], Awaitable[Answer]]) -> Answer:
    """Open the store, ask, close it."""
    with bootstrap.open_store(settings) as database:

        async def answer() -> Answer:
            async with bootstrap.open_queries(settings, database, size=1) as queries:
                return await question(queries)

        return asyncio.run(answer())


@click.command()
@click.option("--stream", "stream_id", help="Only sessions of this stream.")
@click.option("--state", type=click.Choice(["live", "suspect", "ended"]), help="Only sessions in this state.")
@click.option("--from", "started_from", help="Started at or after this time (RFC 3339 or Unix seconds).")
@click.option("--to", "started_to", help="Started before this time.")
@click.option("--limit", type=click.IntRange(1, LIMIT_MAX), default=20, show_default=True)
@json_option
@store_options
def sessions(
    config: Path | None,
    stream_id: str | None,
    state: str | None,
    started_from: str | None,
    started_to: str | None,
    limit: int,
    as_json: bool,
    **store: object,
) -> None:
    """List sessions, newest first."""
    wanted = SessionFilter(
        stream_id=stream_id,
        state=state,
        started_from_ms=instant_option("--from", started_from),
        started_to_ms=instant_option("--to", started_to),
    )
    page: Page[Session] = ask(load_settings(config, **store), lambda queries: queries.sessions(wanted, limit))
    if as_json:
        click.echo(msgspec.json.encode(page))
        return
    table = Table(
        Column("sequence", no_wrap=True),
        "stream",
        "state",
        "started",
        "duration",
        "recordings",
        "screenshots",
        "anomalies",
    )
    for each in page.items:
        table.add_row(
            each.sequence,
            each.stream_id,
            each.state,
            each.started_at or "unknown",
            _duration(each.duration_ms),
            str(each.recordings.count),
            str(each.screenshots.count),
            ", ".join(anomaly.code for anomaly in each.anomalies),
        )
    console().print(table if page.items else "No sessions.")


@click.command()
@click.argument("sequence")
@click.option("--stream", "stream_id", help="The session's stream, when several have this sequence.")
@moment_options
@click.option("--limit", type=click.IntRange(1, LIMIT_MAX), default=100, show_default=True)
@json_option
@store_options
def timeline(
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
    """Show the timeline of the session named SEQUENCE, as it is or as it was."""
    moment = asked(as_of, known_at, slack_s)

    async def question(queries: Queries) -> Page[TimelineEntry]:
        if moment is not None:
            return await PastQueries(queries).timeline(sequence, moment, stream_id, None, limit)
        return await queries.timeline(sequence, stream_id, None, limit)

    page = ask(load_settings(config, **store), question)
    if as_json:
        click.echo(msgspec.json.encode(page))
        return
    table = Table(Column("at", no_wrap=True), "until", "kind", "deliveries", "delay", "attribution", "detail")
    for entry in page.items:
        table.add_row(
            entry.at,
            entry.until or "",
            entry.kind,
            str(entry.deliveries),
            _duration(entry.delay_ms),
            entry.attribution.confidence if entry.attribution else "",
            _brief(entry),
        )
    console().print(table)
    if page.next_cursor:
        click.echo(f"More than {limit} entries; raise --limit or use the HTTP interface.")


def instant_option(name: str, text: str | None) -> int | None:
    """Milliseconds since 1970 of an option. Raises ParameterInvalid."""
    try:
        return None if text is None else parse_instant_ms(text)
    except (ValueError, OverflowError) as error:
        raise ParameterInvalid(
            name=name, expected="RFC 3339 with an offset, or whole Unix seconds", got=repr(text)
        ) from error


def _duration(ms: int | None) -> str:
    if ms is None:
        return ""
    seconds = ms / 1000
    if abs(seconds) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def _brief(entry: TimelineEntry) -> str:
    wanted = ("file_id", "file_format", "duration_s", "pic_url", "errcode", "errmsg", "record_event")
    return printable(", ".join(f"{name} {entry.detail[name]}" for name in wanted if name in entry.detail))
