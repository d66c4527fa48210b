"""`streamledger quarantine`: what was not believed; looked at, and released."""

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from rich.table import Column, Table

from streamledger import bootstrap
from streamledger.cli.options import console, json_option, load_settings, store_options
from streamledger.domain.errors import ParameterInvalid
from streamledger.domain.instants import parse_instant_ms
from streamledger.domain.quarantine_answers import QuarantinedBody, QuarantinedDelivery
from streamledger.ledger.acts import Actor
from streamledger.ledger.quarantine import REASONS, QuarantineFilter
from streamledger.operations.release import REASON_CHARACTERS_MAX, ReleaseReport
from streamledger.readmodel.quarantine_queries import QuarantineQueries
from streamledger.readmodel.queries import LIMIT_MAX, Page
from streamledger.settings import Settings

Answer = TypeVar("Answer")
Command = TypeVar("Command", bound=Callable[..., Any])


@click.group()
def quarantine() -> None:
    """Deliveries that were not believed: list, show, release."""


def _filter_options(command: Command) -> Command:
    for option in (
        click.option("--stream", "stream_id", help="Only deliveries of this stream."),
        click.option("--until", help="Received before this time."),
        click.option("--since", help="Received at or after this time (RFC 3339 or Unix seconds)."),
        click.option("--reason", type=click.Choice(REASONS), help="Only those set aside for this reason."),
    ):
        command = option(command)
    return command


@quarantine.command("list")
@_filter_options
@click.option("--released/--unreleased", default=None, help="Only those that were, or were not, released.")
@click.option("--limit", type=click.IntRange(1, LIMIT_MAX), default=20, show_default=True)
@json_option
@store_options
def list_quarantined(
    config: Path | None,
    reason: str | None,
    since: str | None,
    until: str | None,
    stream_id: str | None,
    released: bool | None,
    limit: int,
    as_json: bool,
    **store: object,
) -> None:
    """List quarantined deliveries, latest first."""
    wanted = _filter(reason, since, until, stream_id, released)
    page: Page[QuarantinedDelivery] = _ask(
        load_settings(config, **store), lambda queries: queries.deliveries(wanted, limit)
    )
    if as_json:
        click.echo(msgspec.json.encode(page))
        return
    # The id is there to be copied: whatever the width, it stays whole.
    whole_id = Column("id", no_wrap=True, min_width=36)
    table = Table(whole_id, "reason", "received", "from", "type", "stream", "bytes", "released")
    for each in page.items:
        table.add_row(
            each.id,
            each.reason,
            each.received_at,
            each.source_ip,
            "" if each.event_type is None else str(each.event_type),
            each.stream_id or "",
            str(each.bytes),
            f"at position {each.released.position} by {each.released.by}" if each.released else "",
        )
    console().print(table if page.items else "Nothing is in the quarantine that fits.")
    if page.next_cursor:
        click.echo(f"More than {limit}; raise --limit, narrow the filter, or use the HTTP interface.")


@quarantine.command()
@click.argument("quarantine_id", metavar="ID")
@click.option("--whole", is_flag=True, help="Also the exact body, secrets included.")
@json_option
@store_options
def show(config: Path | None, quarantine_id: str, whole: bool, as_json: bool, **store: object) -> None:
    """Show one quarantined delivery with its body."""
    found: QuarantinedBody = _ask(
        load_settings(config, **store), lambda queries: queries.delivery(quarantine_id, whole=whole)
    )
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    for name, value in msgspec.to_builtins(found).items():
        if name not in ("notification", "body", "body_base64") and value is not None:
            click.echo(f"{name}: {value}")
    if found.notification is not None:
        click.echo(msgspec.json.format(msgspec.json.encode(found.notification)))
    if found.body is not None:
        click.echo(found.body)


@quarantine.command()
@click.argument("quarantine_id", metavar="[ID]", required=False)
@_filter_options
@click.option("--verify-with", metavar="KEYNAME", help="Only what this callback key verifies, as at receipt.")
@click.option(
    "--first-only",
    is_flag=True,
    help="Only the first delivery of each notification, and none that is believed already.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Release so many at most.")
@click.option("--dry-run", is_flag=True, help="Say what would be released; change nothing.")
@click.option("--because", required=True, help="Why it is to be believed; the ledger keeps it.")
@click.option("--by", help="Who decides; by default the user of the operating system.")
@json_option
@store_options
def release(
    config: Path | None,
    quarantine_id: str | None,
    reason: str | None,
    since: str | None,
    until: str | None,
    stream_id: str | None,
    verify_with: str | None,
    first_only: bool,
    limit: int | None,
    dry_run: bool,
    because: str,
    by: str | None,
    as_json: bool,
    **store: object,
) -> None:
    """Believe the delivery ID, or by filter; sessions heal as soon as the projector has taken it in.

    Releasing twice does nothing, and the evidence stays in the quarantine. A filter must name at least one
    of --reason, --since, --until, --stream and --verify-with.
    """
    if not because.strip() or len(because) > REASON_CHARACTERS_MAX:
        raise click.UsageError(f"--because: expected 1 to {REASON_CHARACTERS_MAX} characters")
    narrowed = any(each is not None for each in (reason, since, until, stream_id, verify_with))
    if (quarantine_id is None) != narrowed:
        raise click.UsageError("expected either an ID or a filter")
    if quarantine_id is not None and (first_only or limit is not None):
        raise click.UsageError("--first-only and --limit go with a filter, not with an ID")
    settings = load_settings(config, **store)
    actor = Actor(by=by or f"cli:{_user()}", reason=because.strip(), at_us=bootstrap.now_us())
    with bootstrap.open_store(settings) as database:
        releases = bootstrap.releases(settings, database, bootstrap.key_ring(settings))
        report: ReleaseReport
        if quarantine_id is not None:
            report = releases.one(quarantine_id, actor, dry_run=dry_run)
        else:
            report = releases.by_filter(
                _filter(reason, since, until, stream_id, None),
                actor,
                verify_with=verify_with,
                first_only=first_only,
                limit=limit,
                dry_run=dry_run,
            )
    if as_json:
        click.echo(msgspec.json.encode(report))
        return
    click.echo(f"{'would be released' if dry_run else 'released'}: {report.released}")
    if report.first_position is not None:
        click.echo(f"positions: {report.first_position} to {report.last_position}")
    for cause, count in sorted(report.skipped.items()):
        click.echo(f"left alone, {cause.replace('_', ' ')}: {count}")


def _filter(
    reason: str | None, since: str | None, until: str | None, stream_id: str | None, released: bool | None
) -> QuarantineFilter:
    return QuarantineFilter(
        reason=reason,
        from_us=_instant_us("--since", since),
        to_us=_instant_us("--until", until),
        stream_id=stream_id,
        released=released,
    )


def _ask(settings: Settings, question: Callable[[QuarantineQueries], Awaitable[Answer]]) -> Answer:
    with bootstrap.open_store(settings) as database:

        async def answer() -> Answer:
            async with bootstrap.open_quarantine(settings, database) as queries:
                return await question(queries)

        return asyncio.run(answer())


def _instant_us(name: str, text: str | None) -> int | None:
    try:
        return None if text is None else parse_instant_ms(text) * 1000
    except (ValueError, OverflowError) as error:
        raise ParameterInvalid(
            name=name, expected="RFC 3339 with an offset, or whole Unix seconds", got=repr(text)
        ) from error


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"
