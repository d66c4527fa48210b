"""Reading single fields leniently: types as sent differ from Tencent's tables, and that is no error."""

import re
from binascii import b2a_base64
from collections.abc import Callable
from typing import Annotated, Any, Final

from msgspec import Meta
from xxhash import xxh3_128_digest

from streamledger.domain.notification import EARLIEST_MS
from streamledger.tencent.naming import named

INT64_MAX: Final = 2**63 - 1
INT64_MIN: Final = -(2**63)
TIME_S_MAX: Final = 253_402_300_799
"""9999-12-31T23:59:59Z, the last second that RFC 3339 can name."""
TIME_MS_MAX: Final = TIME_S_MAX * 1000 + 999
TIME_S_MIN: Final = EARLIEST_MS // 1000
MILLISECONDS_FROM: Final = 10**12
"""Thirteen digits in a field of seconds are milliseconds."""
STREAM_ID_CHARACTERS_MAX: Final = 256
SEQUENCE_CHARACTERS_MAX: Final = 64
KEY_CHARACTERS_MAX: Final = 40
"""A longer identity (nearly every pic_url) is kept as its digest: keys are what most of an index is."""
INTEGER_TEXT_BITS_MAX: Final = 850
"""An integer sent for a text is at most about 256 digits; Python refuses to print beyond 4300."""

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,40}")
_DECIMAL: Final = re.compile(r"[0-9]{1,18}\.[0-9]{1,9}")
_SEQUENCE: Final = re.compile(rf"[0-9A-Za-z_-]{{1,{SEQUENCE_CHARACTERS_MAX}}}")
_CONTROL_OR_SURROGATE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


def key_of(identity: str) -> str:
    """An identity as it is kept: itself, or 26 characters in its place.

    The digest need not withstand people: who can have two contents taken for one notification can send
    them under one identity as well.
    """
    if len(identity) <= KEY_CHARACTERS_MAX:
        return identity
    return "xxh:" + b2a_base64(xxh3_128_digest(identity.encode()))[:22].decode()


def is_blank(value: object) -> bool:
    """Whether a field counts as absent: null, or text of nothing but white space."""
    return value is None or (type(value) is str and not value.strip())


def integer_of(value: object) -> int | None:
    """The integer sent as a number, an integral float or digits in text; None when it is none of these."""
    if type(value) is int:
        return value
    if type(value) is float:
        return int(value) if value.is_integer() else None
    if type(value) is str and _INTEGER.fullmatch(stripped := value.strip()):
        return int(stripped)
    return None


def text_of(value: object) -> str | None:
    """The text sent as text or as an integer; None when it is neither."""
    if type(value) is str:
        return value
    if type(value) is int and value.bit_length() <= INTEGER_TEXT_BITS_MAX:
        return str(value)
    return None


def stream_id_of(value: object) -> str | None:
    """A usable stream name without surrounding white space: 1 to 256 characters, no control character.

    Of a name that holds secrets the one that is kept (`naming.named`).
    """
    text = value if type(value) is str else text_of(value)
    if text is None:
        return None
    text = text.strip()
    if not 0 < len(text) <= STREAM_ID_CHARACTERS_MAX:
        return None
    # isprintable is the quick answer for nearly all names; it also refuses some that are fine (joined emoji).
    if not text.isprintable() and _CONTROL_OR_SURROGATE.search(text):
        return None
    return named(text)


def sequence_of(value: object) -> str | None:
    """A usable sequence as text: 1 to 64 of 0-9 A-Z a-z _ -, never from a float, whose digits are lost."""
    text = value if type(value) is str else text_of(value)
    if text is None:
        return None
    if text.isalnum() and text.isascii() and len(text) <= SEQUENCE_CHARACTERS_MAX:
        return text
    text = text.strip()
    return text if _SEQUENCE.fullmatch(text) else None


Reading = Callable[[Any], tuple[Any, bool]]
"""Reads a field's value, as sent, leniently: what it says (None: nothing), and whether it could be read."""


