"""What a body says, as one digest: the identity of contents, whatever they were signed with."""

import hashlib
from typing import Any, Final

import msgspec

_encode_sorted: Final = msgspec.json.Encoder(order="deterministic").encode


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
    return md5_hex(encoded)


def md5_hex(content: bytes) -> str:
    """MD5 in hexadecimal: an identity here, never a proof."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


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
