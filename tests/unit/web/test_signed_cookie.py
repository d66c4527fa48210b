"""The cookie of a signed-in browser: whom it lets in, and when it no longer does."""

import base64

import pytest

from streamledger.operations.tokens import digest_of
from streamledger.web import signed_cookie
from streamledger.web.auth import ApiToken

KEY = b"k" * 32
NOW_S = 1_795_491_413
ANNA = ApiToken("anna", "read", digest_of("anna-secret"))
ROOT = ApiToken("root", "admin", digest_of("root-secret"))
COOKIE = signed_cookie.cookie_of(KEY, ANNA, NOW_S, lambda: "nonce")


def test_it_leads_to_the_token_until_it_expires() -> None:
    last_s = NOW_S + signed_cookie.LIFETIME_S - 1
    assert signed_cookie.token_of(KEY, [ROOT, ANNA], COOKIE, NOW_S) is ANNA
    assert signed_cookie.token_of(KEY, [ROOT, ANNA], COOKIE, last_s) is ANNA
    assert signed_cookie.token_of(KEY, [ROOT, ANNA], COOKIE, last_s + 1) is None


def test_it_ends_with_its_token() -> None:
    changed = ApiToken("anna", "read", digest_of("another"))
    assert signed_cookie.token_of(KEY, [ROOT], COOKIE, NOW_S) is None
    assert signed_cookie.token_of(KEY, [ROOT, changed], COOKIE, NOW_S) is None


def test_who_knows_all_that_the_database_holds_forges_none() -> None:
    """The token's digest is stored; the key is not."""
    for guess in (b"", b"\0" * 32, ANNA.digest):
        forged = signed_cookie.cookie_of(guess, ANNA, NOW_S)
        assert signed_cookie.token_of(KEY, [ROOT, ANNA], forged, NOW_S) is None


def test_it_does_not_contain_the_token() -> None:
    claim = base64.urlsafe_b64decode(COOKIE.partition(".")[0])
    assert b"secret" not in claim
    assert claim.startswith(b'["anna",')


@pytest.mark.parametrize(
    "cookie",
    [
        None,
        "",
        ".",
        "x",
        COOKIE[:-1] + ("0" if COOKIE[-1] != "0" else "1"),
        COOKIE.replace("W", "X", 1),
        "A" * 5000,
        "ü." + COOKIE.partition(".")[2],
        COOKIE.partition(".")[0],
        base64.urlsafe_b64encode(b'["root",9999999999,"n"]').decode() + "." + COOKIE.partition(".")[2],
    ],
)
def test_whatever_is_not_ours_leads_nowhere(cookie: str | None) -> None:
    assert signed_cookie.token_of(KEY, [ROOT, ANNA], cookie, NOW_S) is None


def test_two_cookies_of_one_moment_differ() -> None:
    assert signed_cookie.cookie_of(KEY, ANNA, NOW_S) != signed_cookie.cookie_of(KEY, ANNA, NOW_S)
