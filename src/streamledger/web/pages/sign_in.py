"""Signing in and out, the choice of language, and the static files: what needs no guard."""

import time
from typing import Annotated, Final

from litestar import Response, get, post
from litestar.datastructures import Cookie
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, QueryParameter
from litestar.response import Redirect

from streamledger.web import signed_cookie
from streamledger.web.pages.page import (
    HEADERS,
    LANGUAGE_COOKIE,
    STATIC,
    STATIC_PRESSED,
    STATIC_TYPES,
    AnyRequest,
    compressed,
    from_our_pages,
    own_path,
    render,
    tokens_in_force,
)
from streamledger.web.pages.words import LANGUAGES

YEAR_S: Final = 365 * 86400

Next = Annotated[str | None, QueryParameter(name="next", max_length=4096)]


@get("/sign-in", include_in_schema=False)
async def sign_in_page(request: AnyRequest, back: Next = None) -> Response[bytes]:
    """The form that asks for a token."""
    return render(request, "sign_in.html", feed=None, back=own_path(back), wrong=False)


@post("/sign-in", include_in_schema=False, guards=[from_our_pages])
async def sign_in(request: AnyRequest) -> Response[bytes] | Redirect:
    """Exchange a token for a cookie."""
    form = await request.form()
    back = own_path(_text(form.get("next")))
    token = signed_cookie.sign_in(await tokens_in_force(request), _text(form.get("token")) or "")
    if token is None:
        return render(request, "sign_in.html", status=403, feed=None, back=back, wrong=True)
    cookie = Cookie(
        key=signed_cookie.NAME,
        value=signed_cookie.cookie_of(token, int(time.time())),
        max_age=signed_cookie.LIFETIME_S,
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return Redirect(back, status_code=303, headers=HEADERS, cookies=[cookie])


@post("/sign-out", include_in_schema=False, guards=[from_our_pages])
async def sign_out() -> Redirect:
    """Forget the cookie."""
    gone = Cookie(key=signed_cookie.NAME, value="", max_age=0, path="/", httponly=True, samesite="strict")
    return Redirect("/sign-in", status_code=303, headers=HEADERS, cookies=[gone])


@post("/language", include_in_schema=False, guards=[from_our_pages])
async def choose_language(request: AnyRequest) -> Redirect:
    """Remember the language that a visitor has chosen."""
    form = await request.form()
    language = _text(form.get("to"))
    cookies = []
    if language in LANGUAGES:
        cookies = [
            Cookie(
                key=LANGUAGE_COOKIE, value=language, max_age=YEAR_S, path="/", httponly=True, samesite="lax"
            )
        ]
    return Redirect(own_path(_text(form.get("next"))), status_code=303, headers=HEADERS, cookies=cookies)


@get("/static/{name:str}", include_in_schema=False)
async def static_file(request: AnyRequest, name: FromPath[str]) -> Response[bytes]:
    """A file of the pages."""
    content = STATIC.get(name)
    if content is None:
        raise NotFoundException
    body, encoding = compressed(request, content, STATIC_PRESSED[name])
    return Response(
        body,
        media_type=STATIC_TYPES[name.rpartition(".")[2]],
        headers={**HEADERS, **encoding, "Cache-Control": "public, max-age=31536000, immutable"},
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
