"""Which headers of a callback are kept with it: those that tell something about its sender, cut to size."""

from collections.abc import Iterable
from typing import Final

from streamledger.domain.events import NO_HEADERS, RequestHeaders

USER_AGENT_BYTES_MAX: Final = 128
"""Its beginning is kept."""
FORWARDED_BYTES_MAX: Final = 192
"""Of Forwarded and of X-Forwarded-For each; the end is kept, which the nearest proxies wrote. 512 in all."""


def headers_kept(headers: Iterable[tuple[bytes, bytes]]) -> RequestHeaders:
    """What is kept of a request's headers, whose names are in lower case; several of a name are joined."""
    user_agent = forwarded = x_forwarded_for = b""
    for name, value in headers:
        if name == b"user-agent":
            user_agent = value
        elif name == b"x-forwarded-for":
            x_forwarded_for = _joined(x_forwarded_for, value)
        elif name == b"forwarded":
            forwarded = _joined(forwarded, value)
    if not (user_agent or forwarded or x_forwarded_for):
        return NO_HEADERS
    return RequestHeaders(
        _text(user_agent[:USER_AGENT_BYTES_MAX]),
        _text(forwarded),
        _text(x_forwarded_for),
    )


def _joined(before: bytes, value: bytes) -> bytes:
    return (before + b", " + value if before else value)[-FORWARDED_BYTES_MAX:]


def _text(value: bytes) -> str:
    """A byte beyond ASCII means nothing but itself (RFC 9110, 5.5). PostgreSQL holds no NUL."""
    return value.decode("latin-1").replace("\0", "")
