"""Writes docs/settings.md and docs/cli.md from the code: `make docs`. A test compares them."""

import copy
import typing
from pathlib import Path

import click

from streamledger.cli.main import cli
from streamledger.settings import CONFIG_VARIABLE, FIELDS, Secret

DOCS = Path(__file__).parent.parent / "docs"
_WIDTH = 100


def settings_page() -> str:
    """The page of all settings."""
    lines = [
        "# Settings",
        "",
        "<!-- Written by `make docs` from src/streamledger/settings. -->",
        "",
        "Each setting is a variable in the environment, a lower-case name in a TOML file, and for some a flag.",
        "Flags win over the environment, the environment over the file, the file over the default.",
        f"The file is named by `--config` or by the variable `{CONFIG_VARIABLE}`.",
        "It is TOML in UTF-8; a byte order mark is no harm. A path may begin with `~` or `~USER`.",
        "An unknown name or a value that does not fit ends the program with a sentence and exit code 2.",
        "",
        "| variable | default | what it is |",
        "|---|---|---|",
    ]
    for name, field in FIELDS.items():
        wanted, text = typing.get_args(field.type)[:2]
        default = "" if field.default is None else str(field.default)
        secret = " Secret: never shown." if Secret in typing.get_args(wanted) else ""
        lines.append(
            f"| `STREAMLEDGER_{name.upper()}` | {f'`{default}`' if default else ''} | {text}{secret} |"
        )
    return "\n".join(lines) + "\n"


def cli_page() -> str:
    """The page of all commands, as --help prints them."""
    lines = ["# Command line", "", "<!-- Written by `make docs` from --help. -->", ""]
    for path, command in _commands(cli, ("streamledger",)):
        fresh = copy.copy(command)
        vars(fresh)["_help_option"] = None  # click remembers the one of whichever run came first
        context = click.Context(
            fresh,
            info_name=" ".join(path),
            terminal_width=_WIDTH,
            max_content_width=_WIDTH,
            help_option_names=cli.context_settings["help_option_names"],
        )
        lines += [f"## {' '.join(path)}", "", "```", fresh.get_help(context), "```", ""]
    return "\n".join(lines)


def _commands(command: click.Command, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], click.Command]]:
    found = [(path, command)]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in sorted(command.list_commands(context)):
            below = command.get_command(context, name)
            assert below is not None  # noqa: S101  # it is listed
            found += _commands(below, (*path, name))
    return found


PAGES = {"settings.md": settings_page, "cli.md": cli_page}

if __name__ == "__main__":
    for page, write in PAGES.items():
        (DOCS / page).write_text(write(), "utf-8")
