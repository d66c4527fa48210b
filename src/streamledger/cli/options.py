"""Options that several commands share, and how they become settings."""

import getpass
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Column, Table

from streamledger import settings as settings_module
from streamledger.cli.terminal import printable
from streamledger.settings import Settings

PIPE_COLUMNS: Final = 200
WIDE_COLUMNS: Final = 120
"""From here on tables show what 80 columns have no room for."""
STORE_FLAGS: Final = ("data_dir", "database_url")
Command = TypeVar("Command", bound=Callable[..., Any])
Option = Callable[[Command], Command]


def together(*options: Option[Any]) -> Option[Command]:
    """Options that several commands share, as one decorator."""

    def with_options(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return with_options


store_options: Final = together(
    click.option("--data-dir", type=click.Path(path_type=Path), help="Directory of the embedded PostgreSQL."),
    click.option("--database-schema", help="PostgreSQL schema that holds the ledger."),
    click.option("--database-url", help="External PostgreSQL, 15 or newer, instead of the embedded one."),
    click.option("--config", "config", type=click.Path(path_type=Path), help="TOML file with settings."),
)
"""Where the ledger is: --data-dir or --database-url, and --config."""
json_option: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
"""--json for reading commands."""


def console() -> Console:
    """Where tables go: as wide as the terminal, and wide enough for a pipe to lose nothing.

    Text is text: a stream named `[/red]` or `:smile:` by a stranger is no markup of ours.
    """
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_COLUMNS
    return _Terminal(width=width, markup=False, emoji=False, highlight=False)


def is_wide(out: Console) -> bool:
    """Whether there is room for more than what fits into 80 columns."""
    return out.width >= WIDE_COLUMNS


def plain_table(*columns: str | Column, fold: str) -> Table:
    """A table without frames, whose cells stay whole but for those of its last column, which fold."""
    whole = [each if isinstance(each, Column) else Column(each, no_wrap=True) for each in columns]
    return Table(*whole, folded(fold), box=None, pad_edge=False, padding=(0, 1, 0, 0))


def folded(name: str) -> Column:
    """A column whose cells go on in the next line where they have no room."""
    return Column(name, overflow="fold")


class _Terminal(Console):
    """A console through which no text reaches the terminal as it was sent."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(printable(segment.text, keep="\n"), segment.style)


def user_name() -> str:
    """Who runs the command: acts in the ledger are signed `cli:NAME`."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"


def load_settings(config: Path | None = None, **flags: object) -> Settings:
    """The settings in force: flags over environment over file over defaults."""
    return settings_module.load(file=config, flags=flags)


def store_settings(config: Path | None, **flags: object) -> Settings:
    """The settings of a command that needs the store itself.

    Raises UsageError when the settings name a server: what is listed there must not be changed elsewhere.
    """
    settings = load_settings(config, **flags)
    if settings.server_url and not any(flags.get(name) is not None for name in STORE_FLAGS):
        raise click.UsageError(
            "this command needs the store itself, and STREAMLEDGER_SERVER_URL names a server:"
            " give --data-dir or --database-url, on a machine that reaches it"
        )
    return settings
