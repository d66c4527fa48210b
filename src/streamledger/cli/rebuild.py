"""`streamledger rebuild`: the read model anew from history, with progress, a diff, and equal digests."""

import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from streamledger import bootstrap
from streamledger.cli.all_rows import AllRows
from streamledger.cli.change_words import lines_of
from streamledger.cli.options import json_option, store_options, store_settings
from streamledger.cli.progress import shown
from streamledger.cli.terminal import say
from streamledger.domain.errors import ParameterInvalid
from streamledger.operations.rebuild import EXAMPLES_KEPT_MAX, Order, rebuild
from streamledger.operations.rebuilt import Rebuilt
from streamledger.operations.repair_stream import Repaired, repair_stream
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.projections.view import Projection
from streamledger.readmodel.rebuild.building import POSITION_MAX
from streamledger.readmodel.rebuild.comparison import Difference
from streamledger.readmodel.rebuild.worker_pool import RebuildCancelled

PATIENCE_S: Final = 10.0
"""How long the first signal is given before another is heard."""


def named_projections(names: tuple[str, ...]) -> tuple[Projection, ...]:
    """The projections of these names, all without any. Raises ParameterInvalid."""
    known = {each.name: each for each in PROJECTIONS}
    for name in names:
        if name not in known:
            raise ParameterInvalid(name="PROJECTION", expected=f"one of {', '.join(known)}", got=repr(name))
    return tuple(each for each in PROJECTIONS if not names or each.name in names)


@click.command(name="rebuild")
@click.argument("projections", nargs=-1, metavar="[PROJECTION...]")
@click.option("--workers", type=click.IntRange(1, 16), help="Processes; as many as processors by default.")
@click.option("--stream", "stream_id", help="Put only this stream's rows right.")
@click.option(
    "--to", "to_position", type=click.IntRange(1, POSITION_MAX),
    help="Fold history up to this position only; what follows live goes on from there.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option(
    "--examples",
    type=click.IntRange(0, 10_000),
    default=10,
    show_default=True,
    help="Rows a dry run shows in full.",
)
@json_option
@store_options
def rebuild_command(
    config: Path | None,
    projections: tuple[str, ...],
    workers: int | None,
    stream_id: str | None,
    to_position: int | None,
    dry_run: bool,
    examples: int,
    as_json: bool,
    **store: object,
) -> None:
    """Build the read model anew from the ledger, beside the live tables, and switch when it is whole.

    Readers and callbacks go on meanwhile. Ctrl-C at any time leaves the live tables as they were.
    """
    settings = store_settings(config, **store)
    wanted = named_projections(projections)
    all_rows = AllRows()
    if stream_id is not None:
        if to_position is not None:
            raise click.UsageError("--to is not for --stream: its rows must stand where the others stand")
        with (
            ended_by_signals("the repair of the stream") as is_cancelled,
            bootstrap.open_store(settings) as database,
        ):
            repaired = repair_stream(
                database,
                wanted,
                stream_id,
                clock_us=bootstrap.now_us,
                dry_run=dry_run,
                examples_max=examples,
                on_row=all_rows.take if as_json else lambda *_: None,
                is_cancelled=is_cancelled,
                limits=settings.suspect_limits(),
            )
        all_rows.write(repaired, sys.stdout.buffer) if as_json else show_repaired(repaired)
        return
    order = Order(
        projections=wanted,
        purpose="dry_run" if dry_run else "rebuild",
        workers=workers or 0,
        examples_max=max(examples, EXAMPLES_KEPT_MAX),
        to_position=to_position,
        limits=settings.suspect_limits(),
    )
    with (
        ended_by_signals("the dry run" if dry_run else "the rebuild") as is_cancelled,
        bootstrap.open_store(settings) as database,
        shown() as on_progress,
    ):
        done = rebuild(
            database,
            order,
            clock_us=bootstrap.now_us,
            on_progress=on_progress,
            is_cancelled=is_cancelled,
            on_row=all_rows.take if as_json else lambda *_: None,
        )
    if as_json:
        all_rows.write(done, sys.stdout.buffer)
    else:
        show(done, examples)


