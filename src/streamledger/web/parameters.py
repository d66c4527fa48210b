"""Query parameters that several routes share, with their limits, and how their text becomes values."""

from collections.abc import Iterable
from typing import Annotated, Final, Literal

from litestar.params import PathParameter, QueryParameter

from streamledger.domain.errors import ParameterInvalid
from streamledger.domain.instants import parse_instant_ms
from streamledger.readmodel.queries.sessions import LIMIT_DEFAULT, LIMIT_MAX

POSITION_MAX: Final = 2**63 - 1

Limit = Annotated[
    int, QueryParameter(ge=1, le=LIMIT_MAX, description=f"Items a page, {LIMIT_DEFAULT} by default")
]
Cursor = Annotated[
    str | None, QueryParameter(max_length=2048, description="`next_cursor` of the page before this one")
]
MinPosition = Annotated[
    int | None,
    QueryParameter(
        ge=0, le=POSITION_MAX, description="Wait, at most 5 s, until this position is in the read model"
    ),
]
After = Annotated[int, QueryParameter(ge=0, le=POSITION_MAX, description="Position after which to begin")]
Sequence = Annotated[str, PathParameter(description="Names one push; text, up to 64 characters")]
StreamInPath = Annotated[str, PathParameter(description="Name of a live stream")]
StreamId = Annotated[str | None, QueryParameter(max_length=256, description="Name of a live stream")]
SessionState = Annotated[
    Literal["live", "suspect", "ended"] | None,
    QueryParameter(name="state", description="State of the sessions wanted"),
]
Order = Annotated[Literal["desc", "asc"], QueryParameter(description="By time of start")]
Instant = Annotated[
    str | None, QueryParameter(max_length=64, description="RFC 3339 with an offset, or whole Unix seconds")
]


def instant(name: str, text: str | None) -> int | None:
    """Milliseconds since 1970. Raises ParameterInvalid."""
    if text is None:
        return None
    try:
        # An unescaped "+" of an offset arrives as a space.
        return parse_instant_ms(text.replace(" ", "+"))
    except (ValueError, OverflowError) as error:
        raise ParameterInvalid(
            name=name,
            expected="RFC 3339 with an offset, or whole Unix seconds",
            got=repr(text[:64]),
            expects="instant",
        ) from error


def one_of(name: str, got: str | None, known: Iterable[str]) -> str | None:
    """A choice among names; None where nothing is asked for. Raises ParameterInvalid."""
    choices = list(known)
    if got and got not in choices:
        raise ParameterInvalid(
            name=name,
            expected=f"one of {', '.join(choices)}",
            got=repr(got[:64]),
            expects="one_of",
            choices=", ".join(choices),
        )
    return got or None
