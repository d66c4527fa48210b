"""Where Tencent calls: raw ASGI, because this is the hot path (ADR 0005)."""

import hmac
import logging
from asyncio import Event, sleep, timeout
from typing import Any, Final

import msgspec
from litestar import Litestar, asgi
from litestar.enums import ScopeType
from litestar.exceptions import NotFoundException
from litestar.handlers import ASGIRouteHandler
from litestar.types import Receive, Scope, Send

from streamledger.domain.errors import StoreUnavailable
from streamledger.ledger.appender import DeliveryUnstorable, QueueFull
from streamledger.operations.receive import Outcome, Receipt, Receiver
from streamledger.web.problems import PROBLEM_TYPE, problem
from streamledger.web.senders import Senders

logger = logging.getLogger(__name__)

PATH: Final = "/callbacks/tencent"
ACKNOWLEDGEMENT: Final = b'{"code":0}'
_JSON: Final = (b"content-type", b"application/json")
_CLOSE: Final = (b"connection", b"close")
"""Where the body, or the rest of it, is not read: the connection cannot be used again."""

BODY_S_MAX: Final[float] = 20.0
"""How long a body may take to arrive: after 20 s Tencent has given up waiting for the answer (267/38080)."""

HOLD_S: Final[float] = 1.0
"""How long an answer 429 is held back; Tencent would wait 20 s."""
HELD_MAX: Final = 2000
"""Answers held back at once. Beyond it they go out at once: memory counts more than the flood's pace."""

STATUS: Final = {
    Outcome.STORED: 200,
    Outcome.SET_ASIDE: 200,  # a retry could only be more expired
    Outcome.REFUSED: 403,
    Outcome.UNREADABLE: 400,
    Outcome.NO_ROOM: 503,
    Outcome.TOO_MANY: 429,
}
TITLES: Final = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    429: "Too Many Requests",
    503: "Service Unavailable",
}
DETAILS: Final = {
    "bad_signature": "sign: expected the lower-case hex MD5 of a configured key followed by t",
    "unsigned": "t, sign: expected both, or the secret path where one is set",
    "expired": "the quarantine for expired deliveries is full",
    "too_far_ahead": "the quarantine for deliveries signed too far ahead is full",
}


class BodyTooLarge(Exception):
    """The body is over the limit; the rest of it is not read."""


class Callbacks:
    """Answers deliveries. `path_token` is the secret last part of the URL, when one is configured."""

    def __init__(
        self,
        receiver: Receiver,
        *,
        body_bytes_max: int,
        path_token: str | None,
        senders: Senders | None = None,
        body_s_max: float = BODY_S_MAX,
    ) -> None:
        self._receiver = receiver
        self._senders = senders or Senders()
        self._held = 0
        self._body_bytes_max = body_bytes_max
        self._body_s_max = body_s_max
        self._path_token = None if path_token is None else path_token.encode()

    async def answer(self, scope: Scope, receive: Receive, send: Send, token: str | None) -> None:
        """One delivery from request to answer; whatever a client sends, it is never answered with a 500."""
        if scope["type"] == ScopeType.WEBSOCKET:
            await send({"type": "websocket.close", "code": 1003, "reason": "expected an HTTP POST"})
            return
        if scope["method"] != "POST":
            await _refuse(send, 405, "expected POST", (b"allow", b"POST"))
            return
        address = self._senders.address_of(scope)
        if not self._senders.may_send_callbacks(address):
            self._receiver.count("address")
            await _refuse(send, 403, "callbacks are not taken from this address", _CLOSE)
            return
        if token is not None and not self._matches(token):
            if not self._receiver.may_be_refused_again(address):
                await self._refuse_too_many(send, _CLOSE)
                return
            self._receiver.count("path_token")
            await _refuse(send, 404, "no such path")
            return
        try:
            async with timeout(self._body_s_max):
                body = await self._read_body(scope, receive)
        except TimeoutError:
            self._receiver.count("body_too_slow")
            await _refuse(send, 408, f"body: expected whole within {self._body_s_max:g} s", _CLOSE)
            return
        except BodyTooLarge:
            self._receiver.count("body_too_large")
            await _refuse(send, 413, f"body: expected at most {self._body_bytes_max} bytes", _CLOSE)
            return
        if body is None:
            return  # the client hung up before the body was complete: nothing was received
        try:
            receipt = await self._receiver.receive(body, address, path_token_matched=token is not None)
        except (QueueFull, StoreUnavailable, DeliveryUnstorable) as error:
            logger.warning("a delivery was not acknowledged: %s", error)
            await _refuse(send, 503, str(error), (b"retry-after", b"1"))
            return
        if receipt.outcome is Outcome.TOO_MANY:
            await self._refuse_too_many(send)
            return
        await _answer(send, receipt)

    async def _refuse_too_many(self, send: Send, *headers: tuple[bytes, bytes]) -> None:
        """The answer comes late: who sends one forgery after another waits, and others do not."""
        if self._held < HELD_MAX:
            self._held += 1
            try:
                await sleep(HOLD_S)
            finally:
                self._held -= 1
        retry_after = str(self._receiver.retry_after_s).encode()
        detail = "too many refused deliveries from this address; genuine ones are still taken"
        await _refuse(send, 429, detail, (b"retry-after", retry_after), *headers)

    def _matches(self, token: str) -> bool:
        return self._path_token is not None and hmac.compare_digest(token.encode(), self._path_token)

    async def _read_body(self, scope: Scope, receive: Receive) -> bytes | None:
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value[:20]) > self._body_bytes_max:
                raise BodyTooLarge
        message: Any = await receive()
        if message["type"] != "http.request":
            return None
        body: bytes = message.get("body", b"")
        if not message.get("more_body", False):
            if len(body) > self._body_bytes_max:
                raise BodyTooLarge
            return body
        parts, size = [body], len(body)
        while message.get("more_body", False):
            message = await receive()
            if message["type"] != "http.request":
                return None
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._body_bytes_max:
                raise BodyTooLarge
        return b"".join(parts)


