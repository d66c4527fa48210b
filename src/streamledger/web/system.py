"""The ledger's events, the projections' progress, and health."""

from typing import Any, Final

import msgspec
from litestar import Controller, Request, get
from litestar.datastructures import State
from litestar.di import NamedDependency

from streamledger.domain.answers import LedgerEntry, ProjectionStatus
from streamledger.domain.instants import instant_ms
from streamledger.operations.health import Health
from streamledger.readmodel.queries.cursors import decode_cursor, encode_cursor
from streamledger.readmodel.queries.sessions import LIMIT_DEFAULT, Page, Queries
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
        request: Request[Any, Any, Any],
        queries: NamedDependency[Queries],
        after: given.After = 0,
        limit: given.Limit = LIMIT_DEFAULT,
        cursor: given.Cursor = None,
    ) -> Page[LedgerEntry]:
        """The ledger in order. Go on with the last position, or the cursor: positions rise by one.

        A page ends early where its events are large. Of one that cannot be read scope admin sees the bytes.
        """
        if cursor is not None:
            after = decode_cursor(EVENTS, cursor, (int,))[0]
        items, more = await queries.events(after, limit, whole=request.state.caller.scope == "admin")
        return Page(items, encode_cursor(EVENTS, [items[-1].position]) if more and items else None)

    @get("/projections", summary="Progress of the projections")
    async def list_projections(self, queries: NamedDependency[Queries]) -> Page[ProjectionStatus]:
        """Position, head and lag of each projection."""
        return Page(await queries.projections())


@get("/health/live", tags=["health"], summary="Is the process alive")
async def live() -> dict[str, str]:
    """Answers as long as the process does."""
    return {"status": "live"}


class TaskAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A background task."""

    name: str
    state: str
    """running, or failed: it waits to be begun again"""
    since: str
    failures: int
    """Since the process began."""


class TroubleAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as it should be, although deliveries are stored."""

    what: str
    """projector, parked, clock, disk or task"""
    detail: str
    since: str
    """When the process that answers saw it first."""


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries are stored: there was a commit a moment ago."""

    status: str
    """ready, or degraded: ready, and yet something else is not as it should be"""
    degraded: list[TroubleAnswer]
    tasks: list[TaskAnswer]
    """What runs in the background of the process that answers; none hinders the intake."""


@get("/health/ready", tags=["health"], summary="Can deliveries be kept")
async def ready(state: State) -> Readiness:
    """200 when deliveries are stored, else 503 with what is wrong and since when; always within a second."""
    health: Health = state.health
    if (fault := await health.fault()) is not None:
        raise fault
    tasks = [
        TaskAnswer(
            name=each.name,
            state=each.state,
            since=instant_ms(int(each.since_s * 1000)),
            failures=each.failures,
        )
        for each in state.tasks.statuses()
    ]
    degraded = [
        TroubleAnswer(what=each.what, detail=each.detail, since=each.since) for each in health.troubles
    ] + [
        TroubleAnswer(what="task", detail=f"the task {each.name} fails again and again", since=each.since)
        for each in tasks
        if each.state == "failed"
    ]
    return Readiness(status="degraded" if degraded else "ready", degraded=degraded, tasks=tasks)
