"""Who may query and who may administer: bearer tokens of the settings and of the database, in two scopes.

Without any token everybody who reaches the server may read, and only this machine may administer.
"""

import hmac
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.handlers import BaseRouteHandler

from streamledger.domain.errors import StoreUnavailable
from streamledger.ledger.acts import Actor
from streamledger.operations.tokens import ANONYMOUS, SCOPES, digest_of
from streamledger.web.images import host_of
from streamledger.web.senders import Senders, is_loopback

__all__ = ["SCOPES", "ApiToken", "Caller", "Tokens", "find_token", "may_administer", "may_read"]

REMEMBERED_S: Final = 3.0
"""How long the database's tokens are remembered: a revoked one works no longer than that."""

PROXY_HEADERS: Final = ("x-forwarded-for", "x-forwarded-host", "x-real-ip", "forwarded", "via")
"""With any of these a request came through a proxy on this machine, from whoever reaches that."""

Connection = ASGIConnection[Any, Any, Any, Any]


class ApiToken(msgspec.Struct, frozen=True):
    """A token of the query interface; of its text only the SHA-256 is kept."""

    name: str
    scope: str
    digest: bytes

    def __repr__(self) -> str:
        return f"ApiToken(name={self.name!r}, scope={self.scope!r})"


class Caller(msgspec.Struct, frozen=True):
    """Who a request comes from: name and scope of the token. The guards leave it in the request's state."""

    name: str
    scope: str


class Tokens:
    """The tokens in force: those of the settings, and those of the database as of a moment ago."""

    def __init__(
        self,
        fixed: Sequence[ApiToken] = (),
        load: Callable[[], Awaitable[Sequence[ApiToken]]] | None = None,
        *,
        open_without: bool = True,
    ) -> None:
        """`open_without`: whether everybody may read while there is no token, as on loopback.

        Elsewhere revoking the last one must not open the server to those it was closed to.
        """
        self.open_without = open_without
        self._fixed = tuple(fixed)
        self._load = load
        self._stored: Sequence[ApiToken] | None = None
        self._loaded_at_s = 0.0

    def use_fixed(self, fixed: Sequence[ApiToken]) -> None:
        """Go by these tokens of the settings from now on."""
        self._fixed = tuple(fixed)

    async def caller(self, connection: Connection) -> Caller | None:
        """Who bears which token, or who needs none as there are none; None for a token that is not in force.

        Raises StoreUnavailable when only the database could tell and never has.
        """
        authorization = connection.headers.get("authorization")
        token = find_token(self._fixed, authorization)
        if token is None:
            stored = await self._stored_now()
            token = find_token(stored, authorization)
            if token is None and self.open_without and not self._fixed and not stored:
                return anonymous_caller(connection)
        return None if token is None else Caller(token.name, token.scope)

    async def in_force(self) -> Sequence[ApiToken]:
        """All tokens. Raises StoreUnavailable as `caller` does."""
        return (*self._fixed, *await self._stored_now())

    async def _stored_now(self) -> Sequence[ApiToken]:
        if self._load is None:
            return ()
        now_s = time.monotonic()
        if self._stored is None or now_s - self._loaded_at_s >= REMEMBERED_S:
            try:
                self._stored = await self._load()
                self._loaded_at_s = now_s
            except StoreUnavailable:
                # What was in force stays so while the store is away: without it no query is answered anyway.
                if self._stored is None:
                    raise
        return self._stored


def anonymous_caller(connection: Connection) -> Caller:
    """Who asks while there is no token at all: everybody may read, this machine may administer."""
    return Caller(ANONYMOUS, "admin" if _is_this_machine(connection) else "read")


def actor_of(connection: Connection, caller: Caller, reason: str) -> Actor:
    """Who acts, as the ledger keeps it."""
    return Actor(
        by=caller.name,
        reason=reason,
        at_us=time.time_ns() // 1000,
        source_ip=connection.app.state.senders.address_of(connection.scope),
    )


def came_by_tls(connection: Connection, public_url: str | None = None) -> bool:
    """Whether a browser speaks TLS with us, or with a trusted proxy in front; a public URL decides where set.

    The header of a proxy is believed as X-Forwarded-For is: from trusted ones only, its last value.
    """
    if public_url is not None:
        return urlsplit(public_url).scheme == "https"
    if connection.url.scheme == "https":
        return True
    senders: Senders = connection.app.state.senders
    if connection.client is None or not senders.is_trusted_proxy(connection.client.host):
        return False
    forwarded: str = connection.headers.get("x-forwarded-proto", "")
    return forwarded.rpartition(",")[2].strip().lower() == "https"


def find_token(tokens: Sequence[ApiToken], authorization: str | None) -> ApiToken | None:
    """The token that an Authorization header bears; every one is compared, in constant time."""
    kind, _, secret = (authorization or "").partition(" ")
    if kind.lower() != "bearer":
        return None
    given = digest_of(secret.strip())
    found = None
    for token in tokens:
        if hmac.compare_digest(token.digest, given):
            found = token
    return found


async def may_read(connection: Connection, _: BaseRouteHandler) -> None:
    """Guard of every query: 401 without a token in force."""
    await _identify(connection)


async def may_administer(connection: Connection, _: BaseRouteHandler) -> None:
    """Guard of what changes something: 401 without a token in force, 403 with one of scope read."""
    caller = await _identify(connection)
    if caller.scope != "admin":
        raise PermissionDeniedException(
            "expected a token of scope admin"
            if caller.name != ANONYMOUS
            else "without tokens only this machine may administer; make one: streamledger token create"
        )


async def _identify(connection: Connection) -> Caller:
    caller = await connection.app.state.tokens.caller(connection)
    if caller is None:
        if connection.headers.get("authorization"):
            await connection.app.state.bounds.wrong_tokens.note(connection)
        raise NotAuthorizedException(
            "expected the header `Authorization: Bearer TOKEN` with a token in force",
            headers={"WWW-Authenticate": 'Bearer realm="streamledger"'},
        )
    connection.state.caller = caller
    assert isinstance(caller, Caller)  # noqa: S101  # what Tokens.caller gives
    return caller


def _is_this_machine(connection: Connection) -> bool:
    """Whether a request comes from this machine and from no foreign web page in a browser on it.

    A page of another site is known by its Origin; one whose name was rebound to 127.0.0.1, by its Host.
    """
    host = host_of("//" + connection.headers.get("host", ""))
    origin = connection.headers.get("origin")
    own_page = connection.headers.get("sec-fetch-site") == "same-origin"
    return (
        connection.client is not None
        and is_loopback(connection.client.host)
        and not any(name in connection.headers for name in PROXY_HEADERS)
        and _is_local_name(host)
        # A form of our own pages, which send no referrer, has the Origin "null"; no page can forge the other.
        and (origin is None or own_page or _is_local_name(host_of(origin)))
    )


def _is_local_name(host: str) -> bool:
    return host == "localhost" or is_loopback(host)
