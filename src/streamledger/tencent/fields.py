"""Reading single fields leniently: types as sent differ from Tencent's tables, and that is no error."""

import re
from binascii import b2a_base64
from collections.abc import Mapping
from typing import Any, Final

from xxhash import xxh3_128_digest

INT64_MAX: Final = 2**63 - 1
INT64_MIN: Final = -(2**63)
TIME_S_MAX: Final = 253_402_300_799
"""9999-12-31T23:59:59Z, the last second that RFC 3339 can name."""
TIME_MS_MAX: Final = TIME_S_MAX * 1000 + 999
STREAM_ID_CHARACTERS_MAX: Final = 256
SEQUENCE_CHARACTERS_MAX: Final = 64
KEY_CHARACTERS_MAX: Final = 40
"""A longer identity (nearly every pic_url) is kept as its digest: keys are what most of an index is."""
INTEGER_TEXT_BITS_MAX: Final = 850
"""An integer sent for a text is at most about 256 digits; Python refuses to print beyond 4300."""

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,40}")
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
    return "xxh:" + b2a_base64(xxh3_128_digest(identity.encode()), newline=False)[:22].decode()


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
    """A usable stream name without surrounding white space: 1 to 256 characters, no control character."""
    text = value if type(value) is str else text_of(value)
    if text is None:
        return None
    text = text.strip()
    if not 0 < len(text) <= STREAM_ID_CHARACTERS_MAX:
        return None
    # isprintable is the quick answer for nearly all names; it also refuses some that are fine (joined emoji).
    if not text.isprintable() and _CONTROL_OR_SURROGATE.search(text):
        return None
    return text


def sequence_of(value: object) -> str | None:
    """A usable sequence as text: 1 to 64 of 0-9 A-Z a-z _ -, never from a float, whose digits are lost."""
    text = value if type(value) is str else text_of(value)
    if text is None:
        return None
    if text.isalnum() and text.isascii() and len(text) <= SEQUENCE_CHARACTERS_MAX:
        return text
    text = text.strip()
    return text if _SEQUENCE.fullmatch(text) else None


class Fields:
    """One JSON object, read field by field; remembers the names of those it could not read."""

    __slots__ = ("_get", "_unreadable")

    def __init__(self, obj: Mapping[str, Any]) -> None:
        self._get = obj.get
        self._unreadable: set[str] | None = None

    @property
    def unreadable(self) -> tuple[str, ...]:
        """Names of the fields that were sent, not empty, and could not be read; sorted."""
        return tuple(sorted(self._unreadable)) if self._unreadable else ()

    def mark_unreadable(self, name: str) -> None:
        """Name a field that cannot be read."""
        if self._unreadable is None:
            self._unreadable = set()
        self._unreadable.add(name)

    def raw(self, name: str) -> Any:
        """The value as sent; None when absent."""
        return self._get(name)

    def integer(self, name: str, low: int = 0, high: int = INT64_MAX) -> int | None:
        """The integer within [low, high]; None when absent or unreadable."""
        value = self._get(name)
        if type(value) is int and low <= value <= high:
            return value
        # The quick answer for push_duration, which is digits in text.
        if type(value) is str and value.isdigit() and value.isascii() and len(value) <= 18:
            number: int | None = int(value)
        elif is_blank(value):
            return None
        else:
            number = integer_of(value)
        if number is not None and low <= number <= high:
            return number
        self.mark_unreadable(name)
        return None

    def time_ms(self, name: str) -> int | None:
        """A time sent in whole seconds, as milliseconds."""
        seconds = self.integer(name, 0, TIME_S_MAX)
        return None if seconds is None else seconds * 1000

    def text(self, name: str) -> str | None:
        """The text as sent, of any length; None when absent, blank or unreadable.

        PostgreSQL cannot store NUL or lone surrogates: they become U+FFFD, and the field is named unreadable.
        """
        value = self._get(name)
        # The quick answer for nearly all texts: printable, and begun by something that is no white space.
        if type(value) is str and value >= "!" and value.isprintable():
            return value
        if type(value) is not str:
            if value is None:
                return None
            value = text_of(value)
            if value is None:
                self.mark_unreadable(name)
                return None
        if not value or value.isspace():
            return None
        if _UNSTORABLE.search(value):
            self.mark_unreadable(name)
            return _UNSTORABLE.sub("\ufffd", value)
        return value

    def name(self, name: str) -> str | None:
        """Like `text`, without surrounding white space: for identities and names that are compared."""
        value = self._get(name)
        if type(value) is str and value >= "!" and value.isprintable():
            return value.strip()
        text = self.text(name)
        return None if text is None else text.strip()

    def first_name(self, *names: str) -> str | None:
        """The first of several fields that is there."""
        for name in names:
            found = self.name(name)
            if found is not None:
                return found
        return None

    def stream_id(self) -> str | None:
        """The stream's name, from stream_id or (317) streamId."""
        name = "stream_id"
        value = self._get(name)
        if is_blank(value):
            name = "streamId"
            value = self._get(name)
        found = stream_id_of(value)
        if found is None and not is_blank(value):
            self.mark_unreadable(name)
        return found

    def sequence(self) -> str | None:
        """The push's sequence as text."""
        value = self._get("sequence")
        if value is None:
            return None
        found = sequence_of(value)
        if found is None and not is_blank(value):
            self.mark_unreadable("sequence")
        return found
