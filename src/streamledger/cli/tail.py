"""`streamledger tail`: the ledger as it comes, a line an event."""

from typing import Final

import click

from streamledger.cli.source import source_of, source_options
from streamledger.cli.terminal import say, say_json
from streamledger.cli.times import local
from streamledger.domain.answers import LedgerEntry, ProjectionStatus
from streamledger.domain.kinds import KIND_BY_STORED_NAME
from streamledger.domain.notification import Kind
from streamledger.readmodel.queries.sessions import Page, Queries

LAST_MAX: Final = 10_000


@click.command()
@click.option("--stream", "stream_id", help="Only events of this stream.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice([kind.value for kind in Kind]),
    help="May be repeated.",
)
@click.option(
    "--last",
    type=click.IntRange(0, LAST_MAX),
    default=10,
    show_default=True,
    help="Begin so many events back.",
)
@click.option("--after", type=click.IntRange(min=0), help="Begin after this position instead.")
@click.option("--count", type=click.IntRange(min=1), help="End after so many events.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
@source_options
def tail(
    stream_id: str | None,
    kinds: tuple[str, ...],
    last: int,
    after: int | None,
    count: int | None,
    as_json: bool,
    **source: object,
) -> None:
    """Follow the ledger: each event as it is stored, until Ctrl-C.

    --last counts events of the whole ledger. A server that starts anew is followed on from where it was.
    """
    asked = source_of(source)
    if after is None:
        status = asked.ask(Page[ProjectionStatus], _projections, "/v1/projections", {})
        after = max(0, max((each.head for each in status.items), default=0) - last)
    left = count

    def on_event(event: LedgerEntry) -> bool:
        nonlocal left
        if as_json:
            say_json(event)
        else:
            say(_line(event))
        left = None if left is None else left - 1
        return left != 0

    asked.follow(after, stream_id, frozenset(map(Kind, kinds)) or None, on_event)


async def _projections(queries: Queries) -> Page[ProjectionStatus]:
    return Page(await queries.projections())


def _line(event: LedgerEntry) -> str:
    kind = KIND_BY_STORED_NAME.get(event.name)
    event_type = event.notification.get("event_type")
    named = kind.value if kind is not None else f"type {event_type}" if event_type is not None else event.name
    who = f"{event.stream_id or ''} {event.sequence or ''}".rstrip()
    return f"{event.position:>8} {local(event.received_at)} {named:<13} {who}"
