"""Keyset cursors: opaque to clients, they name the last row of a page and the list it belongs to."""

import base64
from typing import Any

import msgspec

from streamledger.domain.errors import CursorInvalid


def encode_cursor(listing: str, key: list[Any]) -> str:
    """The cursor after a row with this key."""
    return base64.urlsafe_b64encode(msgspec.json.encode([listing, *key])).decode().rstrip("=")


def decode_cursor(listing: str, cursor: str, types: tuple[type, ...]) -> list[Any]:
    """The key of the row before the page. Raises CursorInvalid for anything but this list's own cursor."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        values = msgspec.json.decode(base64.urlsafe_b64decode(padded.encode("ascii")), type=list)
    except (ValueError, UnicodeEncodeError) as error:
        raise CursorInvalid(got=repr(cursor[:80])) from error
    key = values[1:]
    fits = values[:1] == [listing] and len(key) == len(types)
    if not fits or not all(type(value) is kind for value, kind in zip(key, types, strict=True)):
        raise CursorInvalid(got=repr(cursor[:80]))
    if any(isinstance(value, int) and not -(2**63) <= value < 2**63 for value in key):
        raise CursorInvalid(got=repr(cursor[:80]))
    if any(isinstance(value, str) and "\0" in value for value in key):
        raise CursorInvalid(got=repr(cursor[:80]))
    return key
