"""`/audit`: the days' numbers, and suspicious deliveries."""

from typing import Annotated, Final

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter
from litestar.response import Redirect

from streamledger.readmodel.queries.audit import (
    LISTED_BY_DEFAULT,
    SUSPICIOUS_CLASSES,
    AuditQueries,
    AuditScope,
)
from streamledger.readmodel.queries.sessions import Queries
from streamledger.web import parameters as given
from streamledger.web.pages.changes import changes_path
from streamledger.web.pages.forms import Text
from streamledger.web.pages.links import delivery_path
from streamledger.web.pages.page import AnyRequest, render
from streamledger.web.pages.plots import days_of

LISTED_MAX: Final = 100

Class = Annotated[str, QueryParameter(name="class", max_length=40)]
Position = Annotated[int, PathParameter(ge=0, le=given.POSITION_MAX)]


@get("/audit", include_in_schema=False)
async def audit_page(
    request: AnyRequest,
    queries: NamedDependency[Queries],
    audit: NamedDependency[AuditQueries],
    class_: Class = "",
    stream_id: Text = None,
) -> Response[bytes]:
    """The last seven days in numbers, and what an auditor should look at."""
    given.one_of("class", class_, SUSPICIOUS_CLASSES)
    position = await queries.position()
    scope = AuditScope.of(
        None,
        None,
        audit.now_ms(),
        stream_id=stream_id or None,
        classes=(class_,) if class_ else LISTED_BY_DEFAULT,
    )
    report = await audit.report(scope, LISTED_MAX)
    return await render(
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
async def moved_delivery(position: Position) -> Redirect:
    """Where one delivery was shown before: pages and tickets may still lead there."""
    return Redirect(delivery_path(position), status_code=308)
