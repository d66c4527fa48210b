"""Who may query: bearer tokens, compared in constant time. Without configured tokens everybody may."""

import hmac
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.handlers import BaseRouteHandler

SCOPES: Final = ("read", "admin")


class ApiToken(msgspec.Struct, frozen=True):
    """A token of the query interface; its text is never shown."""

    name: str
    scope: str
    secret: bytes

    def __repr__(self) -> str:
        return f"ApiToken(name={self.name!r}, scope={self.scope!r})"


def find_token(tokens: Sequence[ApiToken], authorization: str | None) -> ApiToken | None:
    """The token that an Authorization header bears; every configured one is compared."""
    kind, _, secret = (authorization or "").partition(" ")
    if kind.lower() != "bearer":
        return None
    given = secret.strip().encode("utf-8", "replace")
    found = None
    for token in tokens:
        if hmac.compare_digest(token.secret, given):
            found = token
    return found


def may_read(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard of every query: 401 without a token that is configured."""
    tokens: Sequence[ApiToken] = connection.app.state.api_tokens
    if tokens and find_token(tokens, connection.headers.get("authorization")) is None:
        raise NotAuthorizedException(
            "expected the header `Authorization: Bearer TOKEN` with a configured token",
            headers={"WWW-Authenticate": 'Bearer realm="streamledger"'},
        )


def may_administer(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Guard of what changes something: 401 without a token that is configured, 403 with one of scope read."""
    may_read(connection, handler)
    tokens: Sequence[ApiToken] = connection.app.state.api_tokens
    token = find_token(tokens, connection.headers.get("authorization"))
    if tokens and (token is None or token.scope != "admin"):
        raise PermissionDeniedException("expected a token of scope admin")
