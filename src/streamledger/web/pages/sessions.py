"""`/sessions` and `/sessions/{sequence}`: the sessions that a visitor asks for, and one of them."""

from functools import partial
from typing import Annotated, Final, Literal

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from streamledger.domain.anomalies import AnomalyCode
from streamledger.readmodel.queries.chosen_sessions import SORTS, Choice, chosen_sessions
from streamledger.readmodel.queries.pages import PageQueries
from streamledger.readmodel.queries.sessions import Queries, SessionFilter
from streamledger.tencent.errcodes import ErrcodeClass
from streamledger.web import parameters as given
from streamledger.web.moments import KnownAtText
from streamledger.web.pages import downloads
from streamledger.web.pages.changes import changes_path
from streamledger.web.pages.forms import Text, ZoneName, fields_of
from streamledger.web.pages.links import link
from streamledger.web.pages.page import AnyRequest, render
from streamledger.web.pages.session import Wish, session_response
from streamledger.web.zones import ms_of_form

SESSIONS_A_PAGE: Final = 50

Step = Annotated[int | None, QueryParameter(ge=0, le=10_000)]
WhyText = Annotated[str | None, QueryParameter(max_length=40)]
Chosen = Annotated[str, QueryParameter(max_length=40)]
KindText = Annotated[str | None, QueryParameter(max_length=40)]


@get("/sessions", include_in_schema=False)
async def sessions_page(
    request: AnyRequest,
    queries: NamedDependency[Queries],
    pages: NamedDependency[PageQueries],
    state_wanted: Annotated[Literal["live", "suspect", "ended", ""], QueryParameter(name="state")] = "",
    stream_id: Text = None,
    started_from: Text = None,
    started_to: Text = None,
    zone: ZoneName = None,
    sequence: Text = None,
    anomaly: Chosen = "",
    end: Chosen = "",
    domain: Text = None,
    sort: Chosen = "started",
    order: given.Order = "desc",
    cursor: given.Cursor = None,
    known_at: KnownAtText = None,
    step: Step = None,
    why: WhyText = None,
    kind: KindText = None,
    form: downloads.Form = "",
) -> Response[bytes]:
    """Sessions, newest first; with `sequence` the page of that one, whatever characters it has."""
    if sequence:
        wish = Wish(cursor=cursor, known_at=known_at, step=step, why=why, kind=kind)
        return await session_response(request, queries, pages, sequence, stream_id or None, wish)
    position = await queries.position()
    wanted = SessionFilter(
        stream_id=stream_id or None,
        state=state_wanted or None,
        started_from_ms=ms_of_form("started_from", started_from, zone),
        started_to_ms=ms_of_form("started_to", started_to, zone),
        descending=order == "desc",
    )
    choice = Choice(
        wanted=wanted,
        anomaly=given.one_of("anomaly", anomaly, ("any", *AnomalyCode)),
        end=given.one_of("end", end, tuple(ErrcodeClass)),
        domain=domain or None,
        sort=given.one_of("sort", sort, SORTS) or "started",
    )
    page = await chosen_sessions(queries, choice, SESSIONS_A_PAGE, cursor)
    if form:
        return downloads.answer(request, form, "sessions", page.items)
    asked = fields_of(
        {"state": state_wanted, "stream_id": stream_id, "domain": domain, "end": end, "anomaly": anomaly},
        {"started_from": wanted.started_from_ms, "started_to": wanted.started_to_ms},
    )
    sorted_by = {"sort": "" if sort == "started" else sort, "order": "" if order == "desc" else order}
    return await render(
        request,
        "sessions.html",
        feed=changes_path(position, stream_id or None),
        sessions=page.items,
        next_cursor=page.next_cursor,
        searched=page.searched,
        asked=asked,
        filtered=any(asked.values()),
        address=partial(link, "/sessions", **asked, **sorted_by),
        sort=sort,
        order=order,
        cursor=cursor,
        anomalies=[code.value for code in AnomalyCode],
        ends=[each.value for each in ErrcodeClass],
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
    kind: KindText = None,
) -> Response[bytes]:
    """One session: its timeline as a picture, its facts, its events as a table."""
    wish = Wish(cursor=cursor, known_at=known_at, step=step, why=why, kind=kind)
    return await session_response(request, queries, pages, sequence, stream_id, wish)