async def _answer(send: Send, receipt: Receipt) -> None:
    if receipt.outcome is Outcome.STORED:
        headers = [
            _JSON,
            (b"content-length", b"10"),
            (b"streamledger-position", str(receipt.position).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": ACKNOWLEDGEMENT, "more_body": False})
        return
    status = STATUS[receipt.outcome]
    if status == 200:
        headers = [_JSON, (b"content-length", b"10")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": ACKNOWLEDGEMENT, "more_body": False})
        return
    extra = ((b"retry-after", b"60"),) if status == 503 else ()
    await _refuse(send, status, receipt.detail or DETAILS.get(receipt.reason or "", "refused"), *extra)


async def _refuse(send: Send, status: int, detail: str, *headers: tuple[bytes, bytes]) -> None:
    body = msgspec.json.encode(problem(status, TITLES[status], detail))
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", PROBLEM_TYPE.encode()),
                (b"content-length", str(len(body)).encode()),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": False})


class HotPath:
    """The application with the intake before its router: a callback meets no middleware on its way.

    With and without a path token; the route of `callback_routes` answers the same, it is what the router
    knows of the intake. HEAD is answered as GET is, without the body, which the server leaves out.
    """

    def __init__(self, application: Litestar) -> None:
        self._application = application

    @property
    def application(self) -> Litestar:
        """What answers everything but the intake."""
        return self._application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Any ASGI connection."""
        if scope["type"] == ScopeType.HTTP:
            if scope["path"].startswith(PATH):
                slash, token = scope["path"][len(PATH) :][:1], scope["path"][len(PATH) + 1 :]
                if not slash:
                    await self._application.state.callbacks.answer(scope, receive, send, None)
                    return
                if slash == "/" and token and "/" not in token:
                    await self._application.state.callbacks.answer(scope, receive, send, token)
                    return
            if scope["method"] == "HEAD":
                await self._answer_head(scope, receive, send)
                return
        await self._application(scope, receive, send)

    async def _answer_head(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = Event()

        async def send_head(message: Any) -> None:
            if begun.is_set():
                return
            if message["type"] == "http.response.start":
                await send(message)
                begun.set()
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        async def receive_end() -> Any:
            # What would stream for ever ends here: to it the client has hung up after the head.
            message: Any = await receive() if not begun.is_set() else {"type": "http.disconnect"}
            return message

        as_get: Any = {**scope, "method": "GET"}
        await self._application(as_get, receive_end, send_head)


def callback_routes() -> list[ASGIRouteHandler]:
    """The intake, with and without a path token; the app's state holds the `Callbacks` that answers."""

    # A mount, because Litestar's router ends in a KeyError on an @asgi path with a parameter in it.
    @asgi([PATH], is_mount=True, copy_scope=False)
    async def receive_delivery(scope: Scope, receive: Receive, send: Send) -> None:
        rest = scope["path"]  # what follows the path of the mount
        if not rest.startswith("/"):  # to a mount /callbacks/tencentX begins with /callbacks/tencent, too
            raise NotFoundException(f"no such path: {PATH}{rest.rstrip('/')[:200]}")
        await scope["litestar_app"].state.callbacks.answer(scope, receive, send, rest.strip("/") or None)

    return [receive_delivery]
