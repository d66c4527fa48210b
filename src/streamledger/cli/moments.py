"""--as-of, --known-at and --slack-s: the moment, and the what-if, that a reading command asks about."""

from typing import Final

import click

from streamledger.cli.options import together
from streamledger.cli.times import WHEN
from streamledger.domain.attributed import SLACK_MS
from streamledger.domain.attribution import SLACK_S_MAX
from streamledger.domain.errors import ParameterInvalid
from streamledger.domain.instants import instant_ms
from streamledger.readmodel.moments.moment import Asked


class _Known(click.ParamType[str]):
    """A position, or a time: its value is what the HTTP interface takes."""

    name = "position or time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Digits are a position."""
        text = str(value)
        if text.isascii() and text.isdigit():
            return text
        return text if "T" in text and text.endswith("Z") else instant_ms(WHEN.convert(text, param, ctx))


moment_options: Final = together(
    click.option("--as-of", type=WHEN, help="As it had happened by this time."),
    click.option(
        "--known-at", type=_Known(), help="As the ledger knew it: up to a position, or a time of receipt."
    ),
    click.option(
        "--slack-s",
        type=click.IntRange(0, SLACK_S_MAX),
        help=f"What if attribution granted this many seconds beside a push, instead of {SLACK_MS // 1000}?",
    ),
)
"""--as-of, --known-at and --slack-s."""


def asked(as_of: int | None, known_at: str | None, slack_s: int | None = None) -> Asked | None:
    """The moment that the options name; None when none is given. Raises ParameterInvalid."""
    try:
        return Asked.of(as_of, known_at, slack_s)
    except (ValueError, OverflowError) as error:
        raise ParameterInvalid(
            name="--known-at", expected="a position, or a time", got=repr(str(known_at)[:64])
        ) from error


def moment_parameters(as_of: int | None, known_at: str | None, slack_s: int | None) -> dict[str, object]:
    """The same for a server."""
    return {
        "as_of": None if as_of is None else instant_ms(as_of),
        "known_at": known_at,
        "slack_s": slack_s,
    }
