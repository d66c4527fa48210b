"""Options that several commands share, and how they become settings."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from rich.console import Console

from streamledger import settings as settings_module
from streamledger.settings import Settings

PIPE_COLUMNS: Final = 200

Command = TypeVar("Command", bound=Callable[..., Any])


def store_options(command: Command) -> Command:
    """Where the ledger is: --data-dir or --database-url, and --config."""
    for option in (
        click.option("--config", "config", type=click.Path(path_type=Path), help="TOML file with settings."),
        click.option("--database-url", help="External PostgreSQL, 15 or newer, instead of the embedded one."),
        click.option("--database-schema", help="PostgreSQL schema that holds the ledger."),
        click.option(
            "--data-dir", type=click.Path(path_type=Path), help="Directory of the embedded PostgreSQL."
        ),
    ):
        command = option(command)
    return command


def json_option(command: Command) -> Command:
    """--json for reading commands."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(command)


def console() -> Console:
    """Where tables go: as wide as the terminal, and wide enough for a pipe to lose nothing.

    Text is text: a stream named `[/red]` or `:smile:` by a stranger is no markup of ours.
    """
    width = None if sys.stdout.isatty() else PIPE_COLUMNS
    return Console(width=width, markup=False, emoji=False, highlight=False)


def printable(text: str) -> str:
    """A stranger's text without what a terminal would obey, such as the escape character."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def load_settings(config: Path | None = None, **flags: object) -> Settings:
    """The settings in force: flags over environment over file over defaults."""
    return settings_module.load(file=config, flags=flags)
