"""The `streamledger` command: its group, and how errors end it: a sentence and a code, never a traceback."""

import importlib
import os
import sys
import traceback
from typing import Final

import click

from streamledger.cli import start
from streamledger.cli.terminal import say, show_what_can_be_shown
from streamledger.domain.errors import StreamledgerError
from streamledger.invocation import own_command
from streamledger.version import __version__

EXIT_UNEXPECTED = 70
EXIT_UNREACHABLE = 3

COMMANDS: Final = {
    "serve": "serve:serve",
    "demo": "demo:demo",
    "simulate": "simulate:simulate",
    "sessions": "sessions:sessions",
    "session": "session:session",
    "timeline": "sessions:timeline",
    "explain": "session:explain_command",
    "deliveries": "deliveries:deliveries",
    "delivery": "deliveries:delivery",
    "streams": "streams:streams",
    "tail": "tail:tail",
    "audit": "audit:audit",
    "quarantine": "quarantine:quarantine",
    "token": "token:token",
    "doctor": "doctor:doctor",
    "rebuild": "rebuild:rebuild_command",
    "verify": "verify:verify",
    "parked": "parked:parked",
    "export": "transfer:export_command",
    "import": "transfer:import_command",
    "backup": "backup:backup_command",
    "restore": "backup:restore_command",
}
"""Module below `streamledger.cli` and name in it, of each command."""


class _Commands(click.Group):
    """Loads a command when it is asked for: to load all takes longer than most of them take."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        found: click.Command = getattr(importlib.import_module(f"streamledger.cli.{module}"), name)
        start.listen()
        return found


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, prog_name="streamledger")
def cli() -> None:
    """Receives Tencent Cloud live callbacks and builds one true session per push.

    Settings come from --flags, STREAMLEDGER_* in the environment, or a TOML file (docs/settings.md).
    Exit codes: 0 done, 1 failed, 2 wrong usage or setting, 3 store or server unreachable, 4 not found.
    """


def main() -> None:
    """Entry point of the installed command."""
    show_what_can_be_shown()
    try:
        code = cli.main(prog_name="streamledger", standalone_mode=False)
    except StreamledgerError as error:
        _fail(str(error), error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(start.EXIT_INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader of our output has gone
        sys.exit(0)
    except OSError as error:  # a file that cannot be opened, a disk that is full
        name = f"{error.filename}: " if error.filename else ""
        _fail(f"{name}{error.strerror or error}", 1)
    except UnicodeEncodeError:  # of an argument: nothing else brings in what no UTF-8 can say
        _fail("an argument is no UTF-8, so the ledger cannot hold it", 2)
    except Exception as error:  # the last edge: a user is owed a sentence, not a traceback
        if os.environ.get("STREAMLEDGER_LOG_LEVEL") == "debug":
            traceback.print_exc()
        store = sys.modules.get("streamledger.postgres.connection")  # not loaded where no store is needed
        if store is not None and isinstance(error, store.STORE_FAULTS):
            _fail(f"the store was lost: {str(error).partition(chr(10))[0]}", EXIT_UNREACHABLE)
        _fail(
            f"unexpected {type(error).__name__}: {error} (STREAMLEDGER_LOG_LEVEL=debug shows more)",
            EXIT_UNEXPECTED,
        )

    if code:  # what a command ended itself with, by Context.exit: click hands it back
        sys.exit(code)


def _fail(sentence: str, code: int) -> None:
    # A command that a sentence names is to be typed by who reads it, in whatever directory that is.
    sentence = sentence.replace("`streamledger ", f"`{own_command()} ")
    say(f"streamledger: {sentence}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
