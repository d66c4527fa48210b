"""Where Tencent calls: raw ASGI, because this is the hot path (ADR 0005)."""

import hmac
import logging
from asyncio import Event, timeout
from collections.abc import Awaitable
from time import monotonic
from typing import Any, Final

import msgspec
from litestar import Litestar, asgi
from litestar.enums import ScopeType
from litestar.exceptions import NotFoundException
from litestar.handlers import ASGIRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from streamledger.domain.errors import StoreUnavailable
from streamledger.ledger.appender import DeliveryUnstorable, QueueFull
from streamledger.operations.receive import Begun, Outcome, Receipt, Receiver
from streamledger.operations.timings import Row, Timings
from streamledger.web.connections import CONNECTION, Connections, Place
from streamledger.web.holding import LateAnswers
from streamledger.web.kept_headers import headers_kept
from streamledger.web.pace import Pace
from streamledger.web.prefix import without_prefix
from streamledger.web.problems import PROBLEM_TYPE, problem
from streamledger.web.reached import ReachedLimits
from streamledger.web.senders import Senders

logger = logging.getLogger(__name__)

PATH: Final = "/callbacks/tencent"
ACKNOWLEDGEMENT: Final = b'{"code":0}'
_JSON: Final = (b"content-type", b"application/json")
ALWAYS: Final = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
"""What every answer says, whoever makes it: its type is what it says it is, and nobody keeps it."""
_CLOSE: Final = (b"connection", b"close")
"""Where the body, or the rest of it, is not read: the connection cannot be used again."""

SMALL_BYTES: Final = 16 * 1024
"""Genuine bodies have some 700 bytes. Larger ones begin a few at a time, as each takes its time."""

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
        path_token_required: bool = False,
        senders: Senders | None = None,
        body_s_max: float,
        reached: ReachedLimits | None = None,
        late: LateAnswers | None = None,
        timings: Row | None = None,
    ) -> None:
        self._receiver = receiver
        self._timings = timings or Timings(1).row(0)
        self._senders = senders or Senders()
        self._reached = reached or ReachedLimits()
        self._late = late or LateAnswers()
        self._pace = Pace()
        self._body_bytes_max = body_bytes_max
        self._whole_bytes_max = min(body_bytes_max, SMALL_BYTES)
        self._body_s_max = body_s_max
        self._path_token = None if path_token is None else path_token.encode()
        self._path_token_required = path_token_required

    async def answer(self, scope: Scope, receive: Receive, send: Send, token: str | None) -> None:
        """One delivery from request to answer; whatever a client sends, it is never answered with a 500."""
        began_s = monotonic()
        status = await self._answered(scope, receive, send, token)
        if status is not None:
            self._timings.answered(status, monotonic() - began_s)

    async def _answered(self, scope: Scope, receive: Receive, send: Send, token: str | None) -> int | None:
        """The status that was answered; None where nobody waits for one."""
        if scope["type"] == ScopeType.WEBSOCKET:
            await send({"type": "websocket.close", "code": 1003, "reason": "expected an HTTP POST"})
            return None
        if scope["method"] != "POST":
            return await _refuse(send, 405, "expected POST", (b"allow", b"POST"))
        address = self._senders.address_of(scope)
        if not self._senders.may_send_callbacks(address):
            self._receiver.count("address")
            return await _refuse(send, 403, "callbacks are not taken from this address", _CLOSE)
        if self._path_token_required if token is None else not self._matches(token):
            if not self._receiver.may_be_refused_again(address):
                return await self._refuse_too_many(send, _CLOSE)
            self._receiver.count("path_token")
            return await _refuse(send, 404, "no such path")
        place = scope.get(CONNECTION)
        place = place if isinstance(place, Place) else None
        try:
            body = None if place is None else place.take_body(self._whole_bytes_max)
            if body is None:
                async with timeout(self._body_s_max):
                    body = await self._read_body(scope, receive)
        except TimeoutError:
            self._receiver.count("body_too_slow")
            self._reached.note("body_s_max", address)
            return await _refuse(send, 408, f"body: expected whole within {self._body_s_max:g} s", _CLOSE)
        except BodyTooLarge:
            self._receiver.count("body_too_large")
            self._reached.note("body_bytes_max", address)
            return await _refuse(send, 413, f"body: expected at most {self._body_bytes_max} bytes", _CLOSE)
        if body is None:
            return None  # the client hung up before the body was complete: nothing was received
        receiving = self._receiver.receive(
            body,
            address,
            path_token_matched=token is not None,
            headers=headers_kept(scope["headers"]),
        )
        del body  # it would be held as long as the answer is
        return await self._tell(receiving, send, place)

    def begin(self, scope: Scope, body: bytes, token: str | None) -> Begun | None:
        """One delivery up to the wait, if nothing speaks against it; None, and `answer` is to be asked."""
        if scope["type"] != ScopeType.HTTP or scope["method"] != "POST":
            return None
        address = self._senders.address_of(scope)
        if not self._senders.may_send_callbacks(address):
            return None
        if self._path_token_required if token is None else not self._matches(token):
            return None
        return self._receiver.begin(
            body,
            address,
            path_token_matched=token is not None,
            headers=headers_kept(scope["headers"]),
        )

    async def end(self, begun: Begun, began_s: float, send: Send) -> None:
        """The answer to what was begun, at `began_s` by `monotonic`."""
        status = await self._tell(self._receiver.end(begun), send, None)
        self._timings.answered(status, monotonic() - began_s)

    async def _tell(self, receiving: Awaitable[Receipt], send: Send, place: Place | None) -> int:
        try:
            receipt = await receiving
        except (QueueFull, StoreUnavailable, DeliveryUnstorable) as error:
            # The appender tells once that the store is gone; each refusal is counted.
            logger.debug("a delivery was not acknowledged: %s", error)
            return await _refuse(send, 503, str(error), (b"retry-after", b"1"))
        if receipt.outcome is Outcome.TOO_MANY:
            return await self._refuse_too_many(send)
        if receipt.is_late:
            await self._late.hold()
        if (
            place is None
            or receipt.outcome is not Outcome.STORED
            or receipt.position is None
            or not acknowledge(place, receipt.position)
        ):
            return await _answer(send, receipt)
        return 200

    async def _refuse_too_many(self, send: Send, *headers: tuple[bytes, bytes]) -> int:
        """The answer comes late: who sends one forgery after another waits, and others do not."""
        await self._late.hold()
        retry_after = str(self._receiver.retry_after_s).encode()
        detail = "too many refused deliveries from this address; genuine ones are still taken"
        return await _refuse(send, 429, detail, (b"retry-after", retry_after), *headers)

    def _matches(self, token: str) -> bool:
        return self._path_token is not None and hmac.compare_digest(token.encode(), self._path_token)

    async def _read_body(self, scope: Scope, receive: Receive) -> bytes | None:
        announced = -1
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit():
                announced = int(value[:20])
        if announced > self._body_bytes_max:
            raise BodyTooLarge
        if not 0 <= announced <= SMALL_BYTES:
            await self._pace.turn()
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


