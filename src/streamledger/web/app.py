"""The web application: routes, errors and OpenAPI, put together; what it stands on is handed in."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec
from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig

from streamledger.domain.errors import StreamledgerError
from streamledger.operations.receive import Receiver
from streamledger.operations.release import Releases
from streamledger.readmodel.audit_queries import AuditQueries
from streamledger.readmodel.delivery_queries import DeliveryQueries
from streamledger.readmodel.feed import Tail
from streamledger.readmodel.page_queries import PageQueries
from streamledger.readmodel.quarantine_queries import QuarantineQueries
from streamledger.readmodel.queries import Queries
from streamledger.readmodel.rebuild_queries import RebuildQueries
from streamledger.readmodel.stream_queries import StreamQueries
from streamledger.readmodel.system_queries import SystemQueries
from streamledger.version import __version__
from streamledger.web import problems
from streamledger.web.asking import refuse_unknown_parameters
from streamledger.web.auth import Tokens, may_read
from streamledger.web.callbacks import Callbacks, callback_routes
from streamledger.web.deliveries import DeliveriesController
from streamledger.web.description import DescriptionPlugin
from streamledger.web.events import follow_events
from streamledger.web.metrics import metrics
from streamledger.web.moments import ExplanationController
from streamledger.web.pages.routes import page_routes, unknown_path_or_problem
from streamledger.web.quarantine import QuarantineController
from streamledger.web.rebuild_feed import follow_rebuild
from streamledger.web.rebuilds import RebuildsController
from streamledger.web.senders import Senders
from streamledger.web.sessions import SessionsController
from streamledger.web.stream_lists import StreamListsController
from streamledger.web.streams import StreamsController
from streamledger.web.system import LedgerController, live, ready


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


class WebOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the routes must know of the settings."""

    body_bytes_max: int
    path_token: str | None = None
    senders: Senders = msgspec.field(default_factory=Senders)
    key_names: Callable[[], Sequence[str]] = tuple
    """Names of the callback keys in force, to be shown."""


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
            app.state.queries = services.queries
            app.state.quarantine = services.quarantine
            app.state.system = services.system
            app.state.releases = services.releases
            app.state.tokens = services.tokens
            app.state.senders = options.senders
            app.state.key_names = options.key_names
            app.state.queue_length = lambda: services.receiver.queue_length
            app.state.tail = services.tail
            app.state.changes = services.changes
            app.state.pages = services.pages
            app.state.callbacks = Callbacks(
                services.receiver,
                body_bytes_max=options.body_bytes_max,
                path_token=options.path_token,
                senders=options.senders,
            )
            yield

    async def queries(state: State) -> Queries:
        found: Queries = state.queries
        return found

    async def stream_queries(state: State) -> StreamQueries:
        return StreamQueries(state.queries)

    async def deliveries(state: State) -> DeliveryQueries:
        return DeliveryQueries(state.queries.pool)

    async def audit(state: State) -> AuditQueries:
        return AuditQueries(state.queries.pool)

    async def quarantine(state: State) -> QuarantineQueries:
        found: QuarantineQueries = state.quarantine
        return found

    async def system(state: State) -> SystemQueries:
        found: SystemQueries = state.system
        return found

    async def releases(state: State) -> Releases:
        found: Releases = state.releases
        return found

    async def rebuilds(state: State) -> RebuildQueries:
        return RebuildQueries(state.queries.pool)

    async def tail(state: State) -> Tail:
        found: Tail = state.tail
        return found

    async def changes(state: State) -> Tail:
        found: Tail = state.changes
        return found

    async def pages(state: State) -> PageQueries:
        found: PageQueries = state.pages
        return found

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
        dependencies={"deliveries": Provide(deliveries), "audit": Provide(audit)},
        guards=[may_read],
        before_request=refuse_unknown_parameters,
    )
    return Litestar(
        route_handlers=[*callback_routes(), guarded, live, ready, metrics, *page_routes()],
        lifespan=[lifespan],
        dependencies={
            "queries": Provide(queries),
            "rebuilds": Provide(rebuilds),
            "stream_queries": Provide(stream_queries),
            "quarantine": Provide(quarantine),
            "system": Provide(system),
            "releases": Provide(releases),
            "tail": Provide(tail),
            "changes": Provide(changes),
            "pages": Provide(pages),
        },
        exception_handlers={
            StreamledgerError: problems.streamledger_error,
            HTTPException: unknown_path_or_problem,
            Exception: problems.unexpected_error,
        },
        openapi_config=OpenAPIConfig(
            title="streamledger",
            version=__version__,
            path="/schema",
            render_plugins=[DescriptionPlugin()],
        ),
        request_max_body_size=options.body_bytes_max,
        logging_config=None,
    )
