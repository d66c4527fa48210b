"""`/v1/deliveries`, `/v1/sessions/{sequence}/deliveries` and `/v1/audit`: who sent what, and how often."""

from typing import Annotated, Any

from litestar import Controller, Request, get
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter

from streamledger.domain.delivery_answers import AuditReport, DeliveryAnswer, DeliveryDetail
from streamledger.domain.errors import ParameterInvalid
from streamledger.domain.forensics import DeliveryClass
from streamledger.readmodel.queries.audit import (
    LISTED_BY_DEFAULT,
    SUSPICIOUS_CLASSES,
    AuditQueries,
    AuditScope,
)
from streamledger.readmodel.queries.deliveries import DeliveryQueries
from streamledger.readmodel.queries.ledger_scan import DeliveryFilter
from streamledger.readmodel.queries.sessions import LIMIT_DEFAULT, LIMIT_MAX, Page
from streamledger.web import parameters as given

Class = Annotated[DeliveryClass | None, QueryParameter(name="class", description="What the deliveries are")]
CarriedSequence = Annotated[
    str | None, QueryParameter(max_length=64, description="Sequence that the deliveries carry")
]
Key = Annotated[
    str | None, QueryParameter(max_length=256, description="Name of the callback key that verified them")
]
SourceIp = Annotated[str | None, QueryParameter(max_length=64, description="Address that they came from")]
From = Annotated[
    str | None,
    QueryParameter(
        name="from", max_length=64, description="Received at or after this time: RFC 3339 or Unix seconds"
    ),
]
To = Annotated[str | None, QueryParameter(name="to", max_length=64, description="Received before this time")]
Position = Annotated[int, PathParameter(ge=0, le=given.POSITION_MAX, description="Position in the ledger")]
AuditClasses = Annotated[
    str | None,
    QueryParameter(
        name="class",
        max_length=200,
        description=f"Comma-separated, of {', '.join(SUSPICIOUS_CLASSES)};"
        f" by default {', '.join(LISTED_BY_DEFAULT)}",
    ),
]
Listed = Annotated[
    int,
    QueryParameter(ge=0, le=LIMIT_MAX, description="Suspicious deliveries listed, newest first; 0 for none"),
]


class DeliveriesController(Controller):
    """Deliveries of the ledger, each with its class and evidence (docs/forensics.md)."""

    path = "/v1"
    tags = ["deliveries"]  # noqa: RUF012  # the framework's own form of a class attribute

    @get("/deliveries", summary="Deliveries by position, the newest first")
    async def list_deliveries(
        self,
        deliveries: NamedDependency[DeliveryQueries],
        class_: Class = None,
        stream_id: given.StreamId = None,
        sequence: CarriedSequence = None,
        key: Key = None,
        source_ip: SourceIp = None,
        received_from: From = None,
        received_to: To = None,
        limit: given.Limit = LIMIT_DEFAULT,
        cursor: given.Cursor = None,
    ) -> Page[DeliveryAnswer]:
        """What each delivery is beside the others of its notification, and why."""
        wanted = DeliveryFilter(
            class_=class_,
            stream_id=stream_id,
            sequence=sequence,
            key=key,
            source_ip=source_ip,
            from_ms=given.instant("from", received_from),
            to_ms=given.instant("to", received_to),
        )
        return await deliveries.deliveries(wanted, limit, cursor)

    @get("/deliveries/{position:int}", summary="One delivery beside the others of its notification")
    async def get_delivery(
        self,
        request: Request[Any, Any, Any],
        deliveries: NamedDependency[DeliveryQueries],
        position: Position,
    ) -> DeliveryDetail:
        """The body, and all else that was delivered of the same notification.

        Scope read sees the body as read, without secrets; scope admin sees its bytes too.
        """
        whole = request.state.caller.scope == "admin"
        return await deliveries.delivery(position, whole=whole)

    @get("/sessions/{sequence:str}/deliveries", summary="A session's deliveries")
    async def get_session_deliveries(
        self,
        deliveries: NamedDependency[DeliveryQueries],
        sequence: given.Sequence,
        stream_id: given.StreamId = None,
        limit: given.Limit = LIMIT_DEFAULT,
        cursor: given.Cursor = None,
    ) -> Page[DeliveryAnswer]:
        """All deliveries of the notifications that name the session or are attributed to it, in its order."""
        return await deliveries.of_session(sequence, stream_id, limit, cursor)

    @get("/audit", summary="Numbers of each day, and suspicious deliveries")
    async def get_audit(
        self,
        audit: NamedDependency[AuditQueries],
        received_from: From = None,
        received_to: To = None,
        stream_id: given.StreamId = None,
        classes: AuditClasses = None,
        limit: Listed = LIMIT_DEFAULT,
    ) -> AuditReport:
        """Over whole UTC days, the last seven by default; what was set aside is judged too."""
        scope = AuditScope.of(
            given.instant("from", received_from),
            given.instant("to", received_to),
            audit.now_ms(),
            stream_id=stream_id,
            classes=_classes(classes),
        )
        return await audit.report(scope, limit)


def _classes(text: str | None) -> tuple[str, ...]:
    if text is None:
        return LISTED_BY_DEFAULT
    names = tuple(dict.fromkeys(text.split(",")))
    if not set(names) <= set(SUSPICIOUS_CLASSES):
        raise ParameterInvalid(name="class", expected=f"of {', '.join(SUSPICIOUS_CLASSES)}", got=repr(text))
    return names
