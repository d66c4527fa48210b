"""`/v1/sessions`: lists, one session, its timeline, recordings and screenshots."""

from litestar import Controller, get
from litestar.di import NamedDependency

from streamledger.domain.answers import Session, TimelineEntry
from streamledger.domain.notification import Kind
from streamledger.readmodel.moments.queries import PastQueries
from streamledger.readmodel.queries.sessions import LIMIT_DEFAULT, Page, Queries, SessionFilter
from streamledger.web import moments
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
        min_position: given.MinPosition = None,
    ) -> Page[Session]:
        """Sessions by time of start, those without one by the earliest time known of them."""
        if min_position is not None:
            await queries.wait_for(min_position)
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
        queries: NamedDependency[Queries],
        sequence: given.Sequence,
        stream_id: given.StreamId = None,
        as_of: moments.AsOf = None,
        known_at: moments.KnownAtText = None,
        slack_s: moments.SlackS = None,
        min_position: given.MinPosition = None,
    ) -> Session:
        """One push with everything that is known of it."""
        if min_position is not None:
            await queries.wait_for(min_position)
        if (moment := moments.asked(as_of, known_at, slack_s)) is not None:
            return await PastQueries(queries).session(sequence, moment, stream_id)
        return await queries.session(sequence, stream_id)

    @get("/{sequence:str}/timeline", summary="A session's timeline")
    async def get_timeline(
        self,
        queries: NamedDependency[Queries],
        sequence: given.Sequence,
        stream_id: given.StreamId = None,
        as_of: moments.AsOf = None,
        known_at: moments.KnownAtText = None,
        slack_s: moments.SlackS = None,
        limit: given.Limit = LIMIT_DEFAULT,
        cursor: given.Cursor = None,
        min_position: given.MinPosition = None,
    ) -> Page[TimelineEntry]:
        """Every notification of the session, in order of time."""
        if min_position is not None:
            await queries.wait_for(min_position)
        if (moment := moments.asked(as_of, known_at, slack_s)) is not None:
            return await PastQueries(queries).timeline(sequence, moment, stream_id, None, limit, cursor)
        return await queries.timeline(sequence, stream_id, None, limit, cursor)

    @get("/{sequence:str}/recordings", summary="A session's recordings")
    async def get_recordings(
        self,
        queries: NamedDependency[Queries],
        sequence: given.Sequence,
        stream_id: given.StreamId = None,
        as_of: moments.AsOf = None,
        known_at: moments.KnownAtText = None,
        slack_s: moments.SlackS = None,
        limit: given.Limit = LIMIT_DEFAULT,
        cursor: given.Cursor = None,
        min_position: given.MinPosition = None,
    ) -> Page[TimelineEntry]:
        """The recording files attributed to the session, by the start of their content."""
        if min_position is not None:
            await queries.wait_for(min_position)
        if (moment := moments.asked(as_of, known_at, slack_s)) is not None:
            return await PastQueries(queries).timeline(
                sequence, moment, stream_id, Kind.RECORDING, limit, cursor
            )
        return await queries.timeline(sequence, stream_id, Kind.RECORDING, limit, cursor)

    @get("/{sequence:str}/screenshots", summary="A session's screenshots")
    async def get_screenshots(
        self,
        queries: NamedDependency[Queries],
        sequence: given.Sequence,
        stream_id: given.StreamId = None,
        as_of: moments.AsOf = None,
        known_at: moments.KnownAtText = None,
        slack_s: moments.SlackS = None,
        limit: given.Limit = LIMIT_DEFAULT,
        cursor: given.Cursor = None,
        min_position: given.MinPosition = None,
    ) -> Page[TimelineEntry]:
        """The screenshots attributed to the session."""
        if min_position is not None:
            await queries.wait_for(min_position)
        if (moment := moments.asked(as_of, known_at, slack_s)) is not None:
            return await PastQueries(queries).timeline(
                sequence, moment, stream_id, Kind.SCREENSHOT, limit, cursor
            )
        return await queries.timeline(sequence, stream_id, Kind.SCREENSHOT, limit, cursor)
