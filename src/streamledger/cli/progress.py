"""How far a rebuild is, on stderr: a bar for each phase on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from streamledger.readmodel.rebuild.record import Progress

LINE_EVERY_S: Final = 2.0
PHASES: Final = {
    "": "preparing",
    "folding": "folding events",
    "indexing": "making indexes",
    "catching_up": "catching up",
    "comparing": "comparing",
    "switching": "switching",
}


@contextmanager
def shown() -> Iterator[Callable[[Progress], None]]:
    """Shows progress: bars on a terminal, a line for each phase and every two seconds elsewhere."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    columns = (
        TextColumn("{task.description:<14}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=Console(stderr=True)) as bar:
        bars = _Bars(bar)
        yield bars
        bars.end()


class _Bars:
    """A bar for the phase under way, under those of the phases before."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._phase: str | None = None
        self._task = TaskID(0)

    def __call__(self, progress: Progress) -> None:
        done, total = _counts(progress)
        if progress.phase != self._phase:
            self.end()
            self._phase = progress.phase
            self._task = self._bar.add_task(PHASES[progress.phase], total=total, pace="")
        self._bar.update(self._task, completed=done, total=total, pace=_pace(progress))

    def end(self) -> None:
        """The phase is through."""
        if self._phase is None:
            return
        task = next(each for each in self._bar.tasks if each.id == self._task)
        total = task.total or 1
        self._bar.update(self._task, completed=total, total=total)


class _Lines:
    def __init__(self) -> None:
        self._phase = ""
        self._said_s = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        now_s = time.monotonic()
        if progress.phase == self._phase and now_s - self._said_s < LINE_EVERY_S:
            return
        self._phase, self._said_s = progress.phase, now_s
        done, total = _counts(progress)
        unit = "indexes" if progress.phase == "indexing" else "events"
        count = f"{done} of {total} {unit}" if total is not None else f"{done} {unit}" if done else ""
        click.echo(f"{PHASES[progress.phase]}: {count} {_pace(progress)}".rstrip(" :"), err=True)


def _counts(progress: Progress) -> tuple[int, int | None]:
    """How much of the phase is done, and of how much; None where nobody can say."""
    if progress.phase == "folding":
        return progress.events_done, max(progress.events_total, progress.events_done)
    if progress.phase == "indexing":
        return progress.indexes_done, progress.indexes_total or None
    return progress.events_done, None


def _pace(progress: Progress) -> str:
    left = f"{progress.eta_s:.0f} s left" if progress.eta_s else ""
    rate = f"{progress.events_per_s:,.0f}/s" if progress.events_per_s and progress.phase == "folding" else ""
    return ", ".join(filter(None, (rate, left)))
