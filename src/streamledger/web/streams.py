"""`/v1/streams`: who is live, and what is known of one stream."""

import hashlib
from typing import Annotated, Literal

import msgspec
from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, QueryParameter

from streamledger.domain.answers import Stream
from streamledger.readmodel.queries.sessions import LIMIT_DEFAULT, Page, Queries
from streamledger.web import parameters as given
from streamledger.web.slashed_names import named

Presence = Annotated[Literal["live"] | None, QueryParameter(description="Only streams that are live")]
IfNoneMatch = Annotated[
    str | None, HeaderParameter(name="If-None-Match", max_length=4096, description="ETags of earlier answers")
]


def tag_of(page: Page[Stream]) -> str:
    """A weak ETag that changes with the streams listed, their presence and their open sessions.

    Counts and times move with every screenshot; who polls for presence need not hear of that.
    """
    said = [[each.stream_id, each.presence, each.open_sessions] for each in page.items]
    digest = hashlib.blake2b(msgspec.json.encode([said, page.next_cursor]), digest_size=12)
    return f'W/"{digest.hexdigest()}"'


def is_named(tag: str, if_none_match: str | None) -> bool:
    """Whether If-None-Match names the tag, by the weak comparison of RFC 9110, section 8.8.3.2."""
    if if_none_match is None:
        return False
    named = [part.strip().removeprefix("W/") for part in if_none_match.split(",")]
    return "*" in named or tag.removeprefix("W/") in named


class StreamsController(Controller):
    """Live streams, named by `stream_id`."""

    path = "/v1/streams"
    tags = ["streams"]  # noqa: RUF012  # the framework's own form of a class attribute

    @get(summary="Streams by name")
    async def list_streams(
        self,
        queries: NamedDependency[Queries],
        presence: Presence = None,
        limit: given.Limit = LIMIT_DEFAULT,
        cursor: given.Cursor = None,
        if_none_match: IfNoneMatch = None,
    ) -> Response[Page[Stream] | None]:
        """All streams that any notification named, or those that are live.

        With presence=live the answer has an ETag of who is live; If-None-Match then gives 304.
        """
        page = await queries.streams(presence, limit, cursor)
        if presence is None:
            return Response(page)
        headers = {"ETag": tag_of(page), "Cache-Control": "no-cache"}
        if is_named(headers["ETag"], if_none_match):
            return Response(None, status_code=304, headers=headers)
        return Response(page, headers=headers)

    @get("/{stream_id:str}", summary="One stream")
    async def get_stream(
        self,
        queries: NamedDependency[Queries],
        stream_id: given.StreamInPath,
    ) -> Stream:
        """Presence, open sessions, counts, first and last seen."""
        return await queries.stream(named(stream_id))
