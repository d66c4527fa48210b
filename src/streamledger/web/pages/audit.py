"""`/audit` and `/audit/{position}`: the days' numbers, suspicious deliveries, one beside its copies."""

from typing import Annotated, Final

import msgspec
from litestar import Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter

from streamledger.domain.delivery_answers import DeliveryDetail
from streamledger.domain.errors import ParameterInvalid
from streamledger.readmodel.audit_queries import (
    LISTED_BY_DEFAULT,
    SUSPICIOUS_CLASSES,
    AuditQueries,
    AuditScope,
)
from streamledger.readmodel.delivery_queries import DeliveryQueries
from streamledger.readmodel.queries import Queries
from streamledger.web import parameters as given
from streamledger.web.pages.changes import changes_path
from streamledger.web.pages.page import AnyRequest, render
from streamledger.web.pages.plots import days_of

LISTED_MAX: Final = 100

Class = Annotated[str, QueryParameter(name="class", max_length=40)]
Text = Annotated[str | None, QueryParameter(max_length=256)]
Position = Annotated[int, PathParameter(ge=0, le=given.POSITION_MAX)]


async def audit_of(state: State) -> AuditQueries:
    """The audit's queries, on the pool of the others."""
    return AuditQueries(state.queries.pool)


async def deliveries_of(state: State) -> DeliveryQueries:
    """The queries about deliveries, on the pool of the others."""
    return DeliveryQueries(state.queries.pool)


@get("/audit", include_in_schema=False)
async def audit_page(
    request: AnyRequest,
    queries: NamedDependency[Queries],
    audit: NamedDependency[AuditQueries],
    class_: Class = "",
    stream_id: Text = None,
) -> Response[bytes]:
    """The last seven days in numbers, and what an auditor should look at."""
    if class_ and class_ not in SUSPICIOUS_CLASSES:
        raise ParameterInvalid(name="class", expected=f"of {', '.join(SUSPICIOUS_CLASSES)}", got=repr(class_))
    position = await queries.position("deliveries")
    scope = AuditScope.of(
        None,
        None,
        audit.now_ms(),
        stream_id=stream_id or None,
        classes=(class_,) if class_ else LISTED_BY_DEFAULT,
    )
    report = await audit.report(scope, LISTED_MAX)
    return render(
        request,
        "audit.html",
        feed=changes_path(position, stream_id or None),
        report=report,
        most=max((day.received for day in report.days), default=0),
        bars=days_of(report.days),
        total=sum(day.received for day in report.days),
        classes=SUSPICIOUS_CLASSES,
        class_=class_,
        stream_id=stream_id or "",
    )


@get("/audit/{position:int}", include_in_schema=False)
async def delivery_page(
    request: AnyRequest,
    queries: NamedDependency[Queries],
    deliveries: NamedDependency[DeliveryQueries],
    position: Position,
) -> Response[bytes]:
    """One delivery: its class and why, its body, and the others of its notification with what differs."""
    reached = await queries.position("deliveries")
    detail = await deliveries.delivery(position)
    return render(
        request,
        "delivery.html",
        feed=changes_path(reached, detail.delivery.stream_id),
        detail=detail,
        body=msgspec.json.format(msgspec.json.encode(detail.body), indent=2).decode(),
        fields=differing_fields(detail),
        shown=shown,
    )


def differing_fields(detail: DeliveryDetail) -> list[str]:
    """The fields in which any delivery of the notification differs from the first, in order."""
    return sorted({each.field for beside in detail.same_notification for each in beside.differences})


def shown(value: object) -> str:
    """A value of a body as JSON writes it; an absent one as nothing."""
    return "" if value is None else msgspec.json.encode(value).decode()[:200]
