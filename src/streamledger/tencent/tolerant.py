"""Bytes to a JSON object: strict JSON first, then what real senders get wrong (ADR 0006).

Every input up to the body limit ends in an object or in MalformedBody, in time linear in its length.
"""

import codecs
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import pyjson5

from streamledger.domain.errors import MalformedBody
from streamledger.tencent.redaction import redact

NESTING_LEVELS_MAX: Final = 64
"""Deeper bodies are malformed, in both readers, so that no answer depends on the depth of our own stack."""

TOLERANT_BODY_BYTES_MAX: Final = 16 * 1024
"""A longer body must be strict JSON: genuine ones have some 700 bytes, and mending is slow."""

GOT_CHARACTERS_MAX: Final = 80
"""How much of an offending value an error may show."""

GOT: Final = {
    "empty": "nothing",
    "cut": "a text that ends in the midst of one",
    "more": "one with more after it",
    "no_value_at": "no value at character {at}",
    "no_colon_at": "no colon at character {at}",
    "no_comma_at": "no comma at character {at}",
    "else_at": "something else at character {at}",
}
"""What a body that no reader can read was found to be; `at` counts from 1."""

NOT_STRICT: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises on a body that strict JSON cannot read (ValidationError is a DecodeError)."""

BRACKET: Final = ord("[")
"""A body that nests has one, or a second brace; to look for a number is quicker than for bytes."""

_ESCAPED: Final = "streamledger.escaped"
_MARK: Final = "\ufffd"
"""Stands before each escape of ours, so that a text which was sent with a backslash is another (ADR 0052)."""
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
# The closing quote is optional, so that an unclosed string is consumed once and not retried at each quote.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
# The run of escaped backslashes goes first: in "\\ud800" the u is a letter and no escape.
_SURROGATE_ESCAPE: Final = re.compile(
    r"(?<!\\)((?:\\\\)*+)(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})?"
    r"(\\u[dD][89a-fA-F][0-9a-fA-F]{2})?"
)
_ANY_SURROGATE_ESCAPE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_MISSING: Final = {"JSON5Value": "no_value_at", "colon": "no_colon_at", "comma": "no_comma_at"}
_NEAR: Final = re.compile(r" near ([0-9]+)")
_decode_value: Final = msgspec.json.Decoder().decode
_decode_raw_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def parse_object(body: bytes) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The whole JSON object of `body`, and what had to be mended before it could be read.

    Notes, in this order: "bom", "gb18030" or "invalid_utf8", "lone_surrogate", then "number_out_of_range"
    (a field holding one is kept as a list of its own text, which no field reads) or "json5". Raises
    MalformedBody.
    """
    strict = _read_strict(body) if is_utf8(body) else None
    if strict is not None:
        return strict
    if len(body) > TOLERANT_BODY_BYTES_MAX:
        raise MalformedBody(
            field="body",
            expected=f"a JSON object, in strict JSON as it has over {TOLERANT_BODY_BYTES_MAX // 1024} KiB",
            got=f"{len(body)} bytes that are not",
            fault={"expected": "strict_json", "got": "bytes", "count": len(body)},
        )
    text, notes = _mend_text(body)
    if notes:
        strict = _read_strict(text.encode())
        if strict is not None:
            return strict[0], notes + strict[1]
    try:
        value = pyjson5.decode(text, maxdepth=NESTING_LEVELS_MAX)
    except pyjson5.Json5Exception as error:
        # Only the first argument: the others hold what was read so far, secrets included.
        raise _malformed(*_place_of(str(error.args[0]) if error.args else "")) from None
    except (ValueError, OverflowError, RecursionError) as error:
        raise _malformed(type(error).__name__, {"got": "else"}) from None
    return _only_object(value), (*notes, "json5")


def is_utf8(body: bytes) -> bool:
    """Whether the bytes are strict UTF-8: a reader that skips a field would not see that it is not."""
    if body.isascii():
        return True
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def nests_too_deep(body: bytes) -> bool:
    """Whether `body`, read as strict JSON, nests deeper than NESTING_LEVELS_MAX."""
    # Nearly all bodies are flat: one search each is several times quicker than counting.
    if BRACKET not in body and body.find(b"{", 1) < 0:
        return False
    if body.count(b"[") + body.count(b"{") <= NESTING_LEVELS_MAX:
        return False
    depth = 0
    for byte in _STRING.sub(b"", body).translate(None, _NO_BRACKETS):
        depth += 1 if byte in b"[{" else -1
        if depth > NESTING_LEVELS_MAX:
            return True
    return False


