"""The ledger's events, the projections' progress, and health."""

from typing import Final

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency

from streamledger.domain.answers import LedgerEntry, ProjectionStatus
from streamledger.readmodel.cursors import decode_cursor, encode_cursor
from streamledger.readmodel.queries import LIMIT_DEFAULT, Page, Queries
from streamledger.readmodel.rebuild_queries import RebuildQueries
from streamledger.web import parameters as given

EVENTS: Final = "events"
"""The list that its cursors name."""


class LedgerController(Controller):
    """What is in the ledger, and how far the read model has come."""

    path = "/v1"
    tags = ["ledger"]  # noqa: RUF012  # the framework's own form of a class attribute

    @get("/events", summary="Events after a position")
    async def list_events(
        self,
        queries: NamedDependency[Queries],
        after: given.After = 0,
        limit: given.Limit = LIMIT_DEFAULT,
        cursor: given.Cursor = None,
        min_position: given.MinPosition = None,
    ) -> Page[LedgerEntry]:
        """The ledger in order. Go on with the last position, or the cursor: positions rise, with gaps."""
        if min_position is not None:
            await queries.wait_for(min_position)
        if cursor is not None:
            after = decode_cursor(EVENTS, cursor, (int,))[0]
        found = await queries.events(after, limit + 1)
        more, items = len(found) > limit, found[:limit]
        return Page(items, encode_cursor(EVENTS, [items[-1].position]) if more else None)

    @get("/projections", summary="Progress of the projections")
    async def list_projections(
        self, queries: NamedDependency[Queries], min_position: given.MinPosition = None
    ) -> Page[ProjectionStatus]:
        """Position, head and lag of each projection."""
        if min_position is not None:
            await queries.wait_for(min_position)
        return Page(await queries.projections())


@get("/health/live", tags=["health"], summary="Is the process alive")
async def live() -> dict[str, str]:
    """Answers as long as the process does."""
    return {"status": "live"}


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """The store answers: deliveries can be kept."""

    status: str = "ready"
    position: int
    """Up to which the sessions have taken the ledger in."""
    parked: int
    """Events that a projection could not take in; they do not hinder the intake."""


@get("/health/ready", tags=["health"], summary="Can deliveries be kept")
async def ready(queries: NamedDependency[Queries], rebuilds: NamedDependency[RebuildQueries]) -> Readiness:
    """200 when the store answers, 503 with the cause when it does not."""
    return Readiness(position=await queries.position(), parked=await rebuilds.parked_count())
