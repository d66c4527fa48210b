"""`/system`: the read model's progress, conservation, storage, the names of keys, the version."""

import asyncio
from contextlib import suppress
from functools import partial
from typing import Any, Final

import msgspec
from litestar import Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect, Stream

from streamledger.domain.rebuild_answers import RebuildAnswer
from streamledger.readmodel.feed.feed import Tail
from streamledger.readmodel.queries.pages import PageQueries
from streamledger.readmodel.queries.rebuilds import RebuildQueries
from streamledger.readmodel.queries.sessions import Queries
from streamledger.readmodel.rebuild.record import RebuildOver
from streamledger.web.pages.changes import changes_path
from streamledger.web.pages.links import link
from streamledger.web.pages.page import (
    ENVIRONMENT,
    HEADERS,
    AnyRequest,
    caller_of,
    from_our_pages,
    may_act,
    render,
    still_may_look,
    tokens_in_force,
    visitor_of,
)
from streamledger.web.rebuild_feed import followed

REBUILDS_SHOWN: Final = 6
PARKED_SHOWN: Final = 10


@get("/system", include_in_schema=False)
async def system_page(
    request: AnyRequest,
    state: State,
    queries: NamedDependency[Queries],
    pages: NamedDependency[PageQueries],
    rebuilds: NamedDependency[RebuildQueries],
) -> Response[bytes]:
    """How the program itself does, and rebuilds: asked for, watched and cancelled."""
    position = await queries.position()
    projections, storage, latest, parked = await asyncio.gather(
        queries.projections(),
        pages.storage(),
        rebuilds.latest(REBUILDS_SHOWN),
        rebuilds.parked(None, PARKED_SHOWN),
    )
    tried = [each for each in latest.items if each.differences is not None]
    counters = dict(storage.counters)
    received = counters.pop("received", 0)

    def sum_of(outcome: str) -> int:
        return sum(count for name, count in counters.items() if name.partition(":")[0] == outcome)

    kept = {name: sum_of(name) for name in ("ledger", "quarantine", "refused")}
    return await render(
        request,
        "system.html",
        feed=changes_path(position),
        projections=projections,
        storage=storage,
        counters=counters,
        received=received,
        kept=kept,
        adds_up=received == sum(kept.values()),
        rebuilds=latest.items,
        tried=tried[0] if tried else None,
        parked=parked,
        may_rebuild=caller_of(request).scope == "admin",
        key_names=list(state.options.key_names()),
        tokens=[(token.name, token.scope) for token in await tokens_in_force(request)],
    )


@post("/system/rebuild", include_in_schema=False, guards=[from_our_pages, may_act])
async def rebuild_from_page(request: AnyRequest, rebuilds: NamedDependency[RebuildQueries]) -> Redirect:
    """Ask for a rebuild of one projection or all, or for a dry run of it."""
    form = await request.form()
    name, dry_run = form.get("projection"), form.get("dry_run")
    names = [name] if isinstance(name, str) and name else []
    await rebuilds.ask(names, caller_of(request).name, dry_run=bool(dry_run))
    return Redirect(link("/system#rebuild"), status_code=303, headers=HEADERS)


@get("/system/rebuild/{rebuild_id:int}/live", include_in_schema=False)
async def follow_rebuild_on_page(
    request: AnyRequest,
    rebuilds: NamedDependency[RebuildQueries],
    tail: NamedDependency[Tail],
    rebuild_id: FromPath[int],
) -> Stream:
    """The events of `/v1/rebuilds/{id}/live` for who has signed in, with the cells of its row in the
    visitor's language: the page puts them in as they come."""
    words = visitor_of(request).words
    parts: Any = ENVIRONMENT.get_template("rebuild_parts.html").module

    def cells(answer: RebuildAnswer) -> bytes:
        return msgspec.json.encode(
            {"state": str(parts.state(words, answer)), "progress": str(parts.progress(words, answer))}
        )

    return await followed(
        request.app.state, rebuilds, tail, rebuild_id, cells, may_go_on=partial(still_may_look, request)
    )


@post("/system/rebuild/{rebuild_id:int}/cancel", include_in_schema=False, guards=[from_our_pages, may_act])
async def cancel_rebuild_from_page(
    request: AnyRequest, rebuilds: NamedDependency[RebuildQueries], rebuild_id: FromPath[int]
) -> Redirect:
    """Cancel it; the live tables stay as they were."""
    with suppress(RebuildOver):  # it has ended meanwhile, as its row says
        await rebuilds.cancel(rebuild_id)
    return Redirect(link("/system#rebuild"), status_code=303, headers=HEADERS)
