"""Addresses of the server's own pages and files: every link, form and redirect is made here.

Behind a proxy the server may stand below a path, that of STREAMLEDGER_PUBLIC_URL; one place knows it.
"""

import re
from typing import Any, Final
from urllib.parse import urlencode

_PLAIN: Final = re.compile(r"(?!\.+$)[A-Za-z0-9_.~-]{1,200}")
"""Names that stand in a path as they are; browsers rewrite others, such as `..`."""

_prefix = ""


def stand_below(prefix: str) -> None:
    """Make every address below this path, `/prefix` or "", in this process from now on."""
    global _prefix  # noqa: PLW0603  # one setting of the process, as its docstring says
    _prefix = prefix


def link(path: str, **asked: Any) -> str:
    """The address of a path of this server, which begins with a slash, with the parameters that are given."""
    query = [(name, str(value)) for name, value in asked.items() if value not in (None, "", False)]
    return f"{_prefix}{path}?{urlencode(query, errors='replace')}" if query else _prefix + path


def cookie_path() -> str:
    """Where the cookies of the pages belong: two ledgers of one host do not see each other's."""
    return _prefix or "/"


def own_link(text: str | None) -> str:
    """An address of ours that a form names, else the first page's: no other host, nothing beside us."""
    if text is None or not text.startswith(link("/")) or not text.isprintable():
        return link("/")
    rest = text[len(_prefix) :]
    return link("/") if rest[1:2] in ("/", "\\") else text


def session_path(sequence: str, stream_id: str | None = None, **asked: Any) -> str:
    """The page of a session; `stream_id` where several streams have its sequence."""
    if _PLAIN.fullmatch(sequence):
        return link(f"/sessions/{sequence}", stream_id=stream_id, **asked)
    return link("/sessions", sequence=sequence, stream_id=stream_id, **asked)


def stream_path(stream_id: str) -> str:
    """The page of a stream."""
    return (
        link(f"/streams/{stream_id}")
        if _PLAIN.fullmatch(stream_id)
        else link("/streams", stream_id=stream_id)
    )


def delivery_path(position: int) -> str:
    """The page of one delivery."""
    return link(f"/deliveries/{position}")
