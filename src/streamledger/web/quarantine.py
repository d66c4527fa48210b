"""`/v1/quarantine`: what was not believed, and the decision to believe it."""

import asyncio
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Controller, Request, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from streamledger.domain.quarantine_answers import QuarantinedBody, QuarantinedDelivery
from streamledger.ledger.quarantine import QuarantineFilter
from streamledger.operations.release import REASON_CHARACTERS_MAX, ReleaseReport, Releases, ReleaseWish
from streamledger.readmodel.queries.quarantine import QuarantineQueries
from streamledger.readmodel.queries.sessions import LIMIT_DEFAULT, Page
from streamledger.web import parameters as given
from streamledger.web.auth import actor_of, may_administer

RELEASED_PER_CALL_MAX = 10_000
"""A call by filter ends after so many; the same call again goes on."""

ReasonName = Literal["expired", "too_far_ahead", "bad_signature", "unsigned", "malformed"]
Reason = Annotated[ReasonName | None, QueryParameter(description="Why the delivery was set aside")]
Released = Annotated[bool | None, QueryParameter(description="Only those that were, or were not, released")]
From = Annotated[str | None, QueryParameter(name="from", max_length=64, description="Received at or after")]
To = Annotated[str | None, QueryParameter(name="to", max_length=64, description="Received before")]
# PostgreSQL holds no NUL.
Why = Annotated[
    str,
    msgspec.Meta(min_length=1, max_length=REASON_CHARACTERS_MAX, pattern=r"^[^\u0000]*\S[^\u0000]*$"),
]
Name = Annotated[str, msgspec.Meta(pattern=r"^[^\u0000]*$")]


class ReleaseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why the delivery is to be believed; the ledger keeps it."""

    reason: Why


class FilterRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Which deliveries are meant."""

    reason: ReasonName | None = None
    from_: str | None = None
    to: str | None = None
    stream_id: Name | None = None


class ReleaseByFilterRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which deliveries are to be believed, and why."""

    reason: Why
    filter: FilterRequest
    verify_with: str | None = None
    """Name of a callback key: only deliveries that it verifies, judged as at receipt."""
    first_only: bool = False
    """Only the first delivery of each notification, and none whose notification is believed already."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=RELEASED_PER_CALL_MAX)] = 1000
    dry_run: bool = False


class QuarantineController(Controller):
    """Deliveries that were set aside."""

    path = "/v1/quarantine"
    tags = ["quarantine"]  # noqa: RUF012  # the framework's own form of a class attribute

    @get(summary="Quarantined deliveries, latest first")
    async def list_quarantined(
        self,
        quarantine: NamedDependency[QuarantineQueries],
        reason: Reason = None,
        received_from: From = None,
        received_to: To = None,
        stream_id: given.StreamId = None,
        released: Released = None,
        limit: given.Limit = LIMIT_DEFAULT,
        cursor: given.Cursor = None,
    ) -> Page[QuarantinedDelivery]:
        """By time of receipt."""
        wanted = _filter(received_from, received_to, reason=reason, stream_id=stream_id, released=released)
        return await quarantine.deliveries(wanted, limit, cursor)

    @get("/{quarantine_id:uuid}", summary="One quarantined delivery with its body")
    async def get_quarantined(
        self,
        request: Request[Any, Any, Any],
        quarantine: NamedDependency[QuarantineQueries],
        quarantine_id: FromPath[UUID],
    ) -> QuarantinedBody:
        """Scope read sees what can be read of the body, without secrets; scope admin sees its bytes too."""
        return await quarantine.delivery(str(quarantine_id), whole=request.state.caller.scope == "admin")

    @post("/{quarantine_id:uuid}/release", summary="Believe one", status_code=200, guards=[may_administer])
    async def release_quarantined(
        self,
        request: Request[Any, Any, Any],
        quarantine: NamedDependency[QuarantineQueries],
        releases: NamedDependency[Releases],
        quarantine_id: FromPath[UUID],
        data: JSONBody[ReleaseRequest],
    ) -> QuarantinedBody:
        """Appends it to the ledger. Releasing it again changes nothing and answers the same."""
        actor = actor_of(request, request.state.caller, data.reason.strip())
        await asyncio.to_thread(releases.one, str(quarantine_id), actor)
        return await quarantine.delivery(str(quarantine_id), whole=True)

    @post("/release", summary="Believe many", status_code=200, guards=[may_administer])
    async def release_by_filter(
        self,
        request: Request[Any, Any, Any],
        releases: NamedDependency[Releases],
        data: JSONBody[ReleaseByFilterRequest],
    ) -> ReleaseReport:
        """Oldest first, `limit` at most; the same call again goes on with the rest."""
        chosen = data.filter
        wish = ReleaseWish(
            wanted=_filter(chosen.from_, chosen.to, reason=chosen.reason, stream_id=chosen.stream_id),
            first_only=data.first_only,
            limit=data.limit,
            dry_run=data.dry_run,
        )
        actor = actor_of(request, request.state.caller, data.reason.strip())
        return await asyncio.to_thread(releases.by_filter, wish, actor, verify_with=data.verify_with)


def _filter(received_from: str | None, received_to: str | None, **chosen: Any) -> QuarantineFilter:
    return QuarantineFilter.between(
        given.instant("from", received_from), given.instant("to", received_to), **chosen
    )
