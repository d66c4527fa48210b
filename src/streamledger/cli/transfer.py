"""`streamledger export` and `streamledger import`: the ledger as lines of JSON, out and in."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import click
import msgspec
import psycopg

from streamledger import bootstrap
from streamledger.cli.files import FileDamaged, LineFile, read_lines
from streamledger.cli.options import json_option, store_options, store_settings, user_name
from streamledger.cli.progress_line import ProgressLine
from streamledger.cli.terminal import printable
from streamledger.domain.errors import ParameterInvalid
from streamledger.domain.instants import parse_instant_ms
from streamledger.ledger.acts import Actor
from streamledger.ledger.portable import Head, head_line
from streamledger.operations.export_events import Wanted, export_events, resumed
from streamledger.operations.export_table import TABLE_KEYS, export_csv, export_parquet
from streamledger.operations.import_events import Imported, import_events
from streamledger.operations.imported_delivery import ImportRules
from streamledger.postgres.patience import WRITING
from streamledger.readmodel.rebuild.building import POSITION_MAX

SAY_EVERY_S: Final = 2.0


def _instant_us(name: str, text: str | None) -> int | None:
    try:
        return None if text is None else parse_instant_ms(text) * 1000
    except (ValueError, OverflowError) as error:
        raise ParameterInvalid(
            name=name, expected="RFC 3339 with an offset, or whole Unix seconds", got=repr(text)
        ) from error


@click.command(name="export")
@click.argument("output", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), default="-")
@click.option("--stream", "stream_id", help="Only this stream's events.")
@click.option("--from", "received_from", help="Only what was received at this time or later.")
@click.option("--to", "received_to", help="Only what was received before this time.")
@click.option(
    "--after",
    type=click.IntRange(0, POSITION_MAX),
    default=0,
    show_default=True,
    help="Begin after this position.",
)
@click.option("--resume", is_flag=True, help="Go on where OUTPUT ends.")
@click.option("--redact", "redacted", is_flag=True,
              help="Take secrets and signatures out: a file to hand on, for simulate --from.")  # fmt: skip
@click.option("--table", type=click.Choice(list(TABLE_KEYS)), help="Instead: a table of the read model.")
@click.option(
    "--format", "table_format", type=click.Choice(["csv", "parquet"]),
    help="Of the table; by default as OUTPUT's name says, else csv. Parquet needs streamledger[parquet].",
)  # fmt: skip
@store_options
def export_command(
    config: Path | None,
    output: Path,
    stream_id: str | None,
    received_from: str | None,
    received_to: str | None,
    after: int,
    resume: bool,
    redacted: bool,
    table: str | None,
    table_format: str | None,
    **store: object,
) -> None:
    """Write the ledger to OUTPUT (the standard output by default), one event a line, as JSON.

    Bodies are kept to the byte. A name that ends in .gz is compressed. Bodies hold secrets (txSecret) unless
    redacted; tables are always redacted.
    """
    wanted = Wanted(
        after=after,
        stream_id=stream_id,
        from_us=_instant_us("--from", received_from),
        to_us=_instant_us("--to", received_to),
        redacted=redacted,
    )
    if table is not None and (wanted.head != Head(redacted=redacted) or after or resume):
        raise click.UsageError("--table is written whole: not with --stream, --from, --to, --after, --resume")
    if table is None and table_format is not None:
        raise click.UsageError("--format is for --table; the ledger is written as lines of JSON")
    if resume and str(output) == "-":
        raise click.UsageError("--resume needs a file to go on with")
    settings = store_settings(config, **store)
    with bootstrap.open_connection(settings, "export") as (_, connection):
        if table is not None:
            _export_table(connection, table, output, table_format)
        else:
            _export(connection, wanted, output, resume=resume)


def _export_table(
    connection: psycopg.Connection[Any], table: str, output: Path, table_format: str | None
) -> None:
    if table_format == "parquet" or (table_format is None and output.suffix == ".parquet"):
        if str(output) == "-":
            raise click.UsageError("Parquet needs a file to be written to")
        rows = export_parquet(connection, table, output)
    else:
        with LineFile(output, resume=False) as file:
            rows = export_csv(connection, table, file.write)
    click.echo(f"{rows} rows of {table}", err=True)


def _export(connection: psycopg.Connection[Any], wanted: Wanted, output: Path, *, resume: bool) -> None:
    line = ProgressLine(SAY_EVERY_S)
    found = LineFile(output, resume=resume)
    if found.last_line:
        wanted = resumed(wanted, str(output), found.first_line, found.last_line)
    with found as file:
        if not found.last_line:
            file.write(head_line(wanted.head))
        done = export_events(
            connection,
            wanted,
            file.write,
            lambda done: line.count(done.events, f"events, at position {done.position}"),
        )
    line.end()
    click.echo(f"{done.events} events, up to position {done.position}", err=True)


@click.command(name="import")
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True),
)
@click.option("--plain", is_flag=True, help="Each line is a body, or an object with body and received_at.")
@click.option(
    "--with-acts", is_flag=True,
    help="Also releases and acts of the other ledger, and events that this version cannot read.",
)  # fmt: skip
@json_option
@store_options
def import_command(
    config: Path | None,
    files: tuple[Path, ...],
    plain: bool,
    with_acts: bool,
    as_json: bool,
    **store: object,
) -> None:
    """Append the events of FILES to the ledger, in their order. What is there already is passed over.

    Each signature is checked again with the callback keys of the settings; what they do not verify is marked
    as believed because of the import. Importing again after an interruption goes on. Exits with 1 when a line
    cannot be read, or differs from the delivery of the same id that is there.
    """
    settings = store_settings(config, **store)
    rules = ImportRules(
        keys=bootstrap.key_ring(settings).keys,
        body_bytes_max=settings.body_bytes_max,
        now_us=bootstrap.now_us(),
        with_acts=with_acts,
    )
    line = ProgressLine(SAY_EVERY_S)
    found: dict[str, Imported] = {}
    with bootstrap.open_connection(settings, "import", make=True, patience=WRITING) as (database, connection):
        ledger = bootstrap.open_ledger(database)
        for file in files:
            on_progress: Callable[[Imported], None] = lambda done: line.count(done.lines, "lines")  # noqa: E731  # one use
            damages: list[FileDamaged] = []
            done = import_events(
                connection,
                ledger,
                _whole_lines(file, damages),
                plain=plain,
                rules=rules,
                actor=Actor(by=f"cli:{user_name()}", reason="import", at_us=bootstrap.now_us()),
                source=printable(file.name)[:200],
                on_progress=on_progress,
            )
            done.invalid += len(damages)
            done.faults += map(str, damages)
            found[str(file)] = done
    line.end()
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        for name, done in found.items():
            click.echo(
                f"{name}: {done.stored} events stored, {done.known} known already, {done.invalid} invalid"
            )
            if done.differing:
                click.echo(f"  {done.differing} differ from what is known, and the ledger's own stays")
            if done.left_out:
                click.echo(
                    f"  {done.left_out} releases, acts or unreadable events of another ledger were left out;"
                    " --with-acts takes them"
                )
            for fault in done.faults:
                click.echo(f"  {fault}")
    if any(done.invalid or done.differing for done in found.values()):
        raise SystemExit(1)


def _whole_lines(file: Path, damages: list[FileDamaged]) -> Iterator[bytes]:
    """The lines before a file's damage, which is noted: they are worth having."""
    try:
        yield from read_lines(file)
    except FileDamaged as error:
        damages.append(error)
