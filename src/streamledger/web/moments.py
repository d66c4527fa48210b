"""`as_of`, `known_at` and `slack_s` as query parameters, and the explanation of a session."""

from typing import Annotated

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from streamledger.domain.attributed import SLACK_MS
from streamledger.domain.attribution import SLACK_S_MAX
from streamledger.domain.errors import ParameterInvalid
from streamledger.readmodel.moments.explaining import Explanation, explain
from streamledger.readmodel.moments.moment import Asked
from streamledger.readmodel.moments.queries import PastQueries
from streamledger.readmodel.queries.sessions import LIMIT_DEFAULT
from streamledger.web import parameters as given

AsOf = Annotated[
    str | None,
    QueryParameter(
        max_length=64, description="What had happened by this time (RFC 3339, or whole Unix seconds)"
    ),
]
KnownAtText = Annotated[
    str | None,
    QueryParameter(
        max_length=64,
        description="What the ledger knew: up to a position (digits), or a time of receipt (RFC 3339)",
    ),
]


SlackS = Annotated[
    int | None,
    QueryParameter(
        ge=0,
        le=SLACK_S_MAX,
        description="What if attribution granted this many seconds beside a push, instead of"
        f" {SLACK_MS // 1000}?",
    ),
]


def asked(as_of: str | None, known_at: str | None, slack_s: int | None = None) -> Asked | None:
    """The moment asked for; None when no parameter is given. Raises ParameterInvalid."""
    as_of_ms = given.instant("as_of", as_of)
    try:
        # An unescaped "+" of an offset arrives as a space.
        return Asked.of(as_of_ms, known_at and known_at.replace(" ", "+"), slack_s)
    except (ValueError, OverflowError) as error:
        raise ParameterInvalid(
            name="known_at",
            expected="a position, or RFC 3339 with an offset",
            got=repr(str(known_at)[:64]),
            expects="moment",
        ) from error


async def asked_for(as_of: AsOf = None, known_at: KnownAtText = None, slack_s: SlackS = None) -> Asked | None:
    """The moment that a request asks about."""
    return asked(as_of, known_at, slack_s)


class ExplanationController(Controller):
    """Why the answer about a session is as it is."""

    path = "/v1/sessions"
    tags = ["sessions"]  # noqa: RUF012  # the framework's own form of a class attribute

    @get("/{sequence:str}/explain", summary="A session, explained")
    async def get_explanation(
        self,
        past: NamedDependency[PastQueries],
        moment: NamedDependency[Asked | None],
        sequence: given.Sequence,
        stream_id: given.StreamId = None,
        limit: given.Limit = LIMIT_DEFAULT,
        cursor: given.Cursor = None,
    ) -> Explanation:
        """Per field its value, the deliveries that set it, those overruled, and the rule; per recording and
        screenshot the pushes that were considered. `limit` and `cursor` page through the latter."""
        return await explain(past, sequence, moment or Asked(), stream_id, limit, cursor)
