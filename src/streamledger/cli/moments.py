"""--as-of, --known-at and --slack-s: the moment, and the what-if, that a reading command asks about."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from streamledger.domain.attribution import SLACK_MS, SLACK_S_MAX
from streamledger.domain.errors import ParameterInvalid
from streamledger.domain.instants import parse_instant_ms
from streamledger.readmodel.moment import Asked, parse_known_at

Command = TypeVar("Command", bound=Callable[..., Any])


def moment_options(command: Command) -> Command:
    """--as-of, --known-at and --slack-s."""
    for option in (
        click.option(
            "--slack-s",
            type=click.IntRange(0, SLACK_S_MAX),
            help="What if attribution granted this many seconds beside a push, instead of"
            f" {SLACK_MS // 1000}?",
        ),
        click.option(
            "--known-at", help="As the ledger knew it: up to a position, or a time of receipt (RFC 3339)."
        ),
        click.option("--as-of", help="As it had happened by this time (RFC 3339 or Unix seconds)."),
    ):
        command = option(command)
    return command


def asked(as_of: str | None, known_at: str | None, slack_s: int | None = None) -> Asked | None:
    """The moment that the options name; None when none is given. Raises ParameterInvalid."""
    if as_of is None and known_at is None and slack_s is None:
        return None
    return Asked(
        as_of_ms=None
        if as_of is None
        else _parsed("--as-of", "RFC 3339 with an offset, or whole Unix seconds", parse_instant_ms, as_of),
        known_at=None
        if known_at is None
        else _parsed("--known-at", "a position, or RFC 3339 with an offset", parse_known_at, known_at),
        slack_ms=None if slack_s is None else slack_s * 1000,
    )


Value = TypeVar("Value")


def _parsed(name: str, expected: str, parse: Callable[[str], Value], text: str) -> Value:
    try:
        return parse(text)
    except (ValueError, OverflowError) as error:
        raise ParameterInvalid(name=name, expected=expected, got=repr(text[:64])) from error
