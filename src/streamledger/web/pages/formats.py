"""How facts are written on the pages: durations, sizes, instants."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from streamledger.domain.instants import parse_instant_ms
from streamledger.web.images import ImageHosts
from streamledger.web.pages.words import Words
from streamledger.web.zones import ago_ms, zone

VALUE_CHARACTERS_MAX: Final = 300


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
    """`2024-04-21 20:31:18` of an RFC 3339 text, in the visitor's zone."""
    return "–" if instant is None else zone().text(parse_instant_ms(instant)).replace("T", " ")


def time_of_day(ms: int) -> str:
    """`20:31:18` of milliseconds since 1970, in the visitor's zone."""
    return zone().text(ms)[11:19]


def ago(t: Words, instant: str) -> str:
    """How long ago an instant was, in the largest unit of which there is one: page.js goes on with it."""
    seconds = ago_ms(instant) // 1000
    for unit, length_s in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length_s:
            return t(f"ago.{unit}", n=seconds // length_s)
    return t("ago.s", n=seconds)


def web_address(url: object) -> str | None:
    """The address if it is one of http or https: anything else, such as javascript:, is no link."""
    if not isinstance(url, str) or len(url) > 2048:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in ("http", "https") and parts.netloc else None


_image_hosts = ImageHosts()


def load_images_from(hosts: ImageHosts) -> None:
    """Load images of these hosts without a click, in this process from now on."""
    global _image_hosts  # noqa: PLW0603  # one setting of the process, as its docstring says
    _image_hosts = hosts


def image_address(url: object) -> str | None:
    """The address of an image if a page may load it by itself."""
    found = web_address(url)
    return found if found is not None and found in _image_hosts else None


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
