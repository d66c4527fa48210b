"""`streamledger quarantine`: what was not believed; looked at, and released."""

from pathlib import Path

import click
import msgspec

from streamledger import bootstrap
from streamledger.cli.options import (
    console,
    is_wide,
    json_option,
    plain_table,
    store_options,
    store_settings,
    together,
    user_name,
)
from streamledger.cli.source import at, path_of, source_of, source_options
from streamledger.cli.terminal import say, say_encoded, say_json
from streamledger.cli.times import WHEN, local, zone
from streamledger.domain.quarantine_answers import QuarantinedBody, QuarantinedDelivery
from streamledger.ledger.acts import Actor
from streamledger.ledger.quarantine import REASONS, QuarantineFilter
from streamledger.operations.release import REASON_CHARACTERS_MAX, ReleaseReport, ReleaseWish
from streamledger.readmodel.queries.quarantine import QuarantineQueries
from streamledger.readmodel.queries.sessions import LIMIT_MAX, Page


@click.group()
def quarantine() -> None:
    """Deliveries that were not believed: list, show, release."""


_filter_options = together(
    click.option("--reason", type=click.Choice(REASONS), help="Only those set aside for this reason."),
    click.option("--since", type=WHEN, help="Received at or after: 1h, yesterday, a time."),
    click.option("--until", type=WHEN, help="Received before this time."),
    click.option("--stream", "stream_id", help="Only deliveries of this stream."),
)


@quarantine.command("list")
@_filter_options
@click.option("--released/--unreleased", default=None, help="Only those that were, or were not, released.")
@click.option("--limit", type=click.IntRange(1, LIMIT_MAX), default=20, show_default=True)
@json_option
@source_options
def list_quarantined(
    reason: str | None,
    since: int | None,
    until: int | None,
    stream_id: str | None,
    released: bool | None,
    limit: int,
    as_json: bool,
    **source: object,
) -> None:
    """List quarantined deliveries, latest first."""
    wanted = QuarantineFilter.between(since, until, reason=reason, stream_id=stream_id, released=released)
    page = source_of(source).ask(
        Page[QuarantinedDelivery],
        lambda queries: QuarantineQueries(queries.pool).deliveries(wanted, limit),
        "/v1/quarantine",
        {
            "reason": reason,
            "from": at(since),
            "to": at(until),
            "stream_id": stream_id,
            "released": released,
            "limit": limit,
        },
    )
    if as_json:
        say_json(page)
        return
    out = console()
    more = ("from", "type", "bytes", "released") if is_wide(out) else ()
    table = plain_table("id", f"received {zone()}", "reason", *more, fold="stream")
    for each in page.items:
        told = (
            each.source_ip,
            "" if each.event_type is None else str(each.event_type),
            str(each.bytes),
            f"at position {each.released.position} by {each.released.by}" if each.released else "",
        )
        # Where there is no room for it, what was released has a mark.
        mark = "*" if each.released and not more else ""
        table.add_row(
            each.id,
            local(each.received_at),
            each.reason + mark,
            *(told if more else ()),
            each.stream_id or "",
        )
    out.print(table if page.items else "Nothing is in the quarantine that fits.")
    if not more and any(each.released for each in page.items):
        say("* released")
    if page.next_cursor:
        say(f"More than {limit}; raise --limit, narrow the filter, or use the HTTP interface.")


@quarantine.command()
@click.argument("quarantine_id", metavar="ID")
@click.option("--whole", is_flag=True, help="Also the exact body, secrets included.")
@json_option
@source_options
def show(quarantine_id: str, whole: bool, as_json: bool, **source: object) -> None:
    """Show one quarantined delivery with its body. A server shows its bytes to a token of scope admin."""
    found = source_of(source).ask(
        QuarantinedBody,
        lambda queries: QuarantineQueries(queries.pool).delivery(quarantine_id, whole=whole),
        path_of("quarantine", quarantine_id),
        {},
    )
    if not whole:
        found = msgspec.structs.replace(found, body=None, body_base64=None)
    if as_json:
        say_json(found)
        return
    for name, value in msgspec.to_builtins(found).items():
        if name not in ("notification", "body", "body_base64") and value is not None:
            say(f"{name}: {value}")
    if found.notification is not None:
        say_encoded(msgspec.json.format(msgspec.json.encode(found.notification)))
    if found.body is not None:
        say(found.body)


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
    since: int | None,
    until: int | None,
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
    settings = store_settings(config, **store)
    actor = Actor(by=by or f"cli:{user_name()}", reason=because.strip(), at_us=bootstrap.now_us())
    with bootstrap.open_store(settings) as database:
        releases = bootstrap.releases(settings, database, bootstrap.key_ring(settings))
        report: ReleaseReport
        if quarantine_id is not None:
            report = releases.one(quarantine_id, actor, dry_run=dry_run)
        else:
            wanted = QuarantineFilter.between(since, until, reason=reason, stream_id=stream_id)
            wish = ReleaseWish(wanted=wanted, first_only=first_only, limit=limit, dry_run=dry_run)
            report = releases.by_filter(wish, actor, verify_with=verify_with)
    if as_json:
        say_json(report)
        return
    say(f"{'would be released' if dry_run else 'released'}: {report.released}")
    if report.first_position is not None:
        say(f"positions: {report.first_position} to {report.last_position}")
    for cause, count in sorted(report.skipped.items()):
        say(f"left alone, {cause.replace('_', ' ')}: {count}")
