"""What a body says, as one digest: the identity of contents, whatever they were signed with."""

import hashlib
from functools import cache
from typing import Any, Final, get_type_hints

import msgspec

from streamledger.tencent.bodies import BODY_BY_EVENT_TYPE, Body
from streamledger.tencent.fields import (
    INT64_MAX,
    INT64_MIN,
    Reading,
    integer_of,
    integer_within,
    is_blank,
    text,
)
from streamledger.tencent.filling import readings_of
from streamledger.tencent.tolerant import parse_object

_encode_sorted: Final = msgspec.json.Encoder(order="deterministic").encode


_number: Final = integer_within(INT64_MIN, INT64_MAX)
_UNASKED: Final[dict[str, Reading]] = {
    **dict.fromkeys(("appid", "event_type", "idc_id", "media_start_time", "record_bps", "set_id"), _number),
    **dict.fromkeys(("callback_ext", "channel_id"), text),
}
"""Documented fields that nothing but the comparison of contents reads."""
_UNASKED_KINDS: Final[list[tuple[str, type]]] = [
    (field, str if reading is text else int) for field, reading in _UNASKED.items()
]


def content_of_strict(body: bytes, struct: type[Body]) -> str:
    """What a notification says, for those who compare: of a body that the strict reader made this struct of.

    Texts of such a body are as they were sent, and its numbers too but for those that came as text.
    """
    obj, _ = parse_object(body)
    if struct.identity is not Body.identity:
        if not _are_as_declared(obj):
            return content_of_object(obj)
        if b'""' in body or b"null" in body:
            readings = _readings(struct)
            obj = {name: value for name, value in obj.items() if not (is_blank(value) and name in readings)}
        for name in _digits_of(struct):
            if type(value := obj.get(name)) is str:
                obj[name] = int(value)
    return content_digest(obj)


def _are_as_declared(obj: dict[str, Any]) -> bool:
    # The fields that no struct has: each of its kind, or nothing.
    for name, kind in _UNASKED_KINDS:
        value = obj.get(name)
        if value is not None and value != "" and (type(value) is not kind or is_blank(value)):
            return False
    return True


@cache
def _digits_of(struct: type[Body]) -> list[str]:
    """The numbers that may be sent as text."""
    return [field for field, hint in get_type_hints(struct).items() if hint == int | str | None]


def content_of_object(obj: dict[str, Any]) -> str:
    """The same of any object."""
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
    readings = _readings(struct)
    said = {}
    for name, value in obj.items():
        reading = readings.get(name)
        if reading is None:
            said[name] = value
        elif not is_blank(value):
            found, is_readable = reading(value)
            said[name] = found if is_readable else value
    return said


@cache
def _readings(struct: type[Body]) -> dict[str, Reading]:
    """How each documented field is read leniently."""
    return {**_UNASKED, **readings_of(struct)}


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
