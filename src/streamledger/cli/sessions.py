"""`streamledger sessions` and `streamledger timeline`: what the ledger says, on a terminal."""

import click

from streamledger.cli.moments import asked, moment_options, moment_parameters
from streamledger.cli.options import console, is_wide, json_option, plain_table
from streamledger.cli.source import at, path_of, source_of, source_options
from streamledger.cli.terminal import printable, say, say_json
from streamledger.cli.times import WHEN, local, zone
from streamledger.domain.answers import Session, TimelineEntry
from streamledger.readmodel.moments.queries import PastQueries
from streamledger.readmodel.queries.sessions import LIMIT_MAX, Page, SessionFilter


@click.command()
@click.option("--stream", "stream_id", help="Only sessions of this stream.")
@click.option("--state", type=click.Choice(["live", "suspect", "ended"]), help="Only sessions in this state.")
@click.option("--since", "--from", "since_ms", type=WHEN, help="Started at or after: 1h, yesterday, a time.")
@click.option("--until", "--to", "until_ms", type=WHEN, help="Started before this time.")
@click.option("--limit", type=click.IntRange(1, LIMIT_MAX), default=20, show_default=True)
@json_option
@source_options
def sessions(
    stream_id: str | None,
    state: str | None,
    since_ms: int | None,
    until_ms: int | None,
    limit: int,
    as_json: bool,
    **source: object,
) -> None:
    """List sessions, newest first."""
    wanted = SessionFilter(stream_id=stream_id, state=state, started_from_ms=since_ms, started_to_ms=until_ms)
    page = source_of(source).ask(
        Page[Session],
        lambda queries: queries.sessions(wanted, limit),
        "/v1/sessions",
        {
            "stream_id": stream_id,
            "state": state,
            "started_from": at(since_ms),
            "started_to": at(until_ms),
            "limit": limit,
        },
    )
    if as_json:
        say_json(page)
        return
    out = console()
    table = plain_table(
        f"started {zone()}", "sequence", "state", "length", "files", "pics", "odd", fold="stream"
    )
    for each in page.items:
        odd = [anomaly.code for anomaly in each.anomalies]
        table.add_row(
            local(each.started_at) or "unknown",
            each.sequence,
            each.state,
            duration(each.duration_ms),
            str(each.recordings.count or ""),
            str(each.screenshots.count or ""),
            ", ".join(odd) if is_wide(out) else str(len(odd) or ""),
            each.stream_id,
        )
    out.print(table if page.items else "No sessions.")


@click.command()
@click.argument("sequence")
@click.option("--stream", "stream_id", help="The session's stream, when several have this sequence.")
@moment_options
@click.option("--limit", type=click.IntRange(1, LIMIT_MAX), default=100, show_default=True)
@json_option
@source_options
def timeline(
    sequence: str,
    stream_id: str | None,
    as_of: int | None,
    known_at: str | None,
    slack_s: int | None,
    limit: int,
    as_json: bool,
    **source: object,
) -> None:
    """Show the timeline of the session named SEQUENCE, as it is or as it was."""
    moment = asked(as_of, known_at, slack_s)
    page = source_of(source).ask(
        Page[TimelineEntry],
        lambda queries: PastQueries(queries).timeline(sequence, moment, stream_id, None, limit),
        path_of("sessions", sequence, "timeline"),
        {"stream_id": stream_id, "limit": limit, **moment_parameters(as_of, known_at, slack_s)},
    )
    if as_json:
        say_json(page)
        return
    out = console()
    more = ("until", "deliveries", "delay") if is_wide(out) else ()
    table = plain_table(f"at {zone()}", *more, "kind", "sure", fold="detail")
    for entry in page.items:
        beside = (local(entry.until), str(entry.deliveries), duration(entry.delay_ms)) if more else ()
        table.add_row(
            local(entry.at),
            *beside,
            entry.kind,
            entry.attribution.confidence if entry.attribution else "",
            _brief(entry),
        )
    out.print(table)
    if page.next_cursor:
        say(f"More than {limit} entries; raise --limit or use the HTTP interface.")


def duration(ms: int | None) -> str:
    if ms is None:
        return ""
    seconds = ms / 1000
    if abs(seconds) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def _brief(entry: TimelineEntry) -> str:
    wanted = ("file_id", "file_format", "duration_ms", "pic_url", "errcode", "errmsg", "record_event")
    return printable(", ".join(f"{name} {entry.detail[name]}" for name in wanted if name in entry.detail))
