"""`streamledger simulate`: plays Tencent Cloud against a receiver and accounts for every try."""

import asyncio
import contextlib
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from streamledger.cli.files import read_lines
from streamledger.cli.terminal import say
from streamledger.domain.errors import StreamledgerError
from streamledger.operations.private_files import open_private
from streamledger.simulator.connection import target
from streamledger.simulator.delivery import Era, Faults, Signing, plan
from streamledger.simulator.history import generate, randomness
from streamledger.simulator.incident import read_incident
from streamledger.simulator.oddities import of_all, with_oddities
from streamledger.simulator.player import Pace, Player
from streamledger.simulator.report import Report, Tally
from streamledger.simulator.truth import Shape

_LINE_EVERY_S = 5.0
_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600}


class _Speed(click.ParamType[float | None]):
    name = "speed"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | None:
        with contextlib.suppress(ValueError):
            speed = 0.0 if value == "max" else float(str(value))
            if 0 <= speed < float("inf"):
                return speed
        message = f"expected virtual seconds per real second, or max, got {value}"
        raise click.BadParameter(message, ctx=ctx, param=param)


class _Span(click.ParamType[int]):
    name = "span"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if matched := re.fullmatch(r"(\d{1,7})([smh]?)", str(value)):
            return int(matched[1]) * _UNITS_S[matched[2]]
        message = f"expected a number of seconds, or one with s, m or h, got {value}"
        raise click.BadParameter(message, ctx=ctx, param=param)


