"""`/deliveries` and `/deliveries/{position}`: what came in, how it was answered, and one of it in full."""

from functools import partial
from typing import Annotated, Any, Final

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter

from streamledger.domain.delivery_answers import DeliveryDetail
from streamledger.domain.forensics import DeliveryClass
from streamledger.domain.kinds import EVENT_TYPE_BY_NUMBER, kind_of
from streamledger.operations.timings import BOUNDS_S
from streamledger.readmodel.queries.arrivals import ANSWERED, ArrivalFilter, ArrivalQueries
from streamledger.readmodel.queries.deliveries import DeliveryQueries
from streamledger.readmodel.queries.pacing import off_loop
from streamledger.readmodel.queries.pages import PageQueries
from streamledger.readmodel.queries.sessions import Queries
from streamledger.web import parameters as given
from streamledger.web.pages import decoding, downloads
from streamledger.web.pages.changes import changes_path
from streamledger.web.pages.forms import Text, ZoneName, fields_of
from streamledger.web.pages.links import link
from streamledger.web.pages.page import AnyRequest, may_see_secrets, render
from streamledger.web.pages.plots import minutes_of
from streamledger.web.pages.quarantine import bytes_shown
from streamledger.web.zones import ms_of_form

LISTED_A_PAGE: Final = 50
VERDICTS: Final = ("believed", "set_aside")
CLASSES: Final = (*(each.value for each in DeliveryClass), *ANSWERED)
"""What a delivery can be: the classes of those believed, the reasons of those set aside."""

Position = Annotated[int, PathParameter(ge=0, le=given.POSITION_MAX)]
Name = Annotated[str, QueryParameter(max_length=40)]
ClassName = Annotated[str, QueryParameter(name="class", max_length=40)]
From = Annotated[str | None, QueryParameter(name="from", max_length=64)]
To = Annotated[str | None, QueryParameter(name="to", max_length=64)]
Type = Annotated[str, QueryParameter(name="type", pattern=r"^\d{0,9}$")]


@get("/deliveries", include_in_schema=False)
async def deliveries_page(
    request: AnyRequest,
    queries: NamedDependency[Queries],
    pages: NamedDependency[PageQueries],
    arrivals: NamedDependency[ArrivalQueries],
    verdict: Name = "",
    class_: ClassName = "",
    stream_id: Text = None,
    sequence: Text = None,
    event_type: Type = "",
    source_ip: Text = None,
    received_from: From = None,
    received_to: To = None,
    zone: ZoneName = None,
    cursor: given.Cursor = None,
    form: downloads.Form = "",
) -> Response[bytes]:
    """What came in, newest first: believed or set aside, with how it was answered."""
    position = await queries.position()
    wanted = ArrivalFilter(
        verdict=given.one_of("verdict", verdict, VERDICTS),
        class_=given.one_of("class", class_, CLASSES),
        stream_id=stream_id or None,
        sequence=sequence or None,
        event_type=int(event_type) if event_type else None,
        source_ip=source_ip or None,
        from_ms=ms_of_form("from", received_from, zone),
        to_ms=ms_of_form("to", received_to, zone),
    )
    page = await arrivals.latest(wanted, LISTED_A_PAGE, cursor)
    if form:
        return downloads.answer(request, form, "deliveries", page.items)
    hour = await arrivals.last_hour(pages.clock_ms())
    asked = fields_of(
        {
            "verdict": verdict,
            "class": class_,
            "stream_id": stream_id,
            "sequence": sequence,
            "type": event_type,
            "source_ip": source_ip,
        },
        {"from": wanted.from_ms, "to": wanted.to_ms},
    )
    return await render(
        request,
        "deliveries.html",
        feed=changes_path(position, stream_id or None) if cursor is None else None,
        page_of=page,
        asked=asked,
        filtered=any(asked.values()),
        address=partial(link, "/deliveries", **asked),
        kind_of=kind_of,
        classes=[each.value for each in DeliveryClass],
        reasons=list(ANSWERED),
        types=sorted(EVENT_TYPE_BY_NUMBER),
        hour=hour,
        speed=request.app.state.health.speed,
        milliseconds=milliseconds,
        bars=minutes_of(hour.believed, hour.aside, hour.from_ms),
        cursor=cursor,
    )


@get("/deliveries/{position:int}", include_in_schema=False)
async def delivery_page(
    request: AnyRequest,
    queries: NamedDependency[Queries],
    deliveries: NamedDependency[DeliveryQueries],
    position: Position,
) -> Response[bytes]:
    """One delivery: its headers and its body, decoded beside raw, and the others of its notification."""
    reached = await queries.position()
    detail = await deliveries.delivery(position, whole=may_see_secrets(request))
    redacted = msgspec.json.format(msgspec.json.encode(detail.body), indent=2).decode()
    raw = detail.body_text
    decode = partial(decoding.decoded, event_type=detail.delivery.event_type)
    decoded = await off_loop(len(redacted), decode, detail.body)
    return await render(
        request,
        "delivery.html",
        feed=changes_path(reached, detail.delivery.stream_id),
        detail=detail,
        head=reached,
        decoded=decoded,
        meaning=decoding.meaning,
        instant_of=decoding.instant_of,
        raw=bytes_shown(raw.encode("utf-8", "replace")) if raw is not None else redacted,
        is_raw=raw is not None,
        fields=differing_fields(detail),
        shown=shown,
    )


def differing_fields(detail: DeliveryDetail) -> list[str]:
    """The fields in which any delivery of the notification differs from the first, in order."""
    return sorted({each.field for beside in detail.same_notification for each in beside.differences})


def milliseconds(bound: float | None) -> str:
    """A bound of how long an answer took."""
    return f"> {BOUNDS_S[-1]:g} s" if bound is None else f"≤ {bound:g} ms"


def shown(value: Any) -> str:
    """A value of a body as JSON writes it; an absent one as nothing."""
    return "" if value is None else msgspec.json.encode(value).decode()[:200]
