"""Tokens of the query interface: made, listed, revoked. Only their SHA-256 is stored; acts are events."""

import hashlib
import secrets
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import psycopg

from streamledger.domain.errors import StreamledgerError
from streamledger.ledger.acts import Actor
from streamledger.ledger.application import Ledger

SCOPES: Final = ("read", "admin")
SECRET_BYTES: Final = 32
"""Random bytes of a token: so many that a plain hash of it cannot be reversed by guessing."""
PREFIX: Final = "slk_"
"""Lets a scanner of leaked secrets recognise a token."""
NAME_CHARACTERS_MAX: Final = 100
ANONYMOUS: Final = "anonymous"
"""By which name those act who need no token; no token has it."""


class TokenNameTaken(StreamledgerError):
    """a token named {name} exists or existed; no name is used again, so that the ledger's acts stay clear"""

    exit_code = 2


class TokenNameInvalid(StreamledgerError):
    """the name of a token: expected 1 to {characters_max} printable characters without a colon, and not
    `anonymous`, got {got}"""

    exit_code = 2


class TokenUnknown(StreamledgerError):
    """no token in the database has the name {name}"""

    exit_code = 4


class StoredToken(msgspec.Struct, frozen=True):
    """A token as the database keeps it, without its secret."""

    name: str
    scope: str
    created_at_us: int
    created_by: str
    revoked_at_us: int | None
    revoked_by: str | None


def digest_of(secret: str) -> bytes:
    """What is stored and compared instead of a token."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


def create_token(
    connection: psycopg.Connection[Any], ledger: Ledger, name: str, scope: str, actor: Actor
) -> str:
    """Make a token and return its text, which is shown this once. Raises TokenNameTaken, TokenNameInvalid."""
    printable = name.isprintable() and name == name.strip()
    # Acts are signed with the name: none may pass for `cli:root`, nor for who bears no token.
    if not 0 < len(name) <= NAME_CHARACTERS_MAX or not printable or ":" in name or name == ANONYMOUS:
        raise TokenNameInvalid(characters_max=NAME_CHARACTERS_MAX, got=repr(name[:200]))
    secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    try:
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO api_tokens (name, scope, secret_sha256, created_at_us, created_by)"
                " VALUES (%s, %s, %s, %s, %s)",
                (name, scope, digest_of(secret), actor.at_us, actor.by),
            )
            ledger.act(connection, "token-created", actor, {"name": name, "scope": scope})
    except psycopg.errors.UniqueViolation as error:
        raise TokenNameTaken(name=name) from error
    return secret


def revoke_token(connection: psycopg.Connection[Any], ledger: Ledger, name: str, actor: Actor) -> bool:
    """Revoke a token; False when it was revoked before. Raises TokenUnknown."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("SELECT revoked_at_us FROM api_tokens WHERE name = %s FOR UPDATE", (name,))
        row = cursor.fetchone()
        if row is None:
            raise TokenUnknown(name=name)
        if row[0] is not None:
            return False
        cursor.execute(
            "UPDATE api_tokens SET revoked_at_us = %s, revoked_by = %s WHERE name = %s",
            (actor.at_us, actor.by, name),
        )
        ledger.act(connection, "token-revoked", actor, {"name": name})
        return True


def list_tokens(connection: psycopg.Connection[Any]) -> Sequence[StoredToken]:
    """Every token ever made, by name."""
    rows = connection.execute(
        "SELECT name, scope, created_at_us, created_by, revoked_at_us, revoked_by"
        " FROM api_tokens ORDER BY name"
    )
    return [StoredToken(*row) for row in rows.fetchall()]


def has_active_token(connection: psycopg.Connection[Any]) -> bool:
    """Whether any stored token is in force."""
    rows = connection.execute("SELECT 1 FROM api_tokens WHERE revoked_at_us IS NULL LIMIT 1")
    return bool(rows.fetchall())
