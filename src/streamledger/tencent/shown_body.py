"""A body as it is shown: parsed, without its secrets, and cut where it is large.

A genuine body has about 700 bytes. One of the largest that are accepted would cost what looks at it a
hundredth of a second and more, and a list of them seconds; so no more than SHOWN_BYTES_MAX are shown.
"""

from contextlib import suppress
from typing import Any, Final

import msgspec

from streamledger.domain.beliefs import HeadersShown
from streamledger.domain.errors import MalformedBody
from streamledger.domain.events import RequestHeaders
from streamledger.tencent.naming import named
from streamledger.tencent.reader import mended_fields
from streamledger.tencent.redaction import redact
from streamledger.tencent.tolerant import NOT_STRICT, parse_object

SHOWN_BYTES_MAX: Final = 16 * 1024
TEXT_CHARACTERS_MAX: Final = 2048
"""Of one text of a session: it has a dozen of them, and an explanation shows several values of each."""

NAMES: Final = ("stream_id", "channel_id", "streamId", "channelId")
"""Fields that name a stream."""

_raw_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class ShownBody(msgspec.Struct, frozen=True):
    """What is shown of a body."""

    fields: dict[str, Any]
    mended: tuple[str, ...]
    cut: bool = False
    """Whether fields were left out because the body is large."""


def shown_body(body: bytes) -> ShownBody:
    """The body as it is shown. Raises MalformedBody."""
    obj, mended = parse_object(at_most(body))
    with suppress(MalformedBody):  # an act of an operator names no type
        mended = (*mended, *mended_fields(obj))
    fields = redact(obj)
    for name in NAMES:
        if isinstance(obj.get(name), str):
            fields[name] = redact(named(obj[name]))  # by which it is found
    return ShownBody(fields, mended, len(body) > SHOWN_BYTES_MAX)


def headers_shown(headers: RequestHeaders) -> HeadersShown:
    """Headers with their names, without secrets: a proxy may write the address that was called into them."""
    return HeadersShown(**redact(msgspec.structs.asdict(headers)))


def at_most(body: bytes) -> bytes:
    """The body, or of a large one its first fields: what reads it for showing never reads more."""
    return body if len(body) <= SHOWN_BYTES_MAX else first_fields(body)


def shortened(value: Any) -> Any:
    """A copy of builtin types in which no text is longer than TEXT_CHARACTERS_MAX; what is cut says so."""
    match value:
        case str():
            if len(value) <= TEXT_CHARACTERS_MAX:
                return value
            return f"{value[:TEXT_CHARACTERS_MAX]}… ({len(value)} characters)"
        case dict():
            return {key: shortened(item) for key, item in value.items()}
        case list() | tuple():
            return type(value)(shortened(item) for item in value)
        case _:
            return value


def first_fields(body: bytes, bytes_max: int = SHOWN_BYTES_MAX) -> bytes:
    """A JSON object of the top-level fields of `body` that fit together into `bytes_max`, in their order.

    Each that does not fit is left out, however small those behind it are; of what is no strict JSON, all.
    """
    try:
        fields = _raw_fields(body)
    except NOT_STRICT:
        return b"{}"
    kept: list[bytes] = []
    left = bytes_max - 2
    for name, raw in fields.items():
        if len(name) + len(raw) >= left:
            continue
        field = msgspec.json.encode(name) + b":" + raw
        if len(field) < left:
            kept.append(field)
            left -= len(field) + 1
    return b"{" + b",".join(kept) + b"}"
