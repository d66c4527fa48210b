"""`/quarantine` and `/quarantine/{id}`: what was set aside, and why."""

from base64 import b64decode
from functools import partial
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from streamledger.domain.errors import MalformedBody
from streamledger.domain.kinds import kind_of
from streamledger.ledger.quarantine import REASONS, QuarantineFilter
from streamledger.operations.release import REASON_CHARACTERS_MAX
from streamledger.readmodel.queries.arrivals import ANSWERED
from streamledger.readmodel.queries.quarantine import QuarantineQueries
from streamledger.tencent.envelope import event_type_of
from streamledger.web import parameters as given
from streamledger.web.pages import decoding, downloads
from streamledger.web.pages.forms import Text, ZoneName, fields_of
from streamledger.web.pages.links import link
from streamledger.web.pages.page import AnyRequest, caller_of, may_see_secrets, render
from streamledger.web.zones import ms_of_form

LISTED_A_PAGE: Final = 50
BYTES_SHOWN_MAX: Final = 4096
AROUND: Final = 60
"""Characters on either side of a fault that are shown with it."""

Reason = Annotated[
    Literal["expired", "too_far_ahead", "bad_signature", "unsigned", "malformed", ""], QueryParameter()
]
Decided = Annotated[Literal["waiting", "released", ""], QueryParameter()]
Done = Annotated[int | None, QueryParameter(ge=0, le=given.POSITION_MAX)]


@get("/quarantine", include_in_schema=False)
async def quarantine_page(
    request: AnyRequest,
    quarantine: NamedDependency[QuarantineQueries],
    reason: Reason = "",
    decided: Decided = "",
    stream_id: Text = None,
    received_from: Text = None,
    received_to: Text = None,
    zone: ZoneName = None,
    cursor: given.Cursor = None,
    form: downloads.Form = "",
    done: Done = None,
) -> Response[bytes]:
    """Everything that was set aside, newest first, by reason, stream, time and what was decided."""
    from_ms = ms_of_form("received_from", received_from, zone)
    to_ms = ms_of_form("received_to", received_to, zone)
    wanted = QuarantineFilter.between(
        from_ms,
        to_ms,
        reason=reason or None,
        stream_id=stream_id or None,
        released={"released": True, "waiting": False}.get(decided),
    )
    page = await quarantine.deliveries(wanted, LISTED_A_PAGE, cursor)
    if form:
        return downloads.answer(request, form, "quarantine", page.items)
    asked = fields_of(
        {"reason": reason, "decided": decided, "stream_id": stream_id},
        {"received_from": from_ms, "received_to": to_ms},
    )
    return await render(
        request,
        "quarantine.html",
        feed=None,
        found=page.items,
        asked=asked,
        filtered=any(asked.values()),
        reasons=REASONS,
        address=partial(link, "/quarantine", **asked),
        cursor=cursor,
        next_cursor=page.next_cursor,
        wanted=wanted,
        kind_of=kind_of,
        answered=ANSWERED,
        done=done,
        may_release=caller_of(request).scope == "admin",
        key_names=list(request.app.state.options.key_names()),
    )


@get("/quarantine/{quarantine_id:uuid}", include_in_schema=False)
async def quarantined_page(
    request: AnyRequest, quarantine: NamedDependency[QuarantineQueries], quarantine_id: FromPath[UUID]
) -> Response[bytes]:
    """Why it was set aside, what can be read of it without its secrets, and what was decided.

    What cannot be read is shown byte for byte, to those who may see secrets.
    """
    is_admin = caller_of(request).scope == "admin"
    found = await quarantine.delivery(str(quarantine_id), whole=is_admin)
    redacted = None
    if found.notification is not None:
        redacted = msgspec.json.format(msgspec.json.encode(found.notification), indent=2).decode()
    can_be_redacted = found.notification is not None and not may_see_secrets(request)
    body = None if found.body_base64 is None or can_be_redacted else b64decode(found.body_base64)
    return await render(
        request,
        "quarantined.html",
        feed=None,
        found=found,
        raw=redacted if body is None else bytes_shown(body),
        is_raw=body is not None,
        fault_at=None if body is None or found.fault is None else around(body, found.fault.at),
        decoded=decoding.decoded(found.notification or {}, found.event_type),
        meaning=decoding.meaning,
        answered=ANSWERED[found.reason],
        kind=None if found.event_type is None else kind_of(found.event_type),
        bytes_shown_max=BYTES_SHOWN_MAX,
        can_be_read=has_event_type(found.notification),
        may_release=is_admin,
        reason_max=REASON_CHARACTERS_MAX,
    )


def has_event_type(notification: dict[str, Any] | None) -> bool:
    """Whether a notification can be made of it: else a release could only fail."""
    if notification is None:
        return False
    try:
        event_type_of(notification.get("event_type"))
    except MalformedBody:
        return False
    return True


def around(body: bytes, at: int | None) -> tuple[str, str, str] | None:
    """The text before the character where a body goes wrong, that character, and what follows."""
    try:
        text = body.decode().removeprefix("\ufeff")
    except UnicodeDecodeError:
        return None  # its characters were counted in another encoding
    if at is None or not 0 < at <= len(text) + 1:
        return None
    parts = text[max(0, at - 1 - AROUND) : at - 1], text[at - 1 : at], text[at : at + AROUND]
    before, here, after = (bytes_shown(part.encode()) for part in parts)
    return before, here, after


def bytes_shown(body: bytes) -> str:
    """The first bytes as text; what is no text, or would move a cursor, as the escape that Python writes."""
    text = body[:BYTES_SHOWN_MAX].decode("utf-8", "backslashreplace")
    return "".join(
        each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape").decode()
        for each in text
    )
