"""What the fields of a body mean, beside how they were sent: times, durations, sizes, codes; pure."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from streamledger.domain.instants import instant_ms
from streamledger.domain.kinds import kind_of
from streamledger.tencent.errcodes import ERRCODES, class_of
from streamledger.web.pages.formats import clock, shown, size
from streamledger.web.pages.words import Words

_TIMES_S: Final = (1_262_304_000, 4_102_444_800)
"""From 2010 to 2100: a number of a field of time that lies between is seconds since 1970."""
_DURATION_UNITS_MS: Final = {"push_duration": 1, "duration": 1000, "report_interval": 1000}


class Decoded(msgspec.Struct, frozen=True, kw_only=True):
    """One field: as it was sent, and what that means where a person would not see it."""

    field: str
    sent: str
    instant: str | None = None
    """Of a time."""
    said: tuple[str, str] | None = None
    """Section and name of the words that say it."""
    text: str | None = None
    """A duration or a size."""


def decoded(body: Mapping[str, Any], event_type: int | None) -> list[Decoded]:
    """The fields of a body in their order."""
    return [_decoded(field, value, event_type) for field, value in body.items()]


def _decoded(field: str, value: Any, event_type: int | None) -> Decoded:
    sent = shown(value)
    instant = instant_of(field, value)
    if instant is not None:
        return Decoded(field=field, sent=sent, instant=instant)
    number = _integer(value)
    if number is None:
        return Decoded(field=field, sent=sent)
    if field == "event_type":
        return Decoded(field=field, sent=sent, said=("kind", kind_of(number).value))
    if field == "errcode" and event_type == 0:
        code = str(number) if number in ERRCODES else "unknown"
        return Decoded(field=field, sent=sent, said=("errcode", code), text=class_of(number).value)
    if (unit_ms := _DURATION_UNITS_MS.get(field)) is not None:
        return Decoded(field=field, sent=sent, text=clock(number * unit_ms))
    if field == "file_size":
        return Decoded(field=field, sent=sent, text=size(number))
    return Decoded(field=field, sent=sent)


def instant_of(field: str, value: Any) -> str | None:
    """The instant that a field of time names, in seconds or milliseconds since 1970."""
    if field not in ("t", "timestamp") and not field.endswith("time"):
        return None
    number = _integer(value)
    if number is None:
        return None
    if _TIMES_S[0] <= number < _TIMES_S[1]:
        return instant_ms(number * 1000)
    if _TIMES_S[0] * 1000 <= number < _TIMES_S[1] * 1000:
        return instant_ms(number)
    return None


def meaning(t: Words, found: Decoded) -> str:
    """What a field that is no time means, in words; empty where it says it by itself."""
    if found.said is None:
        return found.text or ""
    section, name = found.said
    words = t.named(section, name)
    return f"{t.named('stop_class', found.text)}: {words}" if section == "errcode" else words


def _integer(value: Any) -> int | None:
    """An integer as it was sent, as a number or as digits; a boolean is none."""
    if type(value) is int:
        return value
    return (
        int(value)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19
        else None
    )
