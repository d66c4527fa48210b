"""The hot path: the few fields of a body that decide whether, and where, its delivery is kept."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from streamledger.domain.errors import MalformedBody
from streamledger.tencent.fields import (
    INT64_MAX,
    SEQUENCE_CHARACTERS_MAX,
    STREAM_ID_CHARACTERS_MAX,
    integer_of,
    is_blank,
    sequence_of,
    stream_id_of,
)
from streamledger.tencent.naming import named
from streamledger.tencent.tolerant import (
    BRACKET,
    NOT_STRICT,
    TOLERANT_BODY_BYTES_MAX,
    in_codes,
    is_utf8,
    nests_too_deep,
    parse_object,
    shown,
)

EVENT_TYPE_MAX: Final = 2**31 - 1
T_DIGITS_MAX: Final = 64
"""A longer `t` is unreadable; today's has 10 digits."""

STREAMLIVE_TYPES: Final = frozenset({329, 330})
"""Event types whose channel_id is no live stream's (1048/73133)."""

_DIGITS: Final = re.compile(rf"[0-9]{{1,{T_DIGITS_MAX}}}")


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """What judging and filing a delivery needs of its body.

    `t` and `sign` are None both when absent (null, "" or not there) and when they were sent in a form
    that cannot be verified; the two differ by `t_unreadable` and `sign_unreadable`.
    """

    event_type: int
    stream_id: str | None
    sequence: str | None
    t: str | None
    """Decimal digits as sent, leading zeros included: they are what was signed."""
    sign: str | None
    """As sent, whatever its length or alphabet."""
    t_unreadable: bool = False
    sign_unreadable: bool = False
    mended: tuple[str, ...] = ()


class _Usual(msgspec.Struct, gc=False):
    # The types of nearly every body; one that differs is read again, as _Wire.
    event_type: Annotated[int, msgspec.Meta(ge=0, le=EVENT_TYPE_MAX)]
    stream_id: Annotated[str, msgspec.Meta(max_length=STREAM_ID_CHARACTERS_MAX)]
    sequence: Annotated[str, msgspec.Meta(max_length=SEQUENCE_CHARACTERS_MAX)] | None = None
    t: Annotated[int, msgspec.Meta(ge=0, le=INT64_MAX)] | None = None
    sign: str | None = None


_ABSENT: Final = msgspec.Raw(b"null")


class _Wire(msgspec.Struct, gc=False):
    # Raw: a field of an unexpected type is for the lenient rules to judge, not for the decoder.
    event_type: msgspec.Raw = _ABSENT
    stream_id: msgspec.Raw = _ABSENT
    streamId: msgspec.Raw = _ABSENT  # noqa: N815 - as 317 spells it
    channel_id: msgspec.Raw = _ABSENT
    sequence: msgspec.Raw = _ABSENT
    t: msgspec.Raw = _ABSENT
    sign: msgspec.Raw = _ABSENT


_decode_usual: Final = msgspec.json.Decoder(_Usual).decode
_decode_wire: Final = msgspec.json.Decoder(_Wire).decode
_decode_value: Final = msgspec.json.Decoder().decode

FIELD_BYTES_MAX: Final = 16 * 1024
"""A longer field of these is no name, number or signature: it is not made an object of, which takes long."""


def read_envelope(body: bytes) -> Envelope:
    """The envelope of a body, by one decode that skips every other field. Raises MalformedBody.

    A skipped field is not validated beyond its syntax, so `mended` may be empty although reading the
    whole body mends something in it.
    """
    # Nearly all bodies are short and flat: that is seen here, as a call takes as long as the look.
    if (
        len(body) > TOLERANT_BODY_BYTES_MAX
        or ((BRACKET in body or body.find(b"{", 1) > 0) and nests_too_deep(body))
        or not (body.isascii() or is_utf8(body))
    ):
        return envelope_of(*parse_object(body))
    envelope = read_strict_envelope(body)
    return envelope_of(*parse_object(body)) if envelope is None else envelope


def read_strict_envelope(body: bytes) -> Envelope | None:
    """The same of strict JSON, however deep it nests, in a time that a stranger may cost; else None.

    Raises MalformedBody.
    """
    return read_usual_envelope(body) or _read_unusual(body)


def read_usual_envelope(body: bytes) -> Envelope | None:
    """The same of what nearly every body is, in a third of a millisecond at most; else None."""
    try:
        usual = _decode_usual(body)
    except NOT_STRICT:
        return None
    stream_id = usual.stream_id.strip()
    sequence = usual.sequence
    # isprintable and isalnum answer for nearly all; what they refuse may still be fine.
    if not stream_id or not stream_id.isprintable():
        return None
    if sequence is not None and not (sequence.isalnum() and sequence.isascii()):
        return None
    t = usual.t
    return Envelope(
        usual.event_type,
        named(stream_id),
        sequence,
        None if t is None else str(t),
        usual.sign or None,
        False,
        False,
    )


def _read_unusual(body: bytes) -> Envelope | None:
    try:
        wire = _decode_wire(body)
        fields = {name: _value_of(raw) for name, raw in msgspec.structs.asdict(wire).items()}
    except NOT_STRICT:
        return None
    return envelope_of(fields)


def _value_of(raw: msgspec.Raw) -> Any:
    return _decode_value(raw) if len(bytes(raw)) <= FIELD_BYTES_MAX else []


def envelope_of(obj: dict[str, Any], mended: tuple[str, ...] = ()) -> Envelope:
    """The same envelope from an object that is already parsed. Raises MalformedBody."""
    t = obj.get("t")
    t_text = t_of(t)
    sign = obj.get("sign")
    sign_text = sign if type(sign) is str and sign else None
    return Envelope(
        event_type_of(obj.get("event_type")),
        stream_id_of(obj.get(stream_field_of(obj))),
        sequence_of(obj.get("sequence")),
        t_text,
        sign_text,
        t_text is None and t is not None and t != "",
        sign_text is None and sign is not None and sign != "",
        mended,
    )


def stream_field_of(obj: Mapping[str, Any]) -> str:
    """The name under which the stream was sent: 317 spells it otherwise, and some name the channel alone.

    A channel of StreamLive is no stream.
    """
    if not is_blank(obj.get("stream_id")):
        return "stream_id"
    if is_blank(obj.get("channel_id")) or not is_blank(obj.get("streamId")):
        return "streamId"
    return "streamId" if integer_of(obj.get("event_type")) in STREAMLIVE_TYPES else "channel_id"


def event_type_of(value: object) -> int:
    """The event type, 0 to 2^31-1, from a number or digits. Raises MalformedBody when it is neither."""
    number = integer_of(value)
    if number is None or not 0 <= number <= EVENT_TYPE_MAX:
        raise MalformedBody(
            field="event_type",
            expected=f"an integer from 0 to {EVENT_TYPE_MAX}",
            got=shown(value),
            fault={"expected": "integer", "least": 0, "most": EVENT_TYPE_MAX, **in_codes(value)},
        )
    return number


def t_of(t: object) -> str | None:
    """The digits of a `t`, as sent; None when it is nothing that could have been signed."""
    if type(t) is int:
        return str(t) if 0 <= t < 10**T_DIGITS_MAX else None
    return t if type(t) is str and _DIGITS.fullmatch(t) else None