_ACKNOWLEDGEMENT_HEAD: Final = (
    b"".join(b"%b: %b\r\n" % header for header in (_JSON, *ALWAYS)) + b"content-length: 10\r\n"
)


def acknowledge(place: Place, position: int) -> bool:
    """Answer in one write what is stored; the same as `_answer` sends. False when that cannot be."""
    head = b"%bstreamledger-position: %d\r\n" % (_ACKNOWLEDGEMENT_HEAD, position)
    return place.answer_whole(head, ACKNOWLEDGEMENT)


async def _answer(send: Send, receipt: Receipt) -> int:
    status = STATUS[receipt.outcome]
    if status == 200:
        headers = [_JSON, *ALWAYS, (b"content-length", b"10")]
        if receipt.position is not None:
            headers.append((b"streamledger-position", str(receipt.position).encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": ACKNOWLEDGEMENT, "more_body": False})
        return status
    extra = ((b"retry-after", b"60"),) if status == 503 else ()
    return await _refuse(send, status, receipt.detail or DETAILS.get(receipt.reason or "", "refused"), *extra)


async def _refuse(send: Send, status: int, detail: str, *headers: tuple[bytes, bytes]) -> int:
    body = msgspec.json.encode(problem(status, TITLES[status], detail))
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", PROBLEM_TYPE.encode()),
                (b"content-length", str(len(body)).encode()),
                *ALWAYS,
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": False})
    return status


def _called(path: str) -> tuple[bool, str | None]:
    """Whether a path is that of callbacks, and the path token in it."""
    if not path.startswith(PATH):
        return False, None
    slash, token = path[len(PATH) :][:1], path[len(PATH) + 1 :]
    if not slash:
        return True, None
    return (True, token) if slash == "/" and token and "/" not in token else (False, None)


class HotPath:
    """The application with the intake before its router: a callback meets no middleware on its way.

    Everything else begins a few requests at a time.

    With and without a path token; the route of `callback_routes` answers the same, it is what the router
    knows of the intake. HEAD is answered as GET is, without the body, which the server leaves out.
    """

    def __init__(
        self,
        application: Litestar,
        connections: Connections,
        prefix: str = "",
        timings: Row | None = None,
    ) -> None:
        """`prefix` is the path that the server stands below; `timings` is where `acknowledge` is counted."""
        self.acknowledged = (timings or Timings(1).row(0)).acknowledged
        self.application = application
        """What answers everything but the intake."""
        self.connections = connections
        self._prefix = prefix
        self._pace = Pace()

    @property
    def _callbacks(self) -> Callbacks:
        callbacks: Callbacks = self.application.state.callbacks  # from the start of its lifespan on
        return callbacks

    def begin(self, scope: Scope, body: bytes) -> Begun | None:
        """A callback up to the wait for the store, if it is a plain one; None, and this is to be called."""
        if self._prefix:
            scope = without_prefix(scope, self._prefix)
        is_callback, token = _called(scope["path"])
        return self._callbacks.begin(scope, body, token) if is_callback else None

    def end(self, begun: Begun, began_s: float) -> ASGIApp:
        """What answers a callback that was begun at that time, where `acknowledge` does not."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            await self._callbacks.end(begun, began_s, send)

        return answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Any ASGI connection."""
        if self._prefix:
            scope = without_prefix(scope, self._prefix)
        if scope["type"] == ScopeType.HTTP:
            is_callback, token = _called(scope["path"])
            if is_callback:
                await self._callbacks.answer(scope, receive, send, token)
                return
            await self._pace.turn()
            place = scope.get(CONNECTION)
            if isinstance(place, Place) and place.gone:
                return  # whoever asked has not waited
            if scope["method"] == "HEAD":
                await self._answer_head(scope, receive, send)
                return
        await self.application(scope, receive, send)

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
        await self.application(as_get, receive_end, send_head)


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
