"""What every page shares: who looks, in which language, the template's environment, the headers."""

import base64
import gzip
import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlsplit

import jinja2
import msgspec
from litestar import Request, Response
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException, NotAuthorizedException, PermissionDeniedException
from litestar.handlers import BaseRouteHandler
from litestar.response import Redirect
from markupsafe import Markup

from streamledger.domain.errors import (
    DeliveryUnknown,
    SessionAmbiguous,
    SessionUnknown,
    StoreUnavailable,
    StreamledgerError,
    StreamUnknown,
)
from streamledger.domain.instants import instant_ms
from streamledger.readmodel.queries.pacing import Pace, off_loop
from streamledger.version import __version__
from streamledger.web import signed_cookie, zones
from streamledger.web.auth import ApiToken, Caller, Tokens, anonymous_caller
from streamledger.web.images import ImageHosts, host_of
from streamledger.web.pages import formats, links, saying
from streamledger.web.pages.words import CATALOGUES, LANGUAGES, Words, language_of
from streamledger.web.problems import STATUS_OF
from streamledger.web.problems import unexpected_error as log_unexpected

AnyRequest = Request[Any, Any, Any]

LANGUAGE_COOKIE: Final = "streamledger_language"
HTML: Final = "text/html"
STATIC_TYPES: Final = {
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "txt": "text/plain",
}
GZIP_BYTES_MIN: Final = 1000
GZIP_LEVEL: Final = 5
_TAKES_GZIP: Final = re.compile(r"(?i)(?:^|,)\s*gzip\s*(?:,|$|;\s*q=(?:1|0\.0*[1-9]))")


def _dense(name: str, content: bytes) -> bytes:
    """Our style sheet and script without what is there for their readers: it is a fifth of them."""
    if name not in ("page.css", "page.js"):
        return content
    text = re.sub(r"(?m)^\s*(//.*)?\n?", "", content.decode())
    if name == "page.css":
        text = re.sub(r"/\*.*?\*/\s*", "", text, flags=re.DOTALL)
        text = re.sub(r"\s*([{};,])\s*", r"\1", text).replace(": ", ":").replace(";}", "}")
    return text.encode()


STATIC: Final[Mapping[str, bytes]] = {
    file.name: _dense(file.name, file.read_bytes())
    for file in files("streamledger.web").joinpath("static").iterdir()
}

STYLE: Final = Markup(STATIC["page.css"].decode())  # noqa: S704  # our own file
"""The style sheet stands in each page that is opened: nothing is waited for before the first paint."""
STYLE_DIGEST: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
"""By which the policy knows it from any other style."""


def _policy(images: ImageHosts) -> str:
    """Screenshots lie on hosts of the user's own; nothing else may come from anywhere but here."""
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self' 'sha256-{STYLE_DIGEST}'; "
        f"img-src {images.policy()}; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


HEADERS: Final = {
    "Content-Security-Policy": _policy(ImageHosts()),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Vary": "Accept-Language, Cookie, Accept-Encoding",
}

STATIC_PRESSED: Final = {name: gzip.compress(content, 9, mtime=0) for name, content in STATIC.items()}


class Visitor(msgspec.Struct, frozen=True):
    """Who looks at a page."""

    words: Words
    token: ApiToken | None