@contextmanager
def ended_by_signals(work: str) -> Iterator[Callable[[], bool]]:
    """SIGTERM and SIGHUP end the work as Ctrl-C does: what was begun is cleared away, and it is said
    that this work was cancelled.

    Gives what tells whether one has come. Once that is asked, whoever asks ends the work: an exception in
    the midst of a statement would leave its connection in disorder. Signals that follow at once, of one who
    does not like to wait, do not disturb the clearing away. One that was ignored when the command began stays
    so: under `nohup` a closed terminal ends nothing, nor Ctrl-C what a script has put behind it.
    """
    came_s = 0.0
    is_asked = False

    def end(*_: object) -> None:
        nonlocal came_s
        is_first = not came_s
        if is_first or time.monotonic() - came_s > PATIENCE_S:
            came_s = time.monotonic()
            if not (is_first and is_asked):
                raise KeyboardInterrupt

    def has_come() -> bool:
        nonlocal is_asked
        is_asked = True
        return bool(came_s)

    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    found = [getattr(signal, name) for name in names]
    heard = [number for number in found if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, end) for number in heard}
    try:
        yield has_come
    except (KeyboardInterrupt, RebuildCancelled) as error:
        raise RebuildCancelled(work=work) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def show(done: Rebuilt, examples: int = 0) -> None:
    """The outcome in words, with so many rows of each table."""
    words = {"rebuild": "Rebuilt", "dry_run": "Tried", "verify": "Verified"}
    say(
        f"{words[done.purpose]} {', '.join(each.projection for each in done.standings)}:"
        f" {done.events} events in {done.seconds} s ({done.events_per_s:,.0f}/s), position {done.position},"
        f" largest process {done.memory_bytes_max / 2**20:.0f} MB."
    )
    for standing in done.standings:
        if standing.equal is None and standing.live_position == standing.rebuilt_position:
            verdict = f"not compared: version {standing.live_version} of the rules made the live rows"
        elif standing.equal is None:
            verdict = f"not compared: the live rows were at position {standing.live_position}"
        elif standing.equal:
            verdict = f"digest {standing.rebuilt_digest}, equal to that of the live rows"
        else:
            verdict = f"digest {standing.rebuilt_digest}, live was {standing.live_digest}: DIFFERENT"
        say(f"  {standing.projection}: {verdict}")
    for name, count in done.parked.items():
        if count:
            say(f"  {name}: {count} events cannot be taken in and are parked (streamledger parked list)")
    for line in lines_of(done.changes, examples):
        say(line)
    show_differences(done.differences, examples)
    if done.purpose == "dry_run" and not any(map(is_different, done.differences)):
        say("A rebuild would change nothing.")


def show_repaired(done: Repaired) -> None:
    """The outcome of a repair in words."""
    word = "Repaired" if done.repaired else "Tried"
    say(f"{word} {done.stream_id}: {done.events} events.")
    for line in lines_of(done.changes):
        say(line)
    show_differences(done.differences)
    if not any(map(is_different, done.differences)):
        say("Its rows were right.")


def is_different(each: Difference) -> bool:
    """Whether any row differs."""
    return bool(each.added or each.removed or each.changed)


def show_differences(differences: Sequence[Difference], examples: int | None = None) -> None:
    """Counts by table and so many rows, all that are there without a number, field by field."""
    console = Console(width=None if sys.stdout.isatty() else 140, markup=False, emoji=False)
    for each in differences:
        say(f"  {each.table}: {each.changed} changed, {each.added} added, {each.removed} removed")
        for row in each.examples[:examples]:
            key = " ".join(str(value) for value in row.key.values() if value != "")
            table = Table("field", "live", "from history", title=f"{row.kind}: {key}", title_justify="left")
            for field, (live, made) in row.fields.items():
                table.add_row(field, str(live), str(made))
            if row.fields:
                console.print(table)
            else:
                say(f"    {row.kind}: {key}")
