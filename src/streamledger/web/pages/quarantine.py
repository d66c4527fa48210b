"""`/quarantine` and `/quarantine/{id}`: what was set aside, and the decision to believe it."""

import asyncio
import time
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.response import Redirect

from streamledger.domain.errors import ParameterInvalid
from streamledger.ledger.acts import Actor
from streamledger.ledger.quarantine import QuarantineFilter
from streamledger.operations.release import REASON_CHARACTERS_MAX, Releases
from streamledger.readmodel.quarantine_queries import QuarantineQueries
from streamledger.web import parameters as given
from streamledger.web.pages.formats import query_of
from streamledger.web.pages.page import HEADERS, AnyRequest, caller_of, from_our_pages, may_act, render

LISTED_A_PAGE: Final = 100
REASONS: Final = ("expired", "too_far_ahead", "bad_signature", "unsigned", "malformed")

Reason = Annotated[
    Literal["expired", "too_far_ahead", "bad_signature", "unsigned", "malformed", ""], QueryParameter()
]
Decided = Annotated[Literal["waiting", "released", ""], QueryParameter()]
Text = Annotated[str | None, QueryParameter(max_length=256)]


@get("/quarantine", include_in_schema=False)
async def quarantine_page(
    request: AnyRequest,
    quarantine: NamedDependency[QuarantineQueries],
    reason: Reason = "",
    decided: Decided = "",
    stream_id: Text = None,
    received_from: Text = None,
    received_to: Text = None,
    cursor: given.Cursor = None,
) -> Response[bytes]:
    """Everything that was set aside, newest first, by reason, stream, time and what was decided."""
    from_ms, to_ms = (
        given.local_ms("received_from", received_from),
        given.local_ms("received_to", received_to),
    )
    wanted = QuarantineFilter(
        reason=reason or None,
        from_us=None if from_ms is None else from_ms * 1000,
        to_us=None if to_ms is None else to_ms * 1000,
        stream_id=stream_id or None,
        released={"released": True, "waiting": False}.get(decided),
    )
    page = await quarantine.deliveries(wanted, LISTED_A_PAGE, cursor)
    asked = {
        "reason": reason,
        "decided": decided,
        "stream_id": stream_id or "",
        "received_from": received_from or "",
        "received_to": received_to or "",
    }
    return render(
        request,
        "quarantine.html",
        feed=None,
        found=page.items,
        asked=asked,
        filtered=any(asked.values()),
        reasons=REASONS,
        further=query_of("/quarantine", **asked, cursor=page.next_cursor) if page.next_cursor else None,
    )


@get("/quarantine/{quarantine_id:uuid}", include_in_schema=False)
async def quarantined_page(
    request: AnyRequest, quarantine: NamedDependency[QuarantineQueries], quarantine_id: FromPath[UUID]
) -> Response[bytes]:
    """Why it was set aside, what can be read of it without its secrets, and what was decided."""
    found = await quarantine.delivery(str(quarantine_id), whole=False)
    body = None
    if found.notification is not None:
        body = msgspec.json.format(msgspec.json.encode(found.notification), indent=2).decode()
    return render(
        request,
        "quarantined.html",
        feed=None,
        found=found,
        body=body,
        may_release=caller_of(request).scope == "admin",
        reason_max=REASON_CHARACTERS_MAX,
    )


@post("/quarantine/{quarantine_id:uuid}/release", include_in_schema=False, guards=[from_our_pages, may_act])
async def release_from_page(
    request: AnyRequest, releases: NamedDependency[Releases], quarantine_id: FromPath[UUID]
) -> Redirect:
    """Believe it. Releasing it again changes nothing."""
    form = await request.form()
    given = form.get("reason")
    reason = given.strip() if isinstance(given, str) else ""
    if not 0 < len(reason) <= REASON_CHARACTERS_MAX:
        raise ParameterInvalid(
            name="reason", expected=f"1 to {REASON_CHARACTERS_MAX} characters", got=f"{len(reason)}"
        )
    actor = Actor(
        by=caller_of(request).name,
        reason=reason,
        at_us=time.time_ns() // 1000,
        source_ip=request.app.state.senders.address_of(request.scope),
    )
    await asyncio.to_thread(releases.one, str(quarantine_id), actor)
    return Redirect(f"/quarantine/{quarantine_id}", status_code=303, headers=HEADERS)