def shown(value: object) -> str:
    """A short form of an offending value, fit for an error: at most 80 characters, no secret."""
    match value:
        case str():
            return repr(redact(value[:400]))[:GOT_CHARACTERS_MAX]
        case None:
            return "nothing"
        case bool() | float():
            return repr(value)
        case int():
            # Beyond 4300 digits Python refuses to print an integer.
            return str(value) if value.bit_length() < 200 else f"an integer of {value.bit_length()} bits"
        case dict():
            return "an object"
        case _:
            return "a list"


def in_codes(value: object) -> dict[str, Any]:
    """The same as codes: which kind of value it is, and what it says where that is short."""
    kinds = {list: "list", dict: "object", type(None): "empty"}
    kind = kinds.get(type(value))
    return {"got": kind} if kind else {"got": "value", "value": shown(value)}


def _read_strict(body: bytes) -> tuple[dict[str, Any], tuple[str, ...]] | None:
    if nests_too_deep(body):
        return None
    try:
        return _only_object(_decode_value(body)), ()
    except msgspec.ValidationError:
        # Without a type to validate, only a number outside the range of its Python type ends here.
        return _read_field_by_field(body)
    except NOT_STRICT:
        return None


def _read_field_by_field(body: bytes) -> tuple[dict[str, Any], tuple[str, ...]] | None:
    try:
        fields = _decode_raw_fields(body)
    except NOT_STRICT:
        return None
    readable: dict[str, Any] = {}
    for name, raw in fields.items():
        try:
            readable[name] = _decode_value(raw)
        except msgspec.ValidationError:
            readable[name] = [bytes(raw).decode(errors="replace")]
        except NOT_STRICT:
            return None
    return readable, ("number_out_of_range",)


def _mend_text(body: bytes) -> tuple[str, tuple[str, ...]]:
    notes: list[str] = []
    if body.startswith(_BYTE_ORDER_MARK):
        body = body[len(_BYTE_ORDER_MARK) :]
        notes.append("bom")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text, note = _in_another_encoding(body)
        notes.append(note)
    if _ANY_SURROGATE_ESCAPE.search(text):
        mended = _SURROGATE_ESCAPE.sub(_without_lone_surrogate, text)
        if mended != text:
            text = mended
            notes.append("lone_surrogate")
    return text, tuple(notes)


def _in_another_encoding(body: bytes) -> tuple[str, str]:
    """The whole as GB18030, as Chinese senders have it; else with each byte that is no text escaped.

    It is decoded before it is read: a character of GB18030 may end in a byte that is a backslash. Escaped
    behind a mark, other bytes stay another name.
    """
    try:
        return body.decode("gb18030"), "gb18030"
    except UnicodeDecodeError:
        return body.decode(errors=_ESCAPED), "invalid_utf8"


def _escape(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)  # noqa: S101  # it is named for decoding alone
    # Twice a backslash, as in JSON one must be written.
    return "".join(f"{_MARK}\\\\x{byte:02x}" for byte in error.object[error.start : error.end]), error.end


codecs.register_error(_ESCAPED, _escape)


def _without_lone_surrogate(match: re.Match[str]) -> str:
    backslashes, pair, lone = match.groups()
    return (backslashes or "") + (pair or "") + (f"{_MARK}\\{lone.lower()}" if lone else "")


def _place_of(message: str) -> tuple[str, dict[str, Any]]:
    """What the reader of JSON5 means, in words and as a code with its place: its own message speaks of code
    points and its grammar."""
    for start, key in (("No JSON data", "empty"), ("Unclosed", "cut"), ("Extra data", "more")):
        if message.startswith(start):
            return GOT[key], {"got": key}
    near = _NEAR.search(message)
    if near is None:
        return "something else", {"got": "else"}
    key = _MISSING.get(message.split("'")[1] if "'" in message else "", "else_at")
    return GOT[key].format(at=near[1]), {"got": key, "at": int(near[1])}


def _only_object(value: object) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise _malformed(shown(value), in_codes(value))


def _malformed(got: str, fault: Mapping[str, Any]) -> MalformedBody:
    told = {"expected": "json_object", **fault}
    return MalformedBody(field="body", expected="a JSON object", got=got[:GOT_CHARACTERS_MAX], fault=told)
