"""`streamledger streams`: the live streams, and who is on the air."""

import click

from streamledger.cli.options import console, json_option, plain_table
from streamledger.cli.source import source_of, source_options
from streamledger.cli.terminal import say, say_json
from streamledger.cli.times import local, zone
from streamledger.domain.answers import Stream
from streamledger.readmodel.queries.sessions import LIMIT_MAX, Page


@click.command()
@click.option("--live", is_flag=True, help="Only those on the air now.")
@click.option("--limit", type=click.IntRange(1, LIMIT_MAX), default=20, show_default=True)
@json_option
@source_options
def streams(live: bool, limit: int, as_json: bool, **source: object) -> None:
    """List streams by name, with their presence and what was counted of them."""
    presence = "live" if live else None
    page = source_of(source).ask(
        Page[Stream],
        lambda queries: queries.streams(presence, limit),
        "/v1/streams",
        {"presence": presence, "limit": limit},
    )
    if as_json:
        say_json(page)
        return
    table = plain_table("presence", "open", "sessions", "files", "pics", f"last seen {zone()}", fold="stream")
    for each in page.items:
        table.add_row(
            each.presence,
            str(each.open_sessions_count or ""),
            str(each.sessions),
            str(each.recordings or ""),
            str(each.screenshots or ""),
            local(each.last_seen_at),
            each.stream_id,
        )
    console().print(table if page.items else "No streams.")
    if page.next_cursor:
        say(f"More than {limit}; raise --limit or use the HTTP interface.")
