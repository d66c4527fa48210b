"""Rebuilds over HTTP: ask for one, watch it, cancel it; and the events that are parked."""

from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, Parameter

from streamledger.domain.rebuild_answers import ParkedEvent, RebuildAnswer
from streamledger.readmodel.queries.rebuilds import RebuildQueries
from streamledger.readmodel.queries.sessions import LIMIT_DEFAULT, Page
from streamledger.web import parameters as given
from streamledger.web.auth import may_administer

Projection = Annotated[str | None, Parameter(max_length=64, description="Only of this projection")]


class RebuildRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be rebuilt; all of it without a body."""

    projections: list[str] = []
    """Names of projections; all without any."""
    to: Annotated[int, msgspec.Meta(ge=1, le=given.POSITION_MAX)] | None = None
    """The position up to which history is folded; all of it without. The projector goes on from there."""
    dry_run: bool = False
    """Change nothing, and say what a rebuild would change."""


class RebuildsController(Controller):
    """The read model anew from history, while the live tables serve."""

    path = "/v1"
    tags = ["rebuilds"]  # noqa: RUF012  # the framework's own form of a class attribute

    @post("/projections/rebuild", summary="Ask for a rebuild", status_code=202, guards=[may_administer])
    async def ask_for_rebuild(
        self,
        request: Request[Any, Any, Any],
        rebuilds: NamedDependency[RebuildQueries],
        data: JSONBody[RebuildRequest | None] = None,
    ) -> RebuildAnswer:
        """The projector begins within a second; `GET /v1/rebuilds/{id}` shows how far it is.

        409 while another is asked for or, whoever began it, under way; the same is not asked for twice.
        """
        caller = getattr(request.state, "caller", None)
        by = caller.name if caller is not None else "http"
        wanted = data or RebuildRequest()
        return await rebuilds.ask(wanted.projections, by, wanted.to, dry_run=wanted.dry_run)

    @get("/rebuilds", summary="Rebuilds, latest first")
    async def list_rebuilds(
        self,
        rebuilds: NamedDependency[RebuildQueries],
        limit: given.Limit = LIMIT_DEFAULT,
        cursor: given.Cursor = None,
    ) -> Page[RebuildAnswer]:
        """Those under way too."""
        return await rebuilds.latest(limit, cursor)

    @get("/rebuilds/{rebuild_id:int}", summary="One rebuild")
    async def get_rebuild(
        self, rebuilds: NamedDependency[RebuildQueries], rebuild_id: FromPath[int]
    ) -> RebuildAnswer:
        """State, phase, rate and time left."""
        return await rebuilds.one(rebuild_id)

    @delete(
        "/rebuilds/{rebuild_id:int}", summary="Cancel a rebuild", status_code=202, guards=[may_administer]
    )
    async def cancel_rebuild(
        self, rebuilds: NamedDependency[RebuildQueries], rebuild_id: FromPath[int]
    ) -> RebuildAnswer:
        """It ends within a second, and the live tables are as they were. 409 when it is done or failed."""
        return await rebuilds.cancel(rebuild_id)

    @get("/parked", summary="Events that a projection could not take in")
    async def list_parked(
        self,
        rebuilds: NamedDependency[RebuildQueries],
        projection: Projection = None,
        limit: given.Limit = LIMIT_DEFAULT,
        cursor: given.Cursor = None,
    ) -> Page[ParkedEvent]:
        """With the error of each; a new version of the rules tries them again by itself."""
        return await rebuilds.parked(projection, limit, cursor)
