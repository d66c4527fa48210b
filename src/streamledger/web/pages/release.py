"""Releasing from the pages: one delivery, or all that a filter names, tried first without a change."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from litestar import Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from streamledger.domain.errors import ParameterInvalid
from streamledger.ledger.quarantine import REASONS, QuarantineFilter
from streamledger.operations.release import REASON_CHARACTERS_MAX, Releases, ReleaseWish
from streamledger.web import parameters as given
from streamledger.web.auth import actor_of
from streamledger.web.pages.links import link
from streamledger.web.pages.page import HEADERS, AnyRequest, caller_of, from_our_pages, may_act, render

RELEASED_AT_ONCE_MAX: Final = 1000
"""Deliveries that one press of the button releases; the same once more goes on with the rest."""
_TRIED: Final = "tried on the page"


@post("/quarantine/{quarantine_id:uuid}/release", include_in_schema=False, guards=[from_our_pages, may_act])
async def release_from_page(
    request: AnyRequest, releases: NamedDependency[Releases], quarantine_id: FromPath[UUID]
) -> Redirect:
    """Believe it. Releasing it again changes nothing."""
    actor = actor_of(request, caller_of(request), _reason(await request.form()))
    await asyncio.to_thread(releases.one, str(quarantine_id), actor)
    return Redirect(link(f"/quarantine/{quarantine_id}"), status_code=303, headers=HEADERS)


@post("/quarantine/release", include_in_schema=False, guards=[from_our_pages, may_act])
async def release_many_from_page(
    request: AnyRequest, releases: NamedDependency[Releases]
) -> Response[bytes] | Redirect:
    """Believe all that a filter names, the oldest first; without `confirmed` say what that would do."""
    form = await request.form()
    wanted = _filter(form)
    verify_with = _text(form, "verify_with") or None
    confirmed = bool(_text(form, "confirmed"))
    wish = ReleaseWish(
        wanted=wanted,
        first_only=bool(_text(form, "first_only")),
        limit=RELEASED_AT_ONCE_MAX,
        dry_run=not confirmed,
    )
    actor = actor_of(request, caller_of(request), _reason(form) if confirmed else _TRIED)
    report = await asyncio.to_thread(releases.by_filter, wish, actor, verify_with=verify_with)
    if confirmed:
        asked = {"decided": "released", "reason": wanted.reason, "stream_id": wanted.stream_id}
        return Redirect(link("/quarantine", **asked, done=report.released), status_code=303, headers=HEADERS)
    return await render(
        request,
        "release.html",
        feed=None,
        again=link("/quarantine"),
        report=report,
        wanted=wanted,
        verify_with=verify_with,
        first_only=wish.first_only,
        most=RELEASED_AT_ONCE_MAX,
        reason_max=REASON_CHARACTERS_MAX,
    )


def _filter(form: Mapping[str, Any]) -> QuarantineFilter:
    reason = given.one_of("reason", _text(form, "reason_aside"), REASONS)
    return QuarantineFilter(
        reason=reason,
        from_us=_number(form, "from_us"),
        to_us=_number(form, "to_us"),
        stream_id=_text(form, "stream_id") or None,
    )


def _number(form: Mapping[str, Any], name: str) -> int | None:
    text = _text(form, name)
    if text and not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ParameterInvalid(name=name, expected="microseconds since 1970", got=repr(text[:40]))
    return int(text) if text else None


def _text(form: Mapping[str, Any], name: str) -> str:
    found = form.get(name)
    return found.strip() if isinstance(found, str) else ""


def _reason(form: Mapping[str, Any]) -> str:
    reason = _text(form, "reason")
    if not 0 < len(reason) <= REASON_CHARACTERS_MAX:
        raise ParameterInvalid(
            name="reason",
            expected=f"1 to {REASON_CHARACTERS_MAX} characters",
            got=f"{len(reason)}",
            expects="characters",
            most=REASON_CHARACTERS_MAX,
        )
    return reason
