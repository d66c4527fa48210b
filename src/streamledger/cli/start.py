"""Entry point of the installed command: quiet from its first moment, whoever presses Ctrl-C as it loads."""

import os
import signal
import sys

EXIT_INTERRUPTED = 130  # nothing is imported for a type's sake: until `main` runs, Ctrl-C shows a traceback


def main() -> None:
    """Load the command and run it."""
    _open_what_was_closed()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not so where it is ignored
        # An exception in the midst of an import would be shown with its traceback; and of a program that has
        # only been loaded nothing is left to be cleared away.
        signal.signal(signal.SIGINT, _end)
    from streamledger.cli.main import main as run  # noqa: PLC0415  # what takes its time, behind the handler

    run()


def listen() -> None:
    """From here on Ctrl-C is an exception again: a command begins."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _open_what_was_closed() -> None:
    """Lets the null device stand for a standard stream that the caller has closed (`>&-`).

    Else the next file or connection takes its number, and what is printed goes there.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest number that is free
        if getattr(sys, name) is None:
            mode = "r" if number == 0 else "w"
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def _end(*_: object) -> None:
    os._exit(EXIT_INTERRUPTED)
