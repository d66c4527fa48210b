"""`/v1/streams`: who is live, and what is known of one stream."""

from typing import Annotated, Literal

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from streamledger.domain.answers import Stream
from streamledger.readmodel.queries import LIMIT_DEFAULT, Page, Queries
from streamledger.web import parameters as given

Presence = Annotated[Literal["live"] | None, QueryParameter(description="Only streams with an open session")]


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
    ) -> Page[Stream]:
        """All streams that any notification named, or those with an open session."""
        return await queries.streams(presence, limit, cursor)

    @get("/{stream_id:str}", summary="One stream")
    async def get_stream(self, queries: NamedDependency[Queries], stream_id: given.StreamInPath) -> Stream:
        """Presence, open sessions, counts, first and last seen."""
        return await queries.stream(stream_id)
