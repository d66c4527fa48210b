"""`streamledger deliveries` and `streamledger delivery`: what was delivered, how often, and what each is."""

import click
import msgspec

from streamledger.cli.options import console, is_wide, json_option, plain_table
from streamledger.cli.source import at, path_of, source_of, source_options
from streamledger.cli.terminal import printable, say, say_encoded, say_json
from streamledger.cli.times import WHEN, local, zone
from streamledger.domain.delivery_answers import DeliveryAnswer, DeliveryDetail
from streamledger.domain.forensics import DeliveryClass
from streamledger.readmodel.queries.deliveries import DeliveryQueries
from streamledger.readmodel.queries.ledger_scan import DeliveryFilter
from streamledger.readmodel.queries.sessions import LIMIT_MAX, Page


@click.command()
@click.option(
    "--class", "class_", type=click.Choice([each.value for each in DeliveryClass]), help="Of this class."
)
@click.option("--stream", "stream_id", help="Of this stream.")
@click.option("--sequence", help="That carry this sequence.")
@click.option("--key", help="Verified by the callback key of this name.")
@click.option("--source-ip", help="That came from this address.")
@click.option("--since", type=WHEN, help="Received at or after: 1h, yesterday, a time.")
@click.option("--until", type=WHEN, help="Received before this time.")
@click.option("--limit", type=click.IntRange(1, LIMIT_MAX), default=20, show_default=True)
@json_option
@source_options
def deliveries(
    class_: str | None,
    stream_id: str | None,
    sequence: str | None,
    key: str | None,
    source_ip: str | None,
    since: int | None,
    until: int | None,
    limit: int,
    as_json: bool,
    **source: object,
) -> None:
    """List deliveries that were believed, newest first, each with its class (docs/forensics.md)."""
    wanted = DeliveryFilter(
        class_=None if class_ is None else DeliveryClass(class_),
        stream_id=stream_id,
        sequence=sequence,
        key=key,
        source_ip=source_ip,
        from_ms=since,
        to_ms=until,
    )
    page = source_of(source).ask(
        Page[DeliveryAnswer],
        lambda queries: DeliveryQueries(queries.pool).deliveries(wanted, limit),
        "/v1/deliveries",
        {
            "class": class_,
            "stream_id": stream_id,
            "sequence": sequence,
            "key": key,
            "source_ip": source_ip,
            "from": at(since),
            "to": at(until),
            "limit": limit,
        },
    )
    if as_json:
        say_json(page)
        return
    out = console()
    more = ("from", "key") if is_wide(out) else ()
    table = plain_table("position", f"received {zone()}", "class", "type", *more, "sequence", fold="stream")
    for each in page.items:
        table.add_row(
            str(each.position),
            local(each.received_at),
            each.class_,
            str(each.event_type),
            *((each.source_ip, each.key or "") if more else ()),
            each.sequence or "",
            each.stream_id or "",
        )
    out.print(table if page.items else "No deliveries.")
    if page.next_cursor:
        say(f"More than {limit}; raise --limit or narrow the filter.")


@click.command()
@click.argument("position", type=click.IntRange(min=0))
@click.option("--whole", is_flag=True, help="Also the exact body, secrets included.")
@json_option
@source_options
def delivery(position: int, whole: bool, as_json: bool, **source: object) -> None:
    """Show the delivery at POSITION beside the others of its notification."""
    found = source_of(source).ask(
        DeliveryDetail,
        lambda queries: DeliveryQueries(queries.pool).delivery(position, whole=whole),
        path_of("deliveries", str(position)),
        {},
    )
    if not whole:
        found = msgspec.structs.replace(found, body_text=None, body_base64=None)
    if as_json:
        say_json(found)
        return
    for each in found.same_notification:
        told = each.delivery
        mark = ">" if told.position == position else " "
        say(f"{mark} {told.position}  {local(told.received_at)}  {told.class_}  from {told.source_ip}")
        if told.in_words:
            say(f"    {printable(told.in_words)}")
        for difference in each.differences:
            say(f"    {difference.field}: {difference.first!r}, here {difference.this!r}")
    if found.more:
        say(f"  and {found.more} more")
    for aside in found.set_aside:
        say(f"  set aside: {aside.id}  {local(aside.received_at)}  {aside.reason}  from {aside.source_ip}")
    say_encoded(msgspec.json.format(msgspec.json.encode(found.body)))
    if found.body_text is not None:
        say(found.body_text)
