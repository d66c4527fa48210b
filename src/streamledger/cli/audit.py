"""`streamledger audit`: what was received on each day, and which deliveries an auditor should look at."""

import csv
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import click
import msgspec
from rich.table import Table

from streamledger import bootstrap
from streamledger.cli.options import console, json_option, load_settings, printable, store_options
from streamledger.cli.sessions import ask, instant_option
from streamledger.domain.delivery_answers import AuditDay, AuditReport, Suspicious
from streamledger.readmodel.audit_queries import (
    LISTED_BY_DEFAULT,
    SUSPICIOUS_CLASSES,
    AuditQueries,
    AuditScope,
)
from streamledger.readmodel.queries import LIMIT_MAX

DAY_COLUMNS: Final = AuditDay.__struct_fields__
SUSPICIOUS_COLUMNS: Final = tuple(
    field.encode_name for field in msgspec.structs.fields(Suspicious) if field.name != "evidence"
)
FORMULA_BEGINS: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\ufffd")
"""Also full-width, which some spreadsheets take for the same; and what stands for a control character."""


@click.command()
@click.option(
    "--from", "from_", help="First day (RFC 3339 or Unix seconds); by default six days before --to."
)
@click.option("--to", help="Up to this time, not included; by default now.")
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
@store_options
def audit(
    config: Path | None,
    from_: str | None,
    to: str | None,
    stream_id: str | None,
    classes: tuple[str, ...],
    limit: int,
    only_suspicious: bool,
    as_csv: bool,
    as_json: bool,
    **store: object,
) -> None:
    """Report what was received on each UTC day, and list suspicious deliveries with what speaks against them.

    Counts what is in the ledger and in the quarantine; what was only counted, because the quarantine was
    full, has no day and is in `streamledger doctor`. docs/forensics.md explains classes and evidence.
    """
    scope = AuditScope.of(
        instant_option("--from", from_),
        instant_option("--to", to),
        bootstrap.now_us() // 1000,
        stream_id=stream_id,
        classes=classes or LISTED_BY_DEFAULT,
    )
    report: AuditReport = ask(
        load_settings(config, **store), lambda queries: AuditQueries(queries.pool).report(scope, limit)
    )
    if as_json:
        click.echo(msgspec.json.encode(report))
    elif as_csv and only_suspicious:
        _write_csv(SUSPICIOUS_COLUMNS, report.suspicious)
    elif as_csv:
        _write_csv(DAY_COLUMNS, report.days)
    else:
        _print(report, only_suspicious=only_suspicious)


def _print(report: AuditReport, *, only_suspicious: bool) -> None:
    of_stream = f" of the stream {report.stream_id}" if report.stream_id else ""
    click.echo(f"Deliveries{of_stream} received from {report.from_} to {report.to}")
    received = [day for day in report.days if day.received or day.believed]
    if not only_suspicious:
        if received:
            console().print(_days_table(received))
        else:
            click.echo("None.")
    early = sum(day.signed_early for day in report.days)
    if early and not only_suspicious:
        click.echo(
            f"{early} were signed more than a minute before what they report, perhaps with a captured"
            " signature: list them with --class signed_early."
        )
    if report.suspicious:
        click.echo("\nSuspicious, latest first:")
    elif received:
        click.echo("Nothing suspicious.")
    for each in report.suspicious:
        place = f"position {each.position}" if each.position else f"quarantine {each.quarantine_id}"
        click.echo(f"\n{each.received_at}  {each.class_}  {place}")
        click.echo(f"  {printable(_subject(each))}")
        if each.would_be and each.would_be != each.class_:
            click.echo(f"  were it believed: {each.would_be}")
        if each.in_words:
            click.echo(f"  {printable(each.in_words)}")
    if report.more:
        click.echo("\nThere are more: raise --limit, or narrow --from, --to, --stream, --class.")


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
        parts.append(f"first: position {each.first_position}, {each.first_received_at}")
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
        value = printable(value)
        if value.lstrip().startswith(FORMULA_BEGINS):
            return "'" + value
    return "" if value is None else value