def integer_within(low: int, high: int) -> Reading:
    """An integer within [low, high]."""

    def read(value: object) -> tuple[int | None, bool]:
        if type(value) is int and low <= value <= high:
            return value, True
        if is_blank(value):
            return None, True
        number = integer_of(value)
        if number is not None and low <= number <= high:
            return number, True
        return None, False

    return read


_whole_seconds: Final = integer_within(TIME_S_MIN, TIME_S_MAX)


def seconds(value: object) -> tuple[float | None, bool]:
    """A time in seconds, whole but for one that was sent in milliseconds."""
    number = integer_of(value)
    if number is not None and MILLISECONDS_FROM <= number <= TIME_MS_MAX:
        return (number // 1000 if number % 1000 == 0 else number / 1000), True
    return _whole_seconds(value)


def duration(value: object) -> tuple[float | None, bool]:
    """A length in seconds, which may have a fraction."""
    if type(value) is str and _DECIMAL.fullmatch(stripped := value.strip()):
        value = float(stripped)
    if type(value) is float and 0 <= value <= TIME_S_MAX and not value.is_integer():
        return value, True
    return _whole_duration(value)


_whole_duration: Final = integer_within(0, INT64_MAX)


def text(value: object) -> tuple[str | None, bool]:
    """The text as sent, of any length; None when absent or blank.

    PostgreSQL cannot store NUL or lone surrogates: they become U+FFFD, and the field counts as unreadable.
    """
    if value is None:
        return None, True
    found = text_of(value)
    if found is None:
        return None, False
    if not found or found.isspace():
        return None, True
    if _UNSTORABLE.search(found):
        return _UNSTORABLE.sub("\ufffd", found), False
    return found, True


def name(value: object) -> tuple[str | None, bool]:
    """Like `text`, without surrounding white space: for identities and names that are compared."""
    found, is_readable = text(value)
    return None if found is None else found.strip(), is_readable


def stream_id(value: object) -> tuple[str | None, bool]:
    """The stream's name."""
    found = stream_id_of(value)
    return found, found is not None or is_blank(value)


def sequence(value: object) -> tuple[str | None, bool]:
    """The push's sequence."""
    found = sequence_of(value)
    return found, found is not None or is_blank(value)


# The types of declared fields: what strict JSON may hold there, and how any other value is read.
Seconds = Annotated[int, Meta(ge=TIME_S_MIN, le=TIME_S_MAX), seconds] | None
"""A time; the tolerant way gives one that was sent in milliseconds with a fraction."""
Millis = (
    Annotated[int, Meta(ge=TIME_S_MIN * 1000, le=TIME_MS_MAX), integer_within(TIME_S_MIN * 1000, TIME_MS_MAX)]
    | None
)
Lasting = Annotated[int, Meta(ge=0, le=INT64_MAX), duration] | None
"""A length in seconds; the tolerant way gives one that was sent so with a fraction."""
Micros = Annotated[int, Meta(ge=0, le=999_999), integer_within(0, 999_999)] | None
Count = Annotated[int, Meta(ge=0, le=INT64_MAX), integer_within(0, INT64_MAX)] | None
Number = Annotated[int, Meta(ge=INT64_MIN, le=INT64_MAX), integer_within(INT64_MIN, INT64_MAX)] | None
Digits = (
    Annotated[str, Meta(pattern=r"\A[0-9]{1,18}\Z"), integer_within(0, INT64_MAX)]
    | Annotated[int, Meta(ge=0, le=INT64_MAX)]
    | None
)
"""Sent as text, as push_duration is."""
Text = Annotated[str, text] | None
Name = Annotated[str, name] | None
StreamId = Annotated[str, Meta(min_length=1, max_length=STREAM_ID_CHARACTERS_MAX), stream_id] | None
Sequence = Annotated[str, Meta(max_length=SEQUENCE_CHARACTERS_MAX), sequence] | None
