"""`/sessions`, `/sessions/{sequence}` and `/search`: what a visitor asks for, and which page answers."""

from typing import Annotated, Final, Literal

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.response import Redirect

from streamledger.readmodel.page_queries import PageQueries
from streamledger.readmodel.queries import Queries, SessionFilter
from streamledger.web import parameters as given
from streamledger.web.moments import KnownAtText
from streamledger.web.pages.changes import changes_path
from streamledger.web.pages.formats import query_of, session_path, stream_path
from streamledger.web.pages.page import AnyRequest, render
from streamledger.web.pages.session import Wish, session_response

SESSIONS_A_PAGE: Final = 50

Text = Annotated[str | None, QueryParameter(max_length=256)]
Step = Annotated[int | None, QueryParameter(ge=0, le=10_000)]
WhyText = Annotated[str | None, QueryParameter(max_length=40)]


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
    known_at: KnownAtText = None,
    step: Step = None,
    why: WhyText = None,
) -> Response[bytes]:
    """Sessions, newest first; with `sequence` the page of that one, whatever characters it has."""
    if sequence:
        wish = Wish(cursor=cursor, known_at=known_at, step=step, why=why)
        return await session_response(request, queries, pages, sequence, stream_id or None, wish)
    position = await queries.position()
    wanted = SessionFilter(
        stream_id=stream_id or None,
        state=state_wanted or None,
        started_from_ms=given.local_ms("started_from", started_from),
        started_to_ms=given.local_ms("started_to", started_to),
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
    known_at: KnownAtText = None,
    step: Step = None,
    why: WhyText = None,
) -> Response[bytes]:
    """One session: its timeline as a picture, its facts, its events as a table."""
    wish = Wish(cursor=cursor, known_at=known_at, step=step, why=why)
    return await session_response(request, queries, pages, sequence, stream_id, wish)


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
    if await pages.has_stream(text):
        return Redirect(stream_path(text), status_code=303)
    found = await pages.streams_matching(text)
    if len(found.items) == 1 and found.next_cursor is None:
        return Redirect(stream_path(found.items[0]), status_code=303)
    return Redirect(query_of("/streams", q=text), status_code=303)
