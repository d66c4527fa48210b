"""Bytes to a JSON object: strict JSON first, then what real senders get wrong (ADR 0006).

Every input up to the body limit ends in an object or in MalformedBody, in time linear in its length.
"""

import re
from typing import Any, Final

import msgspec
import pyjson5

from streamledger.domain.errors import MalformedBody
from streamledger.tencent.redaction import redact

NESTING_LEVELS_MAX: Final = 64
"""Deeper bodies are malformed, in both readers, so that no answer depends on the depth of our own stack."""

GOT_CHARACTERS_MAX: Final = 80
"""How much of an offending value an error may show."""

NOT_STRICT: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises on a body that strict JSON cannot read (ValidationError is a DecodeError)."""

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
_decode_value: Final = msgspec.json.Decoder().decode
_decode_raw_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def parse_object(body: bytes) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The whole JSON object of `body`, and what had to be mended before it could be read.

    Notes, in this order: "bom", "invalid_utf8", "lone_surrogate", then "number_out_of_range" (a field
    holding one is kept as a list of its own text, which no field reads) or "json5". Raises MalformedBody.
    """
    strict = _read_strict(body)
    if strict is not None:
        return strict
    text, notes = _mend_text(body)
    if notes:
        strict = _read_strict(text.encode())
        if strict is not None:
            return strict[0], notes + strict[1]
    try:
        value = pyjson5.decode(text, maxdepth=NESTING_LEVELS_MAX)
    except pyjson5.Json5Exception as error:
        # Only the first argument: the others hold what was read so far, secrets included.
        raise _malformed(str(error.args[0]) if error.args else "something else") from None
    except (ValueError, OverflowError, RecursionError) as error:
        raise _malformed(type(error).__name__) from None
    return _only_object(value), (*notes, "json5")


def nests_too_deep(body: bytes) -> bool:
    """Whether `body`, read as strict JSON, nests deeper than NESTING_LEVELS_MAX."""
    # Nearly all bodies are flat: one search each is several times quicker than counting.
    if ord("[") not in body and body.find(b"{", 1) < 0:
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
        text = body.decode(errors="replace")
        notes.append("invalid_utf8")
    if _ANY_SURROGATE_ESCAPE.search(text):
        mended = _SURROGATE_ESCAPE.sub(_without_lone_surrogate, text)
        if mended != text:
            text = mended
            notes.append("lone_surrogate")
    return text, tuple(notes)


def _without_lone_surrogate(match: re.Match[str]) -> str:
    backslashes, pair, lone = match.groups()
    return (backslashes or "") + (pair or "") + (r"\ufffd" if lone else "")


def _only_object(value: object) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise _malformed(shown(value))


def _malformed(got: str) -> MalformedBody:
    return MalformedBody(field="body", expected="a JSON object", got=got[:GOT_CHARACTERS_MAX])
