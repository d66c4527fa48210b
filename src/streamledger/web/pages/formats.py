"""How facts are written on the pages: durations, sizes, instants, addresses of pages; pure."""

import re
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import msgspec

from streamledger.domain.instants import instant_ms

VALUE_CHARACTERS_MAX: Final = 300

_PLAIN: Final = re.compile(r"(?!\.+$)[A-Za-z0-9_.~-]{1,200}")
"""Names that stand in a path as they are; browsers rewrite others, such as `..`."""


def clock(ms: int | None) -> str:
    """A duration as `42 s`, `12:05`, `3:05:12` or `2d 03:05:12`: the same in every language."""
    if ms is None:
        return "–"
    seconds = max(0, ms) // 1000
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if not hours:
        return f"{minutes}:{seconds:02d}"
    days, hours = divmod(hours, 24)
    rest = f"{minutes:02d}:{seconds:02d}"
    return f"{days}d {hours:02d}:{rest}" if days else f"{hours}:{rest}"


def delay(ms: int) -> str:
    """A delay, finer than `clock` where it is short: `-3 s`, `840 ms`, `1.2 s`, `42 s`, `12:05`."""
    sign, size = ("−", -ms) if ms < 0 else ("", ms)
    if size < 1000:
        return f"{sign}{size} ms"
    if size < 10_000:
        return f"{sign}{size / 1000:.1f} s"
    return sign + clock(size)


def size(count: int) -> str:
    """Bytes as `512 B`, `1.4 kB`, `30.0 MB`."""
    if count < 1000:
        return f"{count} B"
    value, units = count / 1000, ["kB", "MB", "GB", "TB"]
    while value >= 999.95 and len(units) > 1:
        value /= 1000
        del units[0]
    return f"{value:.1f} {units[0]}"


def number(count: int) -> str:
    """With thin spaces between thousands."""
    return f"{count:,}".replace(",", "\u2009")


def day_and_time(instant: str | None) -> str:
    """`2024-04-21 20:31:18` of an RFC 3339 text in UTC."""
    return "–" if instant is None else f"{instant[:10]} {instant[11:19]}"


def time_of_day(ms: int) -> str:
    """`20:31:18` of milliseconds since 1970."""
    return instant_ms(ms)[11:19]


def web_address(url: object) -> str | None:
    """The address if it is one of http or https: anything else, such as javascript:, is no link."""
    if not isinstance(url, str) or len(url) > 2048:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in ("http", "https") and parts.netloc else None


def session_path(sequence: str, stream_id: str | None = None, **asked: Any) -> str:
    """The page of a session; `stream_id` where several streams have its sequence."""
    if _PLAIN.fullmatch(sequence):
        return query_of(f"/sessions/{sequence}", stream_id=stream_id, **asked)
    return query_of("/sessions", sequence=sequence, stream_id=stream_id, **asked)


def stream_path(stream_id: str) -> str:
    """The page of a stream."""
    if _PLAIN.fullmatch(stream_id):
        return f"/streams/{stream_id}"
    return "/streams?" + urlencode([("stream_id", stream_id)], errors="replace")


def query_of(path: str, **given: Any) -> str:
    """A path with those parameters that are given."""
    query = [(name, str(value)) for name, value in given.items() if value not in (None, "", False)]
    return f"{path}?{urlencode(query, errors='replace')}" if query else path


def short(text: str, length: int = 60) -> str:
    """A text cut in its middle, so that both ends can be recognised."""
    if len(text) <= length:
        return text
    half = (length - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def unlike_parts(values: Sequence[Any]) -> tuple[Any, Any]:
    """Two values that differ; of two objects only the parts that do."""
    one, other = values
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return one, other
    unlike = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    return (
        {name: one[name] for name in unlike if name in one},
        {name: other[name] for name in unlike if name in other},
    )


def shown(value: object) -> str:
    """A value that may be anything: text as it is, nothing as a dash, all else as JSON writes it; cut."""
    if value is None:
        return "–"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= VALUE_CHARACTERS_MAX else text[:VALUE_CHARACTERS_MAX] + "…"
