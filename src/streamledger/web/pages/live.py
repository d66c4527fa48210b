"""`/`: what is wrong now, then who is live, and how much came in during the last hour."""

import asyncio
from typing import Any, Final

from litestar import Response, get
from litestar.di import NamedDependency

from streamledger.domain.answers import Session
from streamledger.domain.instants import instant_ms, parse_instant_ms
from streamledger.readmodel.queries.pages import MINUTES_SHOWN, PageQueries
from streamledger.readmodel.queries.recent import recent_trouble
from streamledger.readmodel.queries.sessions import Queries, SessionFilter
from streamledger.web.pages.changes import changes_path
from streamledger.web.pages.formats import image_address, web_address
from streamledger.web.pages.page import AnyRequest, render, visitor_of
from streamledger.web.pages.plots import plots_of
from streamledger.web.pages.setup import setup_steps

LIVE_MAX: Final = 24
SUSPECTS_MAX: Final = 20
RECENT_MS: Final = 15 * 60_000
"""How long ago trouble may lie that stands first on the page."""
SILENT_MS: Final = 180_000
"""Without any delivery for this long while somebody is live the provider is said to be silent."""
QUIET_MS: Final = 120_000
"""Without any notification for this long a live session is said to be quiet."""


def first_steps(request: AnyRequest) -> dict[str, Any]:
    """What a newcomer does in Tencent's console, and a command that plays Tencent.

    No secret is shown: where one is set, its name stands in its place, in capitals.
    """
    options = request.app.state.options
    own = str(request.url.with_replacements(path="", query="", fragment="")).rstrip("/")
    address = f"{options.public_url or own}/callbacks/tencent"
    command = f"{options.own_command} simulate --url {address if options.public_url else own}"
    has_keys = bool(options.key_names())
    if has_keys:
        command += " --key CALLBACK_KEY"
    if options.path_token is not None:
        address += "/CALLBACK_TOKEN"
        command += " --token CALLBACK_TOKEN"
    steps = setup_steps(
        visitor_of(request).words,
        address=address,
        own_command=None if has_keys else options.own_command,
        is_public=bool(options.public_url),
    )
    return {"setup": steps, "demo_command": command}


@get("/", include_in_schema=False)
async def live_page(
    request: AnyRequest, queries: NamedDependency[Queries], pages: NamedDependency[PageQueries]
) -> Response[bytes]:
    """Trouble first, then the newest live sessions, and a plot for each group of kinds."""
    position = await queries.position()
    now_ms = pages.clock_ms()
    overview, recent, live, suspects = await asyncio.gather(
        pages.overview(),
        recent_trouble(queries.pool, now_ms - RECENT_MS),
        queries.sessions(SessionFilter(state="live"), LIVE_MAX),
        queries.sessions(SessionFilter(state="suspect", descending=False), SUSPECTS_MAX),
    )
    shown = [*live.items, *suspects.items]
    health = await pages.health([(session.stream_id, session.sequence) for session in shown])

    def card(session: Session) -> dict[str, Any]:
        found = health.get((session.stream_id, session.sequence))
        latest_ms = found.latest_ms if found else None
        quiet_ms = 0 if latest_ms is None else now_ms - latest_ms
        shot_at = session.screenshots.latest_at
        return {
            "session": session,
            "image": image_address(session.screenshots.latest_url),
            "image_elsewhere": web_address(session.screenshots.latest_url),
            "since_ms": None if session.started_at is None else parse_instant_ms(session.started_at),
            "errors": found.push_errors if found else 0,
            "quiet_ms": quiet_ms if quiet_ms > QUIET_MS else None,
            "latest_at": None if latest_ms is None else instant_ms(latest_ms),
            "shot_is_old": shot_at is not None and now_ms - parse_instant_ms(shot_at) > QUIET_MS,
        }

    received_at = request.app.state.health.freshness.received_at
    silent_since = None
    if live.items and received_at is not None and now_ms - parse_instant_ms(received_at) > SILENT_MS:
        silent_since = received_at

    return await render(
        request,
        "live.html",
        feed=changes_path(position),
        overview=overview,
        position=position,
        **first_steps(request),
        plots=plots_of(overview.minutes, MINUTES_SHOWN),
        deliveries=sum(map(sum, overview.minutes.values())),
        erring=[(each, instant_ms(each.latest_ms)) for each in recent.erring],
        ended=[(each, instant_ms(each.at_ms)) for each in recent.ended],
        recent_min=RECENT_MS // 60_000,
        silent_since=silent_since,
        live=[card(session) for session in live.items],
        suspects=[card(session) for session in suspects.items],
        more_live=live.next_cursor is not None,
        more_suspects=suspects.next_cursor is not None,
    )
