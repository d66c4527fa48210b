"""The web application: routes, errors and OpenAPI, put together; what it stands on is handed in."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec
from litestar import Litestar, Router
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.types import Message, Scope

from streamledger.domain.errors import StreamledgerError
from streamledger.operations.health import Health
from streamledger.operations.receive import Receiver
from streamledger.operations.release import Releases
from streamledger.operations.timings import Row
from streamledger.readmodel.feed.feed import Tail
from streamledger.readmodel.queries.pages import PageQueries
from streamledger.readmodel.queries.quarantine import QuarantineQueries
from streamledger.readmodel.queries.session_counts import SessionCounts
from streamledger.readmodel.queries.sessions import Queries
from streamledger.readmodel.queries.system import SystemQueries
from streamledger.supervision import Tasks
from streamledger.version import __version__
from streamledger.web import problems
from streamledger.web.asking import refuse_odd_parameters
from streamledger.web.auth import Tokens, may_read
from streamledger.web.bounds import Bounds
from streamledger.web.callbacks import ALWAYS, Callbacks, callback_routes
from streamledger.web.deliveries import DeliveriesController
from streamledger.web.description import DescriptionPlugin
from streamledger.web.events import follow_events
from streamledger.web.metrics import metrics
from streamledger.web.moments import ExplanationController
from streamledger.web.pages.routes import page_routes, unknown_path_or_problem
from streamledger.web.provided import TO_ALL, TO_PROGRAMS
from streamledger.web.quarantine import QuarantineController
from streamledger.web.rebuild_feed import follow_rebuild
from streamledger.web.rebuilds import RebuildsController
from streamledger.web.senders import Senders
from streamledger.web.sessions import SessionsController
from streamledger.web.slashed_names import route_slashed_names
from streamledger.web.stream_lists import StreamListsController
from streamledger.web.streams import StreamsController
from streamledger.web.system import LedgerController, live, ready


async def add_headers(message: Message, _: Scope) -> None:
    """What every answer says, unless it says otherwise itself: static files may be kept."""
    if message["type"] != "http.response.start":
        return
    headers = [
        (name, problems.with_head(value.decode()).encode() if name.lower() == b"allow" else value)
        for name, value in message["headers"]
    ]
    names = {name.lower() for name, _ in headers}
    headers += [(name, value) for name, value in ALWAYS if name not in names]
    message["headers"] = headers


class WebServices(msgspec.Struct, frozen=True):
    """What the routes stand on while the application runs."""

    receiver: Receiver
    queries: Queries
    quarantine: QuarantineQueries
    system: SystemQueries
    releases: Releases
    tokens: Tokens
    tail: Tail
    """The ledger's end, for readers of the feed."""
    changes: Tail
    """The end of what the read model shows, for pages that are open."""
    pages: PageQueries
    health: Health
    renew: Callable[[Any], None]
    """Go by other settings from now on, as far as they can change."""
    tasks: Tasks = msgspec.field(default_factory=Tasks)
    """What runs in the background beside them."""


class WebOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the routes must know of the settings."""

    body_bytes_max: int
    bounds: Bounds
    """What strangers can hold."""
    path_token: str | None = None
    senders: Senders
    key_names: Callable[[], Sequence[str]] = tuple
    """Names of the callback keys in force, to be shown."""
    own_command: str = "streamledger"
    """What starts the command line on this machine, to be shown."""
    embedded_restarts: Callable[[], int] = int
    """How often the embedded PostgreSQL was started again."""
    disk_free_bytes: Callable[[], int | None] = lambda: None
    """Free space of the embedded store's disk; None for another store."""
    public_url: str = ""
    """Where others reach the server, when a proxy stands before it; its path is that of every link."""
    path_token_required: bool = False
    """Whether the path token is a second factor, and what comes without it is turned away."""
    cookie_key: bytes = msgspec.field(default_factory=lambda: secrets.token_bytes(32))
    """What the pages' cookies are signed with; nothing that the database holds."""
    timings: Row | None = None
    """Where the answers of this worker are counted; None for nowhere that is told."""


def end_streams(app: Litestar) -> None:
    """End what never ends by itself, so that a server that stops has nothing to wait for."""
    for name in ("tail", "changes"):
        if name in app.state:
            app.state[name].close()


def create_app(
    open_services: Callable[[], AbstractAsyncContextManager[WebServices]], options: WebOptions
) -> Litestar:
    """The application. `open_services` runs from start to shutdown, around every request."""

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with open_services() as services:
            for name in WebServices.__struct_fields__:
                app.state[name] = getattr(services, name)
            app.state.options = options
            app.state.senders = options.senders
            app.state.bounds = options.bounds
            app.state.session_counts = SessionCounts(services.queries, services.system.pool)
            app.state.callbacks = Callbacks(
                services.receiver,
                body_bytes_max=options.body_bytes_max,
                path_token=options.path_token,
                path_token_required=options.path_token_required,
                senders=options.senders,
                body_s_max=options.bounds.connections.limits.body_s_max,
                reached=options.bounds.reached,
                late=options.bounds.late,
                timings=options.timings,
            )
            options.bounds.reached.count_with(services.receiver.count_apart)
            options.bounds.connections.start(asyncio.get_running_loop())
            try:
                yield
            finally:
                options.bounds.connections.stop()

    guarded = Router(
        "/",
        route_handlers=[
            SessionsController,
            ExplanationController,
            StreamsController,
            LedgerController,
            DeliveriesController,
            QuarantineController,
            StreamListsController,
            RebuildsController,
            follow_events,
            follow_rebuild,
        ],
        dependencies=TO_PROGRAMS,
        guards=[may_read],
        before_request=refuse_odd_parameters,
    )
    app = Litestar(
        route_handlers=[*callback_routes(), guarded, live, ready, metrics, *page_routes()],
        lifespan=[lifespan],
        dependencies=TO_ALL,
        exception_handlers={
            StreamledgerError: problems.streamledger_error,
            HTTPException: unknown_path_or_problem,
            RecursionError: problems.too_deep,
            Exception: problems.unexpected_error,
        },
        before_send=[add_headers],
        openapi_config=OpenAPIConfig(
            title="streamledger",
            version=__version__,
            path="/schema",
            render_plugins=[DescriptionPlugin()],
        ),
        request_max_body_size=options.body_bytes_max,
        logging_config=None,
    )
    # Before the router: what the framework calls middleware comes behind it.
    app.asgi_handler = route_slashed_names(app.asgi_handler)
    return app
