"""What a stream has beyond its sessions: broadcasts, media of no session, and types not modelled."""

from typing import Annotated

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from streamledger.domain.broadcast import WINDOW_S_DEFAULT, WINDOW_S_MAX
from streamledger.domain.stream_answers import BroadcastAnswer, StreamEntry
from streamledger.readmodel.queries.sessions import LIMIT_DEFAULT, Page
from streamledger.readmodel.queries.streams import StreamQueries
from streamledger.web import parameters as given
from streamledger.web.slashed_names import named

Window = Annotated[
    int,
    QueryParameter(
        ge=0,
        le=WINDOW_S_MAX,
        description="How long after the end of one session another still belongs to its broadcast, seconds",
    ),
]


class StreamListsController(Controller):
    """Lists of one stream, and of the media that belong to no session, all newest first."""

    path = "/v1"
    tags = ["streams"]  # noqa: RUF012  # the framework's own form of a class attribute

    @get("/streams/{stream_id:str}/broadcasts", summary="A stream's broadcasts")
    async def list_broadcasts(
        self,
        stream_queries: NamedDependency[StreamQueries],
        stream_id: given.StreamInPath,
        window_s: Window = WINDOW_S_DEFAULT,
        limit: given.Limit = LIMIT_DEFAULT,
        cursor: given.Cursor = None,
    ) -> Page[BroadcastAnswer]:
        """Sessions that overlap or follow each other within the window, with what they amount to."""
        return await stream_queries.broadcasts(named(stream_id), window_s * 1000, limit, cursor)

    @get("/streams/{stream_id:str}/unattributed", summary="A stream's media without a session")
    async def list_unattributed_of_stream(
        self,
        stream_queries: NamedDependency[StreamQueries],
        stream_id: given.StreamInPath,
        limit: given.Limit = LIMIT_DEFAULT,
        cursor: given.Cursor = None,
    ) -> Page[StreamEntry]:
        """Recordings, screenshots and recorders' reports that fit no session of the stream."""
        return await stream_queries.unattributed(named(stream_id), limit, cursor)

    @get("/streams/{stream_id:str}/notifications", summary="A stream's other notifications")
    async def list_notifications(
        self,
        stream_queries: NamedDependency[StreamQueries],
        stream_id: given.StreamInPath,
        limit: given.Limit = LIMIT_DEFAULT,
        cursor: given.Cursor = None,
    ) -> Page[StreamEntry]:
        """Types not modelled (relay, audits, picture quality), whole, and pushes without a sequence."""
        return await stream_queries.notifications(named(stream_id), limit, cursor)

    @get("/unattributed", summary="Media without a session, of all streams")
    async def list_unattributed(
        self,
        stream_queries: NamedDependency[StreamQueries],
        limit: given.Limit = LIMIT_DEFAULT,
        cursor: given.Cursor = None,
    ) -> Page[StreamEntry]:
        """Recordings, screenshots and recorders' reports that fit no session."""
        return await stream_queries.unattributed(None, limit, cursor)
