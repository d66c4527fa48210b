"""`streamledger audit`: what was received on each day, and which deliveries an auditor should look at."""

import csv
import sys
from collections.abc import Iterable, Sequence
from typing import Final

import click
import msgspec
from rich.table import Table

from streamledger import bootstrap
from streamledger.cli.options import console, json_option
from streamledger.cli.source import at, source_of, source_options
from streamledger.cli.terminal import printable, say, say_json
from streamledger.cli.times import WHEN, local, zone
from streamledger.domain.delivery_answers import AuditDay, AuditReport, Suspicious
from streamledger.operations.csv_cells import csv_cell
from streamledger.readmodel.queries.audit import (
    LISTED_BY_DEFAULT,
    SUSPICIOUS_CLASSES,
    AuditQueries,
    AuditScope,
)
from streamledger.readmodel.queries.sessions import LIMIT_MAX

DAY_COLUMNS: Final = AuditDay.__struct_fields__
DAYS_COLUMNS: Final = 160
"""A terminal so wide has room for all numbers of a day beside each other."""
SUSPICIOUS_COLUMNS: Final = tuple(
    field.encode_name for field in msgspec.structs.fields(Suspicious) if field.name != "evidence"
)


@click.command()
@click.option(
    "--since", "--from", "since_ms", type=WHEN, help="First day; by default six days before --until."
)
@click.option("--until", "--to", "until_ms", type=WHEN, help="Up to this time, not included; by default now.")
@click.option("--stream", "stream_id", help="Only deliveries of this stream.")
@click.option(
    "--class",
    "classes",
    multiple=True,
    type=click.Choice(SUSPICIOUS_CLASSES),
    help="List only these; may be repeated. By default all but released and signed_early.",
)
@click.option("--limit", type=click.IntRange(0, LIMIT_MAX), default=50, show_default=True)
@click.option("--suspicious", "only_suspicious", is_flag=True, help="Leave the numbers of the days out.")
@click.option("--csv", "as_csv", is_flag=True, help="CSV: the days, or with --suspicious the list.")
@json_option
@source_options
def audit(
    since_ms: int | None,
    until_ms: int | None,
    stream_id: str | None,
    classes: tuple[str, ...],
    limit: int,
    only_suspicious: bool,
    as_csv: bool,
    as_json: bool,
    **source: object,
) -> None:
    """Report what was received on each UTC day, and list suspicious deliveries with what speaks against them.

    Counts what is in the ledger and in the quarantine; what was only counted, because the quarantine was
    full, has no day and is in `streamledger doctor`. docs/forensics.md explains classes and evidence.
    """
    scope = AuditScope.of(
        since_ms,
        until_ms,
        bootstrap.now_us() // 1000,
        stream_id=stream_id,
        classes=classes or LISTED_BY_DEFAULT,
    )
    report = source_of(source).ask(
        AuditReport,
        lambda queries: AuditQueries(queries.pool).report(scope, limit),
        "/v1/audit",
        {
            "from": at(since_ms),
            "to": at(until_ms),
            "stream_id": stream_id,
            "class": ",".join(classes) or None,
            "limit": limit,
        },
    )
    if as_json:
        say_json(report)
    elif as_csv and only_suspicious:
        _write_csv(SUSPICIOUS_COLUMNS, report.suspicious)
    elif as_csv:
        _write_csv(DAY_COLUMNS, report.days)
    else:
        _print(report, only_suspicious=only_suspicious)


def _print(report: AuditReport, *, only_suspicious: bool) -> None:
    of_stream = f" of the stream {report.stream_id}" if report.stream_id else ""
    say(f"Deliveries{of_stream} received from {report.from_} to {report.to}")
    received = [day for day in report.days if day.received or day.believed]
    if not only_suspicious:
        if received:
            _print_days(received)
        else:
            say("None.")
    early = sum(day.signed_early for day in report.days)
    if early and not only_suspicious:
        say(
            "Signed more than a minute before what they report, perhaps with a captured signature:"
            f" {early}; --class signed_early lists them."
        )
    if report.suspicious:
        say(f"\nSuspicious, latest first (times {zone()}):")
    elif received:
        say("Nothing suspicious.")
    for each in report.suspicious:
        place = f"position {each.position}" if each.position else f"quarantine {each.quarantine_id}"
        say(f"\n{local(each.received_at)}  {each.class_}  {place}")
        say(f"  {printable(_subject(each))}")
        if each.would_be and each.would_be != each.class_:
            say(f"  were it believed: {each.would_be}")
        if each.in_words:
            say(f"  {printable(each.in_words)}")
    if report.more:
        say("\nThere are more: raise --limit, or narrow --from, --to, --stream, --class.")


def _print_days(days: Sequence[AuditDay]) -> None:
    out = console()
    if out.width >= DAYS_COLUMNS:
        out.print(_days_table(days))
        return
    for day in days:  # its numbers have no room beside each other
        told = [
            f"{name.replace('_', ' ')} {getattr(day, name)}" for name in DAY_COLUMNS[1:] if getattr(day, name)
        ]
        out.print(f"{day.day}  {', '.join(told)}")


def _days_table(days: Sequence[AuditDay]) -> Table:
    table = Table("day", *(name.replace("_", " ") for name in DAY_COLUMNS[1:]))
    for column in table.columns[1:]:
        column.justify = "right"
    for day in days:
        table.add_row(day.day, *(str(getattr(day, name) or "") for name in DAY_COLUMNS[1:]))
    if len(days) > 1:
        sums = [sum(getattr(day, name) for day in days) for name in DAY_COLUMNS[1:]]
        table.add_section()
        table.add_row("in all", *(str(number or "") for number in sums))
    return table


def _subject(each: Suspicious) -> str:
    parts = [f"from {each.source_ip or 'an unknown address'}"]
    if each.event_type is not None:
        parts.append(f"event type {each.event_type}")
    if each.stream_id is not None:
        parts.append(f"stream {each.stream_id}")
    if each.sequence is not None:
        parts.append(f"sequence {each.sequence}")
    if each.first_position is not None:
        parts.append(f"first: position {each.first_position}, {local(each.first_received_at)}")
    return ", ".join(parts)


def _write_csv(columns: Sequence[str], rows: Iterable[msgspec.Struct]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        fields = msgspec.to_builtins(row)
        writer.writerow([_cell(fields[column]) for column in columns])


def _cell(value: object) -> object:
    """A value as a cell: texts of strangers must not become formulas of a spreadsheet, nor move its rows."""
    if isinstance(value, str):
        return csv_cell(printable(value))
    return "" if value is None else value
