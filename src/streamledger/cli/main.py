"""The `streamledger` command: its group, and how errors end it: a sentence and a code, never a traceback."""

import os
import sys
import traceback

import click

from streamledger.cli.audit import audit
from streamledger.cli.demo import demo
from streamledger.cli.doctor import doctor
from streamledger.cli.parked import parked
from streamledger.cli.quarantine import quarantine
from streamledger.cli.rebuild import rebuild_command
from streamledger.cli.serve import serve
from streamledger.cli.session import explain_command, session
from streamledger.cli.sessions import sessions, timeline
from streamledger.cli.simulate import simulate
from streamledger.cli.token import token
from streamledger.cli.transfer import export_command, import_command
from streamledger.cli.verify import verify
from streamledger.domain.errors import StreamledgerError
from streamledger.version import __version__

EXIT_UNEXPECTED = 70
EXIT_INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="streamledger")
def cli() -> None:
    """Receives Tencent Cloud live callbacks and builds one true session per push.

    Settings come from --flags, STREAMLEDGER_* in the environment, or a TOML file (docs/settings.md).
    Exit codes: 0 done, 1 failed, 2 wrong usage or setting, 3 store or server unreachable, 4 not found.
    """


for command in (
    serve,
    demo,
    simulate,
    sessions,
    session,
    timeline,
    explain_command,
    audit,
    quarantine,
    token,
    doctor,
    rebuild_command,
    verify,
    parked,
    export_command,
    import_command,
):
    cli.add_command(command)


def main() -> None:
    """Entry point of the installed command."""
    try:
        cli.main(prog_name="streamledger", standalone_mode=False)
    except StreamledgerError as error:
        _fail(str(error), error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader of our output has gone
        sys.exit(0)
    except OSError as error:  # a file that cannot be opened, a disk that is full
        name = f"{error.filename}: " if error.filename else ""
        _fail(f"{name}{error.strerror or error}", 1)
    except Exception as error:  # the last edge: a user is owed a sentence, not a traceback
        if os.environ.get("STREAMLEDGER_LOG_LEVEL") == "debug":
            traceback.print_exc()
        _fail(
            f"unexpected {type(error).__name__}: {error} (STREAMLEDGER_LOG_LEVEL=debug shows more)",
            EXIT_UNEXPECTED,
        )


def _fail(sentence: str, code: int) -> None:
    click.echo(f"streamledger: {sentence}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
