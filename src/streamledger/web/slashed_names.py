"""Names of streams in addresses: those with a slash are one segment of the path, escaped as %2F or not, and
those with secrets find what is kept under the name without them.

A server hands the path on with its escapes undone, so that the router would see more segments than there are.
"""

from typing import Final, cast
from urllib.parse import parse_qsl, unquote, urlencode

from litestar.types import ASGIApp, Receive, Scope, Send

from streamledger.tencent import naming

_SLASH: Final = "\x1f"
# No stream has a control character in its name.
_PREFIXES: Final = ("/v1/streams/", "/streams/")
_LISTS: Final = frozenset({"broadcasts", "unattributed", "notifications"})


def route_slashed_names(app: ASGIApp) -> ASGIApp:
    """The application behind a door that makes the name of a stream one segment."""

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        path = one_segment(scope["path"], scope.get("raw_path"))
        if path != scope["path"]:
            scope = cast("Scope", {**scope, "path": path})
        if b"stream_id=" in scope.get("query_string", b""):
            scope = cast("Scope", {**scope, "query_string": _kept_names(scope["query_string"])})
        await app(scope, receive, send)

    return route


def one_segment(path: str, raw_path: bytes | None) -> str:
    """The path to be routed. A slash that was not escaped is part of the name, but before a list's name."""
    prefix = next((each for each in _PREFIXES if path.startswith(each)), None)
    if prefix is None or "/" not in path[len(prefix) :]:
        return path
    raw = path if raw_path is None else raw_path.partition(b"?")[0].decode("latin-1")
    segments = [unquote(each) if raw_path is not None else each for each in raw[len(prefix) :].split("/")]
    tail = segments.pop() if len(segments) > 1 and segments[-1] in _LISTS and "v1" in prefix else None
    name = "/".join(segments).replace("/", _SLASH)
    return prefix + name + ("" if tail is None else f"/{tail}")


def named(segment: str) -> str:
    """The name of a stream as it stood in the path, as it is kept."""
    return naming.named(segment.replace(_SLASH, "/"))


def _kept_names(query: bytes) -> bytes:
    """The query with the name of a stream as it is kept; as it was where that is the same."""
    given = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    kept = [(name, naming.named(value) if name == "stream_id" else value) for name, value in given]
    return query if kept == given else urlencode(kept).encode()
