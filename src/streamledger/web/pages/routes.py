"""The pages' routes, with their guards and their way of showing errors."""

from typing import Any, Final

from litestar import Request, Response, Router
from litestar.exceptions import HTTPException

from streamledger.domain.errors import StreamledgerError
from streamledger.web import problems
from streamledger.web.pages import page
from streamledger.web.pages.api_document import api_document
from streamledger.web.pages.audit import audit_page, moved_delivery
from streamledger.web.pages.changes import follow_changes
from streamledger.web.pages.deliveries import deliveries_page, delivery_page
from streamledger.web.pages.live import live_page
from streamledger.web.pages.quarantine import quarantine_page, quarantined_page
from streamledger.web.pages.release import release_from_page, release_many_from_page
from streamledger.web.pages.search import search
from streamledger.web.pages.sessions import session_page, sessions_page
from streamledger.web.pages.sign_in import (
    choose_language,
    choose_zone,
    sign_in,
    sign_in_page,
    sign_out,
    static_file,
)
from streamledger.web.pages.streams import stream_page, streams_page
from streamledger.web.pages.system import (
    cancel_rebuild_from_page,
    follow_rebuild_on_page,
    rebuild_from_page,
    system_page,
)
from streamledger.web.provided import TO_PAGES

_ERRORS: Final[dict[int | type[Exception], Any]] = {
    StreamledgerError: page.known_error,
    HTTPException: page.http_error,
    Exception: page.unexpected_error,
}


NO_PAGES: Final = ("/v1", "/callbacks", "/schema", "/health", "/metrics")
"""What lies below these paths answers programs."""


def unknown_path_or_problem(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """A path that is none: a page for who looks for pages, a problem document for all others."""
    path, accepted = request.scope["path"], request.headers.get("accept", "")
    if error.status_code == 404 and "text/html" in accepted and not path.startswith(NO_PAGES):
        return page.http_error(request, error)
    return problems.http_error(request, error)


def page_routes() -> list[Router]:
    """Everything that a browser is shown."""
    return [
        Router(
            "/",
            route_handlers=[
                live_page,
                streams_page,
                stream_page,
                sessions_page,
                session_page,
                search,
                audit_page,
                moved_delivery,
                deliveries_page,
                delivery_page,
                quarantine_page,
                quarantined_page,
                release_from_page,
                release_many_from_page,
                system_page,
                rebuild_from_page,
                cancel_rebuild_from_page,
                follow_rebuild_on_page,
                follow_changes,
                api_document,
            ],
            dependencies=TO_PAGES,
            guards=[page.may_look],
            exception_handlers=_ERRORS,
        ),
        Router(
            "/",
            route_handlers=[
                sign_in_page,
                sign_in,
                sign_out,
                choose_language,
                choose_zone,
                static_file,
            ],
            exception_handlers=_ERRORS,
        ),
    ]
