"""How far a command is, on stderr: on a terminal in one line that is overwritten, else in lines."""

import sys
import time

import click


class ProgressLine:
    """Says something when it was silent for long enough."""

    def __init__(self, every_s: float) -> None:
        self._began_s = self._said_s = time.monotonic()
        self._every_s = every_s
        self._is_open = False

    def say(self, line: str) -> None:
        """These words, unless others were said just now."""
        now_s = time.monotonic()
        if now_s - self._said_s < self._every_s:
            return
        self._said_s = now_s
        if sys.stderr.isatty():
            self._is_open = True
            click.echo(f"\r\033[K{line}", err=True, nl=False)
        else:
            click.echo(line, err=True)

    def count(self, number: int, words: str) -> None:
        """So many are done, and how many a second."""
        self.say(f"{number} {words}, {number / max(time.monotonic() - self._began_s, 0.001):,.0f}/s")

    def end(self) -> None:
        """Let what is said next stand on a line of its own."""
        if self._is_open:
            click.echo(err=True)
            self._is_open = False
