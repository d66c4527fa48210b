"""`/v1/sessions`: lists, one session, its timeline, recordings and screenshots."""

from litestar import Controller, get
from litestar.di import NamedDependency

from streamledger.domain.answers import Session, TimelineEntry
from streamledger.domain.notification import Kind
from streamledger.readmodel.moments.moment import Asked
from streamledger.readmodel.moments.queries import PastQueries
from streamledger.readmodel.queries.sessions import LIMIT_DEFAULT, Page, Queries, SessionFilter
from streamledger.web import parameters as given


class SessionsController(Controller):
    """Sessions: one push each, named by `sequence`."""

    path = "/v1/sessions"
    tags = ["sessions"]  # noqa: RUF012  # the framework's own form of a class attribute

    @get(summary="Sessions, newest first")
    async def list_sessions(
        self,
        queries: NamedDependency[Queries],
        stream_id: given.StreamId = None,
        session_state: given.SessionState = None,
        started_from: given.Instant = None,
        started_to: given.Instant = None,
        order: given.Order = "desc",
        limit: given.Limit = LIMIT_DEFAULT,
        cursor: given.Cursor = None,
    ) -> Page[Session]:
        """Sessions by time of start, those without one by the earliest time known of them."""
        wanted = SessionFilter(
            stream_id=stream_id,
            state=session_state,
            started_from_ms=given.instant("started_from", started_from),
            started_to_ms=given.instant("started_to", started_to),
            descending=order == "desc",
        )
        return await queries.sessions(wanted, limit, cursor)

    @get("/{sequence:str}", summary="One session")
    async def get_session(
        self,
        past: NamedDependency[PastQueries],
        moment: NamedDependency[Asked | None],
        sequence: given.Sequence,
        stream_id: given.StreamId = None,
    ) -> Session:
        """One push with everything that is known of it."""
        return await past.session(sequence, moment, stream_id)

    @get("/{sequence:str}/timeline", summary="A session's timeline")
    async def get_timeline(
        self,
        past: NamedDependency[PastQueries],
        moment: NamedDependency[Asked | None],
        sequence: given.Sequence,
        stream_id: given.StreamId = None,
        limit: given.Limit = LIMIT_DEFAULT,
        cursor: given.Cursor = None,
    ) -> Page[TimelineEntry]:
        """Every notification of the session, in order of time."""
        return await past.timeline(sequence, moment, stream_id, None, limit, cursor)

    @get("/{sequence:str}/recordings", summary="A session's recordings")
    async def get_recordings(
        self,
        past: NamedDependency[PastQueries],
        moment: NamedDependency[Asked | None],
        sequence: given.Sequence,
        stream_id: given.StreamId = None,
        limit: given.Limit = LIMIT_DEFAULT,
        cursor: given.Cursor = None,
    ) -> Page[TimelineEntry]:
        """The recording files attributed to the session, by the start of their content."""
        return await past.timeline(sequence, moment, stream_id, Kind.RECORDING, limit, cursor)

    @get("/{sequence:str}/screenshots", summary="A session's screenshots")
    async def get_screenshots(
        self,
        past: NamedDependency[PastQueries],
        moment: NamedDependency[Asked | None],
        sequence: given.Sequence,
        stream_id: given.StreamId = None,
        limit: given.Limit = LIMIT_DEFAULT,
        cursor: given.Cursor = None,
    ) -> Page[TimelineEntry]:
        """The screenshots attributed to the session."""
        return await past.timeline(sequence, moment, stream_id, Kind.SCREENSHOT, limit, cursor)
