"""`/system`: the read model's progress, conservation, storage, the names of keys, the version."""

import asyncio

from litestar import Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency

from streamledger.readmodel.page_queries import PageQueries
from streamledger.readmodel.queries import Queries
from streamledger.web.pages.changes import changes_path
from streamledger.web.pages.page import AnyRequest, render, tokens_in_force


@get("/system", include_in_schema=False)
async def system_page(
    request: AnyRequest,
    state: State,
    queries: NamedDependency[Queries],
    pages: NamedDependency[PageQueries],
) -> Response[bytes]:
    """How the program itself does."""
    position = await queries.position()
    projections, storage = await asyncio.gather(queries.projections(), pages.storage())
    counters = dict(storage.counters)
    received = counters.pop("received", 0)

    def sum_of(outcome: str) -> int:
        return sum(count for name, count in counters.items() if name.partition(":")[0] == outcome)

    kept = {name: sum_of(name) for name in ("ledger", "quarantine", "refused")}
    return render(
        request,
        "system.html",
        feed=changes_path(position),
        projections=projections,
        storage=storage,
        counters=counters,
        received=received,
        kept=kept,
        adds_up=received == sum(kept.values()),
        key_names=list(state.key_names()),
        tokens=[(token.name, token.scope) for token in await tokens_in_force(request)],
    )
