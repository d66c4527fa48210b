"""Signing in and out, the choice of language, and the static files: what needs no guard."""

import time
from typing import Annotated, Final, Literal

from litestar import Response, get, post
from litestar.datastructures import Cookie
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, QueryParameter
from litestar.response import Redirect

from streamledger.web import signed_cookie, zones
from streamledger.web.auth import came_by_tls
from streamledger.web.pages.drawn import drawn
from streamledger.web.pages.links import cookie_path, link, own_link
from streamledger.web.pages.page import (
    HEADERS,
    LANGUAGE_COOKIE,
    STATIC,
    STATIC_PRESSED,
    STATIC_TYPES,
    AnyRequest,
    compressed,
    from_our_pages,
    render,
    tokens_in_force,
)
from streamledger.web.pages.words import LANGUAGES

YEAR_S: Final = 365 * 86400

SameSite = Literal["lax", "strict"]
Next = Annotated[str | None, QueryParameter(name="next", max_length=4096)]


@get("/sign-in", include_in_schema=False)
async def sign_in_page(request: AnyRequest, back: Next = None) -> Response[bytes]:
    """The form that asks for a token."""
    return await render(request, "sign_in.html", feed=None, back=own_link(back), wrong=False)


@post("/sign-in", include_in_schema=False, guards=[from_our_pages])
async def sign_in(request: AnyRequest) -> Response[bytes] | Redirect:
    """Exchange a token for a cookie."""
    form = await request.form()
    back = own_link(_text(form.get("next")))
    token = signed_cookie.sign_in(await tokens_in_force(request), _text(form.get("token")) or "")
    if token is None:
        await request.app.state.bounds.wrong_tokens.note(request)
        return await render(request, "sign_in.html", status=403, feed=None, back=back, wrong=True)
    value = signed_cookie.cookie_of(request.app.state.options.cookie_key, token, int(time.time()))
    cookie = _cookie(request, signed_cookie.NAME, value, signed_cookie.LIFETIME_S, samesite="strict")
    return Redirect(back, status_code=303, headers=HEADERS, cookies=[cookie])


@post("/sign-out", include_in_schema=False, guards=[from_our_pages])
async def sign_out(request: AnyRequest) -> Redirect:
    """Forget the cookie."""
    gone = _cookie(request, signed_cookie.NAME, "", 0, samesite="strict")
    return Redirect(link("/sign-in"), status_code=303, headers=HEADERS, cookies=[gone])


@post("/language", include_in_schema=False, guards=[from_our_pages])
async def choose_language(request: AnyRequest) -> Redirect:
    """Remember the language that a visitor has chosen."""
    form = await request.form()
    language = _text(form.get("to"))
    cookies = [_cookie(request, LANGUAGE_COOKIE, language)] if language in LANGUAGES else []
    return Redirect(own_link(_text(form.get("next"))), status_code=303, headers=HEADERS, cookies=cookies)


@post("/zone", include_in_schema=False, guards=[from_our_pages])
async def choose_zone(request: AnyRequest) -> Redirect:
    """Remember the time zone that a visitor has chosen."""
    form = await request.form()
    chosen = zones.zone_named(_text(form.get("to")))
    cookies = [] if chosen is None else [_cookie(request, zones.COOKIE, chosen.name)]
    return Redirect(own_link(_text(form.get("next"))), status_code=303, headers=HEADERS, cookies=cookies)


@get("/static/{name:str}", include_in_schema=False)
async def static_file(request: AnyRequest, name: FromPath[str]) -> Response[bytes]:
    """A file of the pages."""
    content = STATIC.get(name) or drawn(name)
    if content is None:
        raise NotFoundException
    body, encoding = compressed(request, content, STATIC_PRESSED.get(name))
    return Response(
        body,
        media_type=STATIC_TYPES[name.rpartition(".")[2]],
        headers={**HEADERS, **encoding, "Cache-Control": "public, max-age=31536000, immutable"},
    )


def _cookie(
    request: AnyRequest, name: str, value: str, max_age_s: int = YEAR_S, samesite: SameSite = "lax"
) -> Cookie:
    return Cookie(
        key=name,
        value=value,
        max_age=max_age_s,
        path=cookie_path(),
        httponly=True,
        samesite=samesite,
        secure=came_by_tls(request, request.app.state.options.public_url or None),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
