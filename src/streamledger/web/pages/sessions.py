"""`/sessions` and `/sessions/{sequence}`: search and filter, and one session as picture, facts and table."""

from typing import Annotated, Final, Literal

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.response import Redirect

from streamledger.domain.errors import ParameterInvalid
from streamledger.readmodel.page_queries import PageQueries
from streamledger.readmodel.queries import Queries, SessionFilter
from streamledger.web import parameters as given
from streamledger.web.pages import session_picture
from streamledger.web.pages.changes import changes_path
from streamledger.web.pages.formats import query_of, session_path, stream_path
from streamledger.web.pages.page import AnyRequest, render

SESSIONS_A_PAGE: Final = 100
ENTRIES_A_PAGE: Final = 100

Text = Annotated[str | None, QueryParameter(max_length=256)]


@get("/sessions", include_in_schema=False)
async def sessions_page(
    request: AnyRequest,
    queries: NamedDependency[Queries],
    pages: NamedDependency[PageQueries],
    state_wanted: Annotated[Literal["live", "suspect", "ended", ""], QueryParameter(name="state")] = "",
    stream_id: Text = None,
    started_from: Text = None,
    started_to: Text = None,
    sequence: Text = None,
    cursor: given.Cursor = None,
) -> Response[bytes]:
    """Sessions, newest first; with `sequence` the page of that one, whatever characters it has."""
    if sequence:
        return await _session(request, queries, pages, sequence, stream_id or None, cursor)
    position = await queries.position()
    wanted = SessionFilter(
        stream_id=stream_id or None,
        state=state_wanted or None,
        started_from_ms=_local("started_from", started_from),
        started_to_ms=_local("started_to", started_to),
    )
    page = await queries.sessions(wanted, SESSIONS_A_PAGE, cursor)
    return render(
        request,
        "sessions.html",
        feed=changes_path(position, stream_id or None),
        sessions=page.items,
        next_cursor=page.next_cursor,
        state=state_wanted,
        stream_id=stream_id or "",
        started_from=started_from or "",
        started_to=started_to or "",
    )


@get("/sessions/{sequence:str}", include_in_schema=False)
async def session_page(
    request: AnyRequest,
    queries: NamedDependency[Queries],
    pages: NamedDependency[PageQueries],
    sequence: given.Sequence,
    stream_id: given.StreamId = None,
    cursor: given.Cursor = None,
) -> Response[bytes]:
    """One session: its timeline as a picture, its facts, its events as a table."""
    return await _session(request, queries, pages, sequence, stream_id, cursor)


@get("/search", include_in_schema=False)
async def search(
    queries: NamedDependency[Queries], pages: NamedDependency[PageQueries], q: Text = None
) -> Redirect:
    """From what was typed to the session or stream of that name, else to the streams that contain it."""
    text = (q or "").strip()
    if not text:
        return Redirect("/streams", status_code=303)
    owners = await pages.streams_of(text)
    if owners:
        return Redirect(session_path(text, owners[0] if len(owners) > 1 else None), status_code=303)
    names = await pages.streams_matching(text)
    if text in names or len(names) == 1:
        return Redirect(stream_path(text if text in names else names[0]), status_code=303)
    return Redirect(query_of("/streams", q=text), status_code=303)


async def _session(
    request: AnyRequest,
    queries: Queries,
    pages: PageQueries,
    sequence: str,
    stream_id: str | None,
    cursor: str | None,
) -> Response[bytes]:
    position = await queries.position()
    session = await queries.session(sequence, stream_id)
    drawn = await pages.picture(session.stream_id, session.sequence)
    page = await queries.timeline(sequence, session.stream_id, None, ENTRIES_A_PAGE, cursor)
    screenshots = sum(entry.kind == "screenshot" for entry in drawn.entries)
    return render(
        request,
        "session.html",
        feed=changes_path(position, session.stream_id),
        session=session,
        picture=session_picture.picture_of(session, drawn.entries, pages.clock_ms()),
        drawn=drawn,
        drawn_screenshots=screenshots,
        drawn_others=len(drawn.entries) - screenshots,
        entries=page.items,
        image_of=session_picture.image_of,
        manner_of=session_picture.manner_of,
        stream_given=stream_id,
        next_cursor=page.next_cursor,
    )


def _local(name: str, text: str | None) -> int | None:
    """Milliseconds of what a date field of a form sends, such as 2024-04-21T20:31: it is meant in UTC."""
    if not text:
        return None
    try:
        return given.instant(name, text)
    except ParameterInvalid:
        return given.instant(name, text + "Z")
