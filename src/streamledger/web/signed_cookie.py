"""The cookie of a signed-in browser: which token it was signed in with and until when, under a MAC.

Its key is derived from the token and from a secret that is not in the database, so a leaked database forges
none; taking a token away, or changing it, ends every session that was begun with it; and nothing has to be
stored. The token itself is not in the cookie.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from streamledger.web.auth import ApiToken, find_token

NAME: Final = "streamledger_session"
LIFETIME_S: Final = 12 * 3600
COOKIE_CHARACTERS_MAX: Final = 1024


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """What the cookie says."""

    token_name: str
    expires_s: int
    nonce: str


def sign_in(tokens: Sequence[ApiToken], secret: str) -> ApiToken | None:
    """The configured token that a visitor has typed."""
    return find_token(tokens, f"Bearer {secret}")


def cookie_of(
    key: bytes, token: ApiToken, now_s: int, nonce: Callable[[], str] = lambda: secrets.token_urlsafe(12)
) -> str:
    """A cookie for a browser that was signed in with a token."""
    claim = base64.urlsafe_b64encode(msgspec.json.encode(Claim(token.name, now_s + LIFETIME_S, nonce())))
    return f"{claim.decode()}.{_mac(key, token, claim)}"


def token_of(key: bytes, tokens: Sequence[ApiToken], cookie: str | None, now_s: int) -> ApiToken | None:
    """The token behind a cookie; None when it is not ours, has expired, or its token is gone."""
    if cookie is None or len(cookie) > COOKIE_CHARACTERS_MAX or not cookie.isascii():
        return None
    text, _, mac = cookie.partition(".")
    try:
        claim = msgspec.json.decode(base64.urlsafe_b64decode(text), type=Claim)
    except ValueError:
        return None
    for token in tokens:
        if token.name == claim.token_name and hmac.compare_digest(_mac(key, token, text.encode()), mac):
            return token if now_s < claim.expires_s else None
    return None


def _mac(key: bytes, token: ApiToken, claim: bytes) -> str:
    of_token = hmac.digest(key, b"streamledger page session v2" + token.digest, hashlib.sha256)
    return hmac.new(of_token, claim, hashlib.sha256).hexdigest()