def _share(name: str, default: float, text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    kind = click.FloatRange(0, 1)
    return click.option(name, type=kind, default=default, show_default=True, metavar="SHARE", help=text)


@click.command(name="simulate")
@click.option("--url", default="http://127.0.0.1:8470", show_default=True, metavar="URL",
              help="The receiver; /callbacks/tencent is added when it has no path.")  # fmt: skip
@click.option(
    "--key", metavar="KEY", help="Callback key; by default the first of STREAMLEDGER_CALLBACK_KEYS."
)
@click.option("--second-key", metavar="KEY",
              help="Key of a second callback template, which reports every fact too.")  # fmt: skip
@click.option("--token", metavar="PATH_TOKEN", envvar="STREAMLEDGER_CALLBACK_TOKEN", show_envvar=True,
              help="Secret last part of the path.")  # fmt: skip
@click.option(
    "--streams", type=click.IntRange(1, 100_000), default=8, show_default=True, help="Stream names."
)
@click.option("--sessions-per-stream", type=click.IntRange(1, 1_000), default=3, show_default=True,
              help="Pushes after one another under a name; backup pushes come in addition.")  # fmt: skip
@click.option(
    "--duration", type=_Span(), default="30m", show_default=True, help="Length of the virtual line."
)
@click.option("--screenshot-interval", type=_Span(), default="10s", show_default=True, help="0 takes none.")
@click.option("--speed", type=_Speed(), default="60", show_default=True,
              help="Virtual seconds per real second; max or 0 for as fast as it can.")  # fmt: skip
@click.option("--live", is_flag=True, help="Begin the line now, at speed 1, instead of ending it now.")
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed, another history.")
@click.option("--starts-at", type=click.IntRange(min=0), metavar="UNIX_SECONDS",
              help="Begin the line here: with the seed, this repeats a play.")  # fmt: skip
@_share("--duplicates", 0.05, "Share of calls sent again although acknowledged.")
@_share("--reorder", 0.1, "Share of calls that come up to 90 s late, so that others overtake them.")
@_share("--lost-acknowledgements", 0.02, "Share of calls whose answer is not waited for; a retry follows.")
@_share("--expired", 0.01, "Share of facts also sent with a t that has passed.")
@_share("--forged", 0.01, "Share of facts imitated under a wrong signature.")
@_share("--unsigned", 0.01, "Share of facts imitated without t and sign.")
@_share("--malformed", 0.01, "Share of facts also sent in a form that cannot be read.")
@_share("--oddities", 0.0, "Share of streams, sessions and files that are odd: names, times, tasks, rivals.")
@_share("--altered", 0.0, "Share of facts also sent rightly signed with another content: conflicts.")
@click.option("--renew-t/--no-renew-t", default=False, show_default=True, help="Sign each retry anew.")
@click.option("--validity", type=_Span(), default="600s", show_default=True, help="From signing to t.")
@click.option("--retries", type=click.Choice([era.value for era in Era]), default="today", show_default=True,
              help="Which of the documented schedules.")  # fmt: skip
@click.option("--outage", type=(_Span(), _Span()), metavar="FROM TO",
              help="Part of the virtual line in which nothing gets through.")  # fmt: skip
@click.option("--from", "incident", type=click.Path(exists=True, path_type=Path), metavar="FILE",
              help="Play an exported incident instead, in its order and spacing.")  # fmt: skip
@click.option("--connections", type=click.IntRange(1, 1_000), default=16, show_default=True,
              help="Calls under way at once, at most; by default 1 for an incident.")  # fmt: skip
@click.option("--truth", type=click.Path(dir_okay=False, writable=True, path_type=Path),
              help="Write the true sessions to this file, as JSON.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_context
def simulate(
    ctx: click.Context,
    /,
    *,
    url: str,
    key: str | None,
    second_key: str | None,
    token: str | None,
    streams: int,
    sessions_per_stream: int,
    duration: int,
    screenshot_interval: int,
    speed: float | None,
    live: bool,
    seed: int,
    starts_at: int | None,
    oddities: float,
    renew_t: bool,
    validity: int,
    retries: str,
    outage: tuple[int, int] | None,
    incident: Path | None,
    connections: int,
    truth: Path | None,
    as_json: bool,
    **shares: float,
) -> None:
    """Play Tencent Cloud: streams, sessions, recordings and screenshots, with the provider's retries.

    Exits with 1 when a genuine fact was never acknowledged, 3 when no receiver answers at the start.
    """
    if duration < 4 * sessions_per_stream:
        raise click.UsageError(f"--duration: expected at least 4 s per session, got {duration} s")
    if live:
        if starts_at is not None:
            raise click.UsageError("--live begins now: it cannot be joined with --starts-at")
        if speed != 1 and ctx.get_parameter_source("speed") is not click.core.ParameterSource.DEFAULT:
            raise click.UsageError("--live plays at speed 1: faster, its events would lie in the future")
        speed = 1.0
    now_s = int(time.time())
    if starts_at is None:
        starts_at = now_s if live else now_s - duration
    starts_at_ms = starts_at * 1000
    signing = Signing(key=key or _first_key(), validity_s=validity, renew_t=renew_t, second_key=second_key)
    if signing.key is None:
        click.echo("No key given: calls carry no t and no sign.", err=True)
    shape = Shape(
        streams=streams,
        sessions_per_stream=sessions_per_stream,
        duration_s=duration,
        screenshot_interval_s=screenshot_interval,
    )
    faults = Faults(**shares)  # their names are those of the options
    era = Era(retries)
    if incident is not None:
        history, calls = read_incident(read_lines(incident))
        if ctx.get_parameter_source("connections") is click.core.ParameterSource.DEFAULT:
            connections = 1  # over several, what comes close together may be overtaken
        click.echo(f"{len(calls)} deliveries of {len(history.facts)} facts", err=True)
    else:
        history = generate(shape, starts_at_ms=starts_at_ms, random=randomness(seed, starts_at_ms, "history"))
        if oddities:
            odd = randomness(seed, starts_at_ms, "oddities")
            history = with_oddities(history, of_all(oddities), odd)
        calls = plan(
            history.facts,
            faults,
            random=randomness(seed, starts_at_ms, "faults"),
            era=era,
            signed=signing.key is not None,
            twins=signing.second_key is not None,
        )
        click.echo(
            f"{len(history.sessions)} sessions, {len(history.facts)} facts"
            f" (repeat with --seed {seed} --starts-at {starts_at})",
            err=True,
        )
    if truth is not None:
        with open_private(truth, "wb") as file:
            file.write(msgspec.json.encode(history.sessions) + b"\n")
    tally = Tally(history.facts)
    try:
        player = Player(
            calls,
            target(url, token),
            signing,
            starts_at_ms=history.starts_at_ms,
            pace=Pace(speed or None),
            on_try=tally.take,
            era=era,
            connections=connections,
            outage_s=outage,
        )
        report = _play(player, tally)
    except StreamledgerError as error:
        click.echo(f"Error: {error}", err=True)
        ctx.exit(error.exit_code)
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        _show(report)
    if report.facts_unacknowledged:
        ctx.exit(1)


def _first_key() -> str | None:
    """The key of the first entry `name:key` or `key`; None when nothing is set."""
    first = os.environ.get("STREAMLEDGER_CALLBACK_KEYS", "").split(",")[0].strip()
    return first.rpartition(":")[2].strip() or None


def _play(player: Player, tally: Tally) -> Report:
    async def played() -> None:
        async with _progress(tally):
            await player.play()

    began_s = time.monotonic()
    try:
        with asyncio.Runner(loop_factory=_event_loop()) as runner:
            runner.run(played())
    except KeyboardInterrupt:
        click.echo("Interrupted; what follows is what was done until then.", err=True)
    return tally.report(time.monotonic() - began_s)


def _event_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's where it exists (not on Windows): it sends about a quarter more."""
    try:
        import uvloop  # noqa: PLC0415 - not installed on Windows
    except ImportError:
        return None
    return uvloop.new_event_loop


@contextlib.asynccontextmanager
async def _progress(tally: Tally) -> AsyncIterator[None]:
    """Shows the facts acknowledged: a bar on a terminal, a line every 5 s elsewhere; both on stderr."""
    task = asyncio.create_task(_bar(tally) if sys.stderr.isatty() else _lines(tally))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _bar(tally: Tally) -> None:
    columns = (
        TextColumn("facts acknowledged"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[tries]} tries"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=tally.facts, tries=0)
        try:
            while True:
                progress.update(task, completed=tally.facts_acknowledged, tries=tally.tries)
                await asyncio.sleep(0.2)
        finally:
            progress.update(task, completed=tally.facts_acknowledged, tries=tally.tries)


async def _lines(tally: Tally) -> None:
    while True:
        await asyncio.sleep(_LINE_EVERY_S)
        click.echo(
            f"{tally.facts_acknowledged} of {tally.facts} facts acknowledged, {tally.tries} tries", err=True
        )


def _show(report: Report) -> None:
    ends = sorted({end for row in report.by_manner.values() for end in row})
    console = Console(width=None if sys.stdout.isatty() else 140)
    for title, rows in (("manner", report.by_manner), ("kind", report.by_kind)):
        table = Table(title=f"tries by {title}", title_justify="left")
        table.add_column(title)
        for end in ends:
            table.add_column(end.replace("_", " "), justify="right")
        for name, row in rows.items():
            table.add_row(name.replace("_", " "), *(str(row.get(end, "")) for end in ends))
        console.print(table)
    if latency := report.latency:
        click.echo(f"answers: p50 {latency.p50_ms} ms, p99 {latency.p99_ms} ms, max {latency.max_ms} ms")
    click.echo(
        f"tries: {report.tries} = {report.acknowledged} acknowledged + {report.refused} refused"
        f" + {report.failed} failed; {report.retries} of them retries;"
        f" {report.tries_per_s} per second for {report.took_s} s"
    )
    click.echo(f"facts: {report.facts_acknowledged} of {report.facts} acknowledged")
    for fact in report.unacknowledged:
        say(f"  never acknowledged: {fact.kind} {fact.stream_id} {fact.key} ({fact.tries} tries)")
