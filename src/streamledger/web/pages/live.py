"""`/`: who is live now, and how much came in during the last hour."""

import asyncio
from typing import Any, Final

from litestar import Response, get
from litestar.di import NamedDependency

from streamledger.domain.answers import Session
from streamledger.domain.instants import parse_instant_ms
from streamledger.readmodel.page_queries import MINUTES_SHOWN, PageQueries
from streamledger.readmodel.queries import Queries, SessionFilter
from streamledger.web.pages.changes import changes_path
from streamledger.web.pages.formats import web_address
from streamledger.web.pages.page import AnyRequest, render
from streamledger.web.pages.plots import plots_of

LIVE_MAX: Final = 24
SUSPECTS_MAX: Final = 20
QUIET_MS: Final = 120_000
"""Without any notification for this long a live session is said to be quiet."""


@get("/", include_in_schema=False)
async def live_page(
    request: AnyRequest, queries: NamedDependency[Queries], pages: NamedDependency[PageQueries]
) -> Response[bytes]:
    """The newest live sessions, suspects apart, and a plot for each group of kinds."""
    position = await queries.position()
    overview, live, suspects = await asyncio.gather(
        pages.overview(),
        queries.sessions(SessionFilter(state="live"), LIVE_MAX),
        queries.sessions(SessionFilter(state="suspect", descending=False), SUSPECTS_MAX),
    )
    shown = [*live.items, *suspects.items]
    health = await pages.health([(session.stream_id, session.sequence) for session in shown])
    now_ms = pages.clock_ms()

    def card(session: Session) -> dict[str, Any]:
        found = health.get((session.stream_id, session.sequence))
        latest_ms = found.latest_ms if found else None
        quiet_ms = 0 if latest_ms is None else now_ms - latest_ms
        return {
            "session": session,
            "image": web_address(session.screenshots.latest_url),
            "since_ms": None if session.started_at is None else parse_instant_ms(session.started_at),
            "errors": found.push_errors if found else 0,
            "quiet_ms": quiet_ms if quiet_ms > QUIET_MS else None,
        }

    return render(
        request,
        "live.html",
        feed=changes_path(position),
        overview=overview,
        position=position,
        own_address=str(request.url.with_replacements(path="", query="", fragment="")).rstrip("/"),
        callback_address=str(request.url.with_replacements(path="/callbacks/tencent", query="", fragment="")),
        plots=plots_of(overview.minutes, MINUTES_SHOWN),
        deliveries=sum(map(sum, overview.minutes.values())),
        live=[card(session) for session in live.items],
        suspects=[card(session) for session in suspects.items],
        more_live=live.next_cursor is not None,
        more_suspects=suspects.next_cursor is not None,
    )
