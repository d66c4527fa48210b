"""The ledger's events, the projections' progress, and health."""

from litestar import Controller, Response, get
from litestar.di import NamedDependency

from streamledger.domain.answers import LedgerEntry, ProjectionStatus
from streamledger.domain.errors import StoreUnavailable
from streamledger.readmodel.queries import LIMIT_DEFAULT, Page, Queries
from streamledger.readmodel.rebuild_queries import RebuildQueries
from streamledger.web import parameters as given


class LedgerController(Controller):
    """What is in the ledger, and how far the read model has come."""

    path = "/v1"
    tags = ["ledger"]  # noqa: RUF012  # the framework's own form of a class attribute

    @get("/events", summary="Events after a position")
    async def list_events(
        self, queries: NamedDependency[Queries], after: given.After = 0, limit: given.Limit = LIMIT_DEFAULT
    ) -> Page[LedgerEntry]:
        """The ledger in order. Go on with the last event's position: positions rise, with gaps."""
        return Page(await queries.events(after, limit))

    @get("/projections", summary="Progress of the projections")
    async def list_projections(self, queries: NamedDependency[Queries]) -> Page[ProjectionStatus]:
        """Position, head and lag of each projection."""
        return Page(await queries.projections())


@get("/health/live", tags=["health"], summary="Is the process alive")
async def live() -> dict[str, str]:
    """Answers as long as the process does."""
    return {"status": "live"}


@get("/health/ready", tags=["health"], summary="Can deliveries be kept")
async def ready(
    queries: NamedDependency[Queries], rebuilds: NamedDependency[RebuildQueries]
) -> Response[dict[str, str | int]]:
    """200 when the store answers, 503 with the cause when it does not; parked events do not hinder intake."""
    try:
        position = await queries.position()
        parked = await rebuilds.parked_count()
    except StoreUnavailable as error:
        return Response({"status": "unavailable", "cause": str(error)}, status_code=503)
    return Response({"status": "ready", "position": position, "parked": parked})
