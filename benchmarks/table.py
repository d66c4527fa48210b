"""Tables in Markdown: one a benchmark as it ends, and one of all in the end."""

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
"""Between these lines of docs/benchmarks.md `--write` puts the last run's table."""

_made: list[tuple[str, str, str]] = []
_conditions: dict[str, str] = {}


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, benchmark: str) -> None:
    """Print one benchmark's table, and keep its rows for the table of all."""
    print_rows(head, rows)
    for name, *cells in rows:
        found = [f"{cell} {title}".strip() for title, cell in zip(head[1:], cells, strict=True) if cell]
        _made.append((benchmark, name, ", ".join(found)))


def print_rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A Markdown table."""
    print("\n".join(lines_of(head, rows)), flush=True)


def lines_of(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    rule = "|" + "---|" * len(head)
    return ["| " + " | ".join(head) + " |", rule, *("| " + " | ".join(row) + " |" for row in rows)]


def note_condition(name: str, value: str) -> None:
    """Remember under what conditions the figures were found."""
    _conditions[name] = value


def summary() -> str:
    """The table of everything that was measured, with its conditions."""
    conditions = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": _output("git", "rev-parse", "--short", "HEAD")
        + (" with changes" if _output("git", "status", "--porcelain") else ""),
        "machine": f"{_processors()}, {platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        **_conditions,
    }
    lines = [", ".join(f"{name}: {value}" for name, value in conditions.items()), ""]
    return "\n".join([*lines, *lines_of(("benchmark", "what", "measured"), _made)])


def write_summary(path: Path) -> None:
    """Put the table between the two marks of a document; the rest of it stays. Raises ValueError."""
    text = path.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} lacks the lines {BEGIN} and {END}")
    path.write_text(f"{before}{begin}\n\n{summary()}\n\n{end}{after}")


def _output(*command: str) -> str:
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or ("" if command[1] == "status" else "unknown")


def _processors() -> str:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = ""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = f", {os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GB"
    return f"{count} processors{memory}"
