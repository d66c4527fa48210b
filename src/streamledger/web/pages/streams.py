"""`/streams` and `/streams/{stream_id}`: all streams, and the history of one."""

import asyncio
from typing import Annotated, Final, Literal

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from streamledger.domain.broadcast import WINDOW_S_DEFAULT, WINDOW_S_MAX
from streamledger.readmodel.queries.pages import STREAMS_SEARCHED_MAX, PageQueries
from streamledger.readmodel.queries.sessions import Queries, SessionFilter
from streamledger.readmodel.queries.streams import StreamQueries
from streamledger.web import parameters as given
from streamledger.web.pages.band import band_of
from streamledger.web.pages.changes import changes_path
from streamledger.web.pages.forms import Text
from streamledger.web.pages.page import AnyRequest, render
from streamledger.web.slashed_names import named

STREAMS_A_PAGE: Final = 50
SESSIONS_SHOWN: Final = 120
BROADCASTS_SHOWN: Final = 20

Presence = Annotated[Literal["live", ""], QueryParameter()]
Window = Annotated[int, QueryParameter(ge=0, le=WINDOW_S_MAX)]


@get("/streams", include_in_schema=False)
async def streams_page(
    request: AnyRequest,
    queries: NamedDependency[Queries],
    pages: NamedDependency[PageQueries],
    q: Text = None,
    presence: Presence = "",
    stream_id: given.StreamId = None,
    cursor: given.Cursor = None,
    window_s: Window = WINDOW_S_DEFAULT,
) -> Response[bytes]:
    """Streams by name; with `stream_id` the page of that one, whatever characters its name has."""
    if stream_id:
        return await _stream(request, queries, pages, stream_id, window_s)
    position = await queries.position()
    if q:
        names = await pages.streams_matching(q, are_open=bool(presence), cursor=cursor)
        found = (await queries.streams(limit=len(names.items), names=names.items)).items
        next_cursor = names.next_cursor
    else:
        page = await queries.streams(presence or None, STREAMS_A_PAGE, cursor)
        found, next_cursor = page.items, page.next_cursor
    return await render(
        request,
        "streams.html",
        feed=changes_path(position),
        streams=found,
        q=q or "",
        presence=presence,
        searched=STREAMS_SEARCHED_MAX if q and next_cursor and len(found) < STREAMS_A_PAGE else None,
        next_cursor=next_cursor,
    )


@get("/streams/{stream_id:str}", include_in_schema=False)
async def stream_page(
    request: AnyRequest,
    queries: NamedDependency[Queries],
    pages: NamedDependency[PageQueries],
    stream_id: given.StreamInPath,
    window_s: Window = WINDOW_S_DEFAULT,
) -> Response[bytes]:
    """One stream's sessions as a band and as a table, and its broadcasts."""
    return await _stream(request, queries, pages, named(stream_id), window_s)


async def _stream(
    request: AnyRequest, queries: Queries, pages: PageQueries, stream_id: str, window_s: int
) -> Response[bytes]:
    position = await queries.position()
    stream = await queries.stream(stream_id)
    page, broadcasts = await asyncio.gather(
        queries.sessions(SessionFilter(stream_id=stream_id), SESSIONS_SHOWN),
        StreamQueries(queries).broadcasts(stream_id, window_s * 1000, BROADCASTS_SHOWN),
    )
    return await render(
        request,
        "stream.html",
        feed=changes_path(position, stream_id),
        stream=stream,
        sessions=page.items,
        band=band_of(page.items, pages.clock_ms()),
        more=page.next_cursor is not None,
        broadcasts=broadcasts.items,
        more_broadcasts=broadcasts.next_cursor is not None,
        window_s=window_s,
        window_s_max=WINDOW_S_MAX,
    )
