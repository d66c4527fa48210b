"""What a body says, as one digest: the identity of contents, whatever they were signed with."""

import hashlib
from functools import cache
from typing import Any, Final

import msgspec

from streamledger.tencent.bodies import BODY_BY_EVENT_TYPE, Body
from streamledger.tencent.fields import (
    INT64_MAX,
    INT64_MIN,
    MILLISECONDS_FROM,
    Reading,
    integer_of,
    integer_within,
    is_blank,
    is_numeric,
    text,
)
from streamledger.tencent.fields import name as name_of
from streamledger.tencent.filling import readings_of
from streamledger.tencent.tolerant import parse_object

_encode_sorted: Final = msgspec.json.Encoder(order="deterministic").encode


_number: Final = integer_within(INT64_MIN, INT64_MAX)
_UNASKED: Final[dict[str, Reading]] = {
    **dict.fromkeys(("appid", "event_type", "idc_id", "media_start_time", "record_bps", "set_id"), _number),
    **dict.fromkeys(("callback_ext", "channel_id"), text),
}
"""Documented fields that nothing but the comparison of contents reads."""


def content_of(body: bytes) -> str:
    """What the notification of this body says, for those who compare. Raises MalformedBody."""
    return content_of_object(parse_object(body)[0])


def content_of_object(obj: dict[str, Any]) -> str:
    """The same of an object that is parsed already."""
    return content_digest(meaning_of(obj))


def meaning_of(obj: dict[str, Any]) -> dict[str, Any]:
    """What the fields of a body say: null, "" and absent are one, and integer text is the integer.

    What is not declared, or cannot be read, counts exactly as sent; so does all of a kind that has no
    identity beside its content.
    """
    event_type = integer_of(obj.get("event_type"))
    struct = None if event_type is None else BODY_BY_EVENT_TYPE.get(event_type)
    if struct is None or struct.identity is Body.identity:
        return obj
    readings, numbers, texts = _readings_and_kinds(struct)
    said = {}
    for name, value in obj.items():
        reading, kind = readings.get(name), type(value)
        if (
            reading is None
            # Nearly all values say what was sent: to see that takes a fraction of the time of a reading.
            or (kind is int and name in numbers and value < MILLISECONDS_FROM)
            or (kind is str and name in texts and value and value.isprintable() and value.strip() == value)
        ):
            said[name] = value
        elif not is_blank(value):
            found, is_readable = reading(value)
            said[name] = found if is_readable else value
    return said


@cache
def _readings_and_kinds(struct: type[Body]) -> tuple[dict[str, Reading], set[str], set[str]]:
    """How each field is read leniently, and which of them are numbers and texts."""
    readings = {**_UNASKED, **readings_of(struct)}
    numbers = {name for name, reading in readings.items() if is_numeric(reading)}
    return readings, numbers, {name for name, reading in readings.items() if reading in (text, name_of)}


def content_digest(obj: dict[str, Any]) -> str:
    """Hex MD5 of the object less t and sign, whatever the order of its keys."""
    unsigned = obj.copy()
    unsigned.pop("t", None)
    unsigned.pop("sign", None)
    try:
        encoded = _encode_sorted(unsigned)
    except (ValueError, OverflowError):
        # A hexadecimal integer of more than 4300 digits, or a lone surrogate (UnicodeEncodeError).
        encoded = _encode_sorted(_encodable(unsigned))
    return hashlib.md5(encoded, usedforsecurity=False).hexdigest()  # an identity, never a proof


def _encodable(value: Any) -> Any:
    match value:
        case str():
            return value.encode(errors="backslashreplace").decode()
        case int() if value.bit_length() > 4096:
            return hex(value)
        case dict():
            return {_encodable(key): _encodable(item) for key, item in value.items()}
        case list():
            return [_encodable(item) for item in value]
        case _:
            return value
