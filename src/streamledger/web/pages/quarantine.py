"""`/quarantine/{id}`: one delivery that was set aside, and the decision to believe it."""

import asyncio
import time
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from streamledger.domain.errors import ParameterInvalid
from streamledger.ledger.acts import Actor
from streamledger.operations.release import REASON_CHARACTERS_MAX, Releases
from streamledger.readmodel.quarantine_queries import QuarantineQueries
from streamledger.web.pages.page import HEADERS, AnyRequest, caller_of, from_our_pages, may_act, render


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
