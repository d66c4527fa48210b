"""A server below a path of its host: `/prefix` goes off before anything looks at a request's path.

A proxy may take the prefix off itself or leave it on: a path without it is taken as it is. So the prefix
must not begin as the server's own paths do, or one that was taken off would be seen again.
"""

import re
from typing import Final, cast
from urllib.parse import urlsplit

from litestar.types import Scope

from streamledger.domain.errors import SettingInvalid

OWN: Final = frozenset(
    (
        "audit",
        "callbacks",
        "changes",
        "deliveries",
        "docs",
        "health",
        "language",
        "metrics",
        "quarantine",
        "schema",
        "search",
        "sessions",
        "sign-in",
        "sign-out",
        "static",
        "streams",
        "system",
        "v1",
        "zone",
    )
)
"""How the server's own paths begin."""
_PREFIX: Final = re.compile(r"(?:/(?!\.+(?:/|$))[A-Za-z0-9._~-]+)+")


def public_url_of(text: str) -> str:
    """STREAMLEDGER_PUBLIC_URL without a slash at its end, or "". Raises SettingInvalid."""
    text = text.rstrip("/")
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    is_plain = parts.scheme in ("http", "https") and text == f"{parts.scheme}://{parts.netloc}{parts.path}"
    fits = not parts.path or (_PREFIX.fullmatch(parts.path) and parts.path.split("/")[1] not in OWN)
    if text and not (is_plain and fits):
        raise SettingInvalid(
            name="STREAMLEDGER_PUBLIC_URL",
            expected="https://HOST[:PORT][/PREFIX], the prefix unlike the server's own paths",
            got=repr(text),
        )
    return text


def without_prefix(scope: Scope, prefix: str) -> Scope:
    """The request as it would be at the root of its host."""
    path = scope.get("path", "")
    if not prefix or not (path == prefix or path.startswith(f"{prefix}/")):
        return scope
    raw = scope.get("raw_path")
    changed = {**scope, "path": path[len(prefix) :] or "/"}
    # Plain characters alone are in the prefix, but a client may have escaped even those.
    if raw is not None and raw.startswith(prefix.encode()):
        changed["raw_path"] = raw[len(prefix) :] or b"/"
    elif raw is not None:
        changed["raw_path"] = b"/" + raw.split(b"/", prefix.count("/") + 1)[-1]
    return cast("Scope", changed)