def static_path(name: str) -> str:
    """The address of a static file; it changes with the content, so that browsers may keep it for ever."""
    digest = hashlib.sha256(STATIC[name]).hexdigest()[:12]
    return links.link(f"/static/{name}", v=digest)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("streamledger.web", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (
        formats.clock,
        formats.delay,
        formats.size,
        formats.number,
        formats.ago,
        formats.day_and_time,
        formats.time_of_day,
        host_of,
        links.delivery_path,
        links.link,
        links.session_path,
        links.stream_path,
        formats.short,
        formats.unlike_parts,
        formats.shown,
        instant_ms,
        saying.abnormal,
        saying.anomaly_detail,
        saying.evidence,
        saying.fault_detail,
        saying.stop_meaning,
        static_path,
        zones.zone,
    ):
        environment.globals[function.__name__] = function
    environment.globals["version"] = __version__
    environment.globals["languages"] = [(name, CATALOGUES[name]["language.name"]) for name in LANGUAGES]
    return environment


ENVIRONMENT: Final = _environment()


def load_images_from(hosts: ImageHosts) -> None:
    """Let pages load images of these hosts, from now on in this process: what they show, and their policy."""
    formats.load_images_from(hosts)
    HEADERS["Content-Security-Policy"] = _policy(hosts)


def compile_templates() -> None:
    """Compile all templates, which else the first visitors would wait for: a tenth of a second each."""
    for name in ENVIRONMENT.list_templates():
        ENVIRONMENT.get_template(name)


async def tokens_in_force(connection: ASGIConnection[Any, Any, Any, Any]) -> Sequence[ApiToken]:
    """The tokens that a visitor may sign in with; without any, nobody needs to."""
    tokens: Tokens = connection.app.state.tokens
    return await tokens.in_force()


def visitor_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Visitor:
    """The visitor behind a request; the guard has left the token that the cookie leads to."""
    language = language_of(connection.cookies.get(LANGUAGE_COOKIE), connection.headers.get("accept-language"))
    zones.choose(connection.cookies.get(zones.COOKIE), language)
    return Visitor(Words(language), connection.state.get("page_token"))


async def may_look(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard of every page: only for those who have signed in, unless there is no token and none is needed."""
    visitor_of(connection)  # whose zone is that of everything below
    if not await still_may_look(connection):
        raise NotAuthorizedException("sign in first")


async def still_may_look(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    """Whether the visitor may look now: what is endless asks again and again."""
    tokens = await tokens_in_force(connection)
    cookie = connection.cookies.get(signed_cookie.NAME)
    key: bytes = connection.app.state.options.cookie_key
    connection.state.page_token = signed_cookie.token_of(key, tokens, cookie, int(time.time()))
    is_open = not tokens and connection.app.state.tokens.open_without
    return connection.state.page_token is not None or is_open


def caller_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Caller:
    """Who looks at a page: the token that was signed in with, or nobody in particular. After `may_look`."""
    token: ApiToken | None = connection.state.get("page_token")
    return anonymous_caller(connection) if token is None else Caller(token.name, token.scope)


def may_see_secrets(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    """Whether a page may show what was received as it came: to an admin who has signed in.

    Where nobody signs in, whoever sees the screen would see the secrets of push URLs.
    """
    token: ApiToken | None = connection.state.get("page_token")
    return token is not None and token.scope == "admin"


def may_act(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard of what changes something, beside `may_look` and `from_our_pages`."""
    if caller_of(connection).scope != "admin":
        raise PermissionDeniedException("admin_needed")


def from_our_pages(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard of every action: a form of another site must not act in a visitor's name.

    Browsers say where a request comes from: Sec-Fetch-Site, older ones Origin. What says neither is no
    browser, and has no visitor's cookie that it was not given.
    """
    site = connection.headers.get("sec-fetch-site")
    origin = connection.headers.get("origin")
    if site is not None:
        is_ours = site in ("same-origin", "none")
    else:
        is_ours = origin is None or urlsplit(origin).netloc == connection.headers.get("host")
    if not is_ours:
        raise PermissionDeniedException("foreign_form")


def here(request: AnyRequest) -> str:
    """Path and query of the request, to come back to."""
    query = request.scope["query_string"].decode("ascii", "replace")
    path = request.scope.get("raw_path", b"/").decode("ascii", "replace").partition("?")[0]
    return links.link(f"{path}?{query}" if query else path)


async def render(
    request: AnyRequest, template: str, *, status: int = 200, headers: Mapping[str, str] = {}, **facts: Any
) -> Response[bytes]:
    """A page. The event loop has its turns while it is made: a long one takes some fifty milliseconds."""
    pace, parts = Pace(), []
    for part in ENVIRONMENT.get_template(template).generate(**_shared(request, template), **facts):
        parts.append(part)
        await pace.rest()
    content = "".join(parts).encode("utf-8", "replace")
    body, encoding = await off_loop(len(content), partial(compressed, request), content)
    return Response(body, status_code=status, media_type=HTML, headers={**HEADERS, **encoding, **headers})


def _error_page(request: AnyRequest, status: int, **facts: Any) -> Response[bytes]:
    """A page of a few lines, made at once: handlers of exceptions do not wait."""
    text = ENVIRONMENT.get_template("error.html").render(
        **_shared(request, "error.html"), **{"unknown": False, "choices": [], "feed": None, **facts}
    )
    body, encoding = compressed(request, text.encode("utf-8", "replace"))
    return Response(body, status_code=status, media_type=HTML, headers={**HEADERS, **encoding})


def _shared(request: AnyRequest, template: str) -> dict[str, Any]:
    """What every template is told."""
    visitor = visitor_of(request)
    return {
        "t": visitor.words,
        "language": visitor.words.language,
        "signed_in_as": visitor.token.name if visitor.token else None,
        "here": here(request),
        # Only those who may look are told.
        "freshness": request.app.state.health.freshness if "page_token" in request.state else None,
        "troubles": request.app.state.health.troubles if "page_token" in request.state else [],
        "set_aside": request.app.state.health.set_aside if "page_token" in request.state else 0,
        # What comes into an open page needs none.
        "style": None if "hx-request" in request.headers else STYLE,
        "page": template.removesuffix(".html"),
    }


def compressed(
    request: AnyRequest, content: bytes, pressed: bytes | None = None
) -> tuple[bytes, Mapping[str, str]]:
    """The content as the visitor's browser takes it, and the header that says so; `pressed` is it in gzip.

    A page is a quarter of its size then. None holds a secret beside what a stranger could put in, so its
    length tells nothing (BREACH).
    """
    if not _TAKES_GZIP.search(request.headers.get("accept-encoding", "")) or len(content) < GZIP_BYTES_MIN:
        return content, {}
    found = pressed if pressed is not None else gzip.compress(content, GZIP_LEVEL, mtime=0)
    return found, {"Content-Encoding": "gzip"}


def known_error(request: AnyRequest, error: StreamledgerError) -> Response[bytes]:
    """An error of ours, as a page."""
    status = STATUS_OF.get(type(error), 500)
    unknown = isinstance(error, SessionUnknown | StreamUnknown | DeliveryUnknown)
    words = visitor_of(request).words
    retry = isinstance(error, StoreUnavailable) and request.method == "GET"
    # The cause is the driver's, in English; the log has it.
    detail = words("error.store_away") if retry else saying.problem(words, error)
    return _error_page(request, status, detail=detail, unknown=unknown, choices=_choices(error), retry=retry)


def unexpected_error(request: AnyRequest, error: Exception) -> Response[bytes]:
    """A fault of ours, as a page; the log has its cause."""
    log_unexpected(request, error)
    detail = visitor_of(request).words("status.500")
    return _error_page(request, 500, detail=detail)


def _choices(error: StreamledgerError) -> list[tuple[str, str]]:
    """The sessions that may be meant, by stream: name and address."""
    if not isinstance(error, SessionAmbiguous):
        return []
    sequence, streams = str(error.facts["sequence"]), str(error.facts["streams"]).split(", ")
    return [(stream_id, links.session_path(sequence, stream_id)) for stream_id in streams]


def http_error(request: AnyRequest, error: HTTPException) -> Response[Any]:
    """An error of the framework, as a page; who has not signed in is asked to."""
    if isinstance(error, NotAuthorizedException):
        return Redirect(links.link("/sign-in", next=here(request)), status_code=303, headers=HEADERS)
    detail = saying.http_problem(visitor_of(request).words, request, error)
    return _error_page(request, error.status_code, detail=detail, unknown=error.status_code == 404)
