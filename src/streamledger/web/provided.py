"""What handlers are given by name: services, queries, and what several requests ask with."""

from collections.abc import Callable
from typing import Any, Final

from litestar.datastructures import State
from litestar.di import NamedDependency, Provide

from streamledger.readmodel.moments.queries import PastQueries
from streamledger.readmodel.queries.arrivals import ArrivalQueries
from streamledger.readmodel.queries.audit import AuditQueries
from streamledger.readmodel.queries.deliveries import DeliveryQueries
from streamledger.readmodel.queries.find import FindQueries
from streamledger.readmodel.queries.rebuilds import RebuildQueries
from streamledger.readmodel.queries.sessions import Queries
from streamledger.readmodel.queries.streams import StreamQueries
from streamledger.web.moments import asked_for
from streamledger.web.parameters import MinPosition


def _of_state(name: str) -> Provide:
    """What the application holds under this name."""

    async def held(state: State) -> Any:
        return state[name]

    return Provide(held)


def _on_pool(kind: Callable[[Any], object]) -> Provide:
    """Queries of this kind, on the pool of those about sessions."""

    async def made(state: State) -> Any:
        return kind(state.queries.pool)

    return Provide(made)


def _when_reached(make: Callable[[Queries], object]) -> Provide:
    """Queries that stand on those about sessions, and wait as they do."""

    async def made(queries: NamedDependency[Queries]) -> Any:
        return make(queries)

    return Provide(made)


async def _reached(state: State, min_position: MinPosition = None) -> Queries:
    """The queries, once the read model has taken in the position that a request waits for."""
    queries: Queries = state.queries
    if min_position is not None:
        await queries.wait_for(min_position)
    return queries


TO_ALL: Final = {
    "rebuilds": _on_pool(RebuildQueries),
    **{name: _of_state(name) for name in ("queries", "quarantine", "system", "releases", "tail", "pages")},
}
TO_PROGRAMS: Final = {
    "queries": Provide(_reached),
    "past": _when_reached(PastQueries),
    "moment": Provide(asked_for),
    "stream_queries": _when_reached(StreamQueries),
    "deliveries": _when_reached(lambda queries: DeliveryQueries(queries.pool)),
    "audit": _on_pool(AuditQueries),
}
"""Below `/v1`, in the place of what all are given."""
TO_PAGES: Final = {
    "changes": _of_state("changes"),
    "audit": _on_pool(AuditQueries),
    "deliveries": _on_pool(DeliveryQueries),
    "arrivals": _on_pool(ArrivalQueries),
    "find": _on_pool(FindQueries),
}
