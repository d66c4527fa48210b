"""Taking secrets out of what is shown: query parameters such as `txSecret`, wherever they hide in text.

A text is parsed once: its escapes are undone, names are looked for in what is left, and each found one
is followed by what may stand between a name and its value, and by the value. Time is linear in its length.
"""

import re
from array import array
from collections.abc import Sequence
from typing import Any, Final

import msgspec


class SecretName(msgspec.Struct, frozen=True):
    """A parameter or field whose value lets its holder do something, or stands for such a one."""

    name: str
    in_prose: bool = True
    """Whether `name: value` gives it away too. Not for plain words: a sentence may begin with them."""


SECRET_NAMES: Final = (
    SecretName("txSecret"),  # push and play URLs (267/38081: stream_param)
    SecretName("sign", in_prose=False),  # callbacks, and URLs of services that are signed likewise
    SecretName("signature", in_prose=False),  # URLs of object stores: OSS, S3 version 2, CDN
    SecretName("q-signature"),  # COS
    SecretName("x-cos-security-token"),
    SecretName("X-Amz-Signature"),  # S3 and what speaks its language
    SecretName("X-Amz-Security-Token"),
    SecretName("X-Goog-Signature"),
)

REDACTED: Final = "REDACTED"

_ESCAPE: Final = re.compile(r"%(?:25)*([0-9A-Fa-f]{2})|\\+u([0-9A-Fa-f]{4})")
# Between a name and its value: the quote that ends the name, the separator, and what begins the value.
_BETWEEN: Final = re.compile(r"""(\\*["'])?([\s+]*)([=:])[\s+]*(\\*["']|[\[{])?""")
_QUOTE: Final = re.compile(r"""(\\*)(["'])""")
_BRACKET: Final = re.compile(r"""\\*["']|[\[{\]}]""")
_BRACKETS: Final = ("[", "{")
_ESCAPED_TIMES_MAX: Final = 3
"""JSON in a query in JSON: percent signs in any number are one time, backslashes too."""


class Secrets:
    """The names that are looked for, made ready. Their case does not matter."""

    __slots__ = ("_begin", "_names", "_prose", "_shortest", "fields")

    def __init__(self, names: tuple[SecretName, ...]) -> None:
        self.fields = frozenset(each.name.casefold() for each in names)
        """Fields of an object so called are taken whole."""
        self._names = {each.name.casefold(): each.name for each in names}
        self._prose = {each.name.casefold() for each in names if each.in_prose}
        self._shortest = min((len(name) for name in self._names), default=1)
        spelt = "|".join(re.escape(name) for name in sorted(self._names, key=len, reverse=True)) or "(?!)"
        # No ASCII word goes before or on: a sentence in Chinese has no spaces between its words. A letter
        # after a backslash is no word but an escape: "\ntxSecret=".
        self._begin = re.compile(
            rf"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrtbf]))(?:{spelt})(?![A-Za-z0-9_-])", re.IGNORECASE
        )

    def may_stand_in(self, text: str) -> bool:
        """Whether a text has to be looked at piece by piece; False is certain."""
        if len(text) < self._shortest:
            return False
        return self._begin.search(_without_escapes(text)) is not None

    def out_of(self, text: str) -> str:
        """The text with the value of each name found in it redacted, and the name spelt as we do."""
        if not self.may_stand_in(text):
            return text
        plain, starts, levels = _decoded(text)
        parts: list[str] = []
        done = 0  # in the text: up to here it is written
        seen = 0  # in the plain text: up to here it is read
        while (found := self._begin.search(plain, seen)) is not None:
            seen = found.end()
            name = found[0].casefold()
            between = _BETWEEN.match(plain, seen)
            if between is None or not self._is_told(name, between, levels):
                continue
            begin = between.end() if between[4] not in _BRACKETS else between.start(4)
            end = _end_of_value(plain, levels, between)
            if end > begin or between[3] == "=":
                parts += (text[done : starts[found.start()]], self._names.get(name, found[0]))
                parts += (text[starts[found.end()] : starts[begin]], REDACTED)
                done = starts[end]
                seen = end
        return "".join((*parts, text[done:]))

    def _is_told(self, name: str, between: re.Match[str], levels: Sequence[int]) -> bool:
        if between[3] == "=" or between[1] is not None or name in self._prose:
            # A plus is a space only where what follows it is encoded, or in a form; never in prose.
            return "+" not in between[2] or levels[between.start(3)] > 0
        return False


def _character(match: re.Match[str]) -> str:
    return chr(int(match[1] or match[2], 16))


def _without_escapes(text: str) -> str:
    for _ in range(_ESCAPED_TIMES_MAX):
        if "%" not in text and "\\u" not in text:
            break
        text = _ESCAPE.sub(_character, text)
    return text


def _decoded(text: str) -> tuple[str, Sequence[int], Sequence[int]]:
    """The text without its escapes; where each character of that begins in the text, and how often each
    was percent-encoded."""
    plain = text
    starts: Sequence[int] = range(len(text) + 1)
    levels: Sequence[int] = bytes(len(text))
    for _ in range(_ESCAPED_TIMES_MAX):
        if "%" not in plain and "\\u" not in plain:
            break
        plain, starts, levels = _decoded_once(plain, starts, levels)
    return plain, starts, levels


def _decoded_once(
    text: str, starts: Sequence[int], levels: Sequence[int]
) -> tuple[str, Sequence[int], Sequence[int]]:
    pieces: list[str] = []
    starts_then, levels_then = array("L"), array("L")
    done = 0
    for match in _ESCAPE.finditer(text):
        begin, end = match.span()
        pieces += (text[done:begin], _character(match))
        starts_then.extend(starts[done : begin + 1])
        levels_then.extend(levels[done:begin])
        levels_then.append(levels[begin] + ((end - begin - 1) // 2 if match[1] else 0))
        done = end
    pieces.append(text[done:])
    starts_then.extend(starts[done:])
    levels_then.extend(levels[done:])
    return "".join(pieces), starts_then, levels_then


def _end_of_value(plain: str, levels: Sequence[int], between: re.Match[str]) -> int:
    """Where the value ends; too late rather than too early where that is in doubt."""
    begin, opening = between.end(), between[4]
    level = levels[between.start(3)]
    if opening is None:
        ends = _ends(between[1] is not None, between[3], escaped=level > 0)
        for match in ends.finditer(plain, begin):
            if levels[match.start()] <= level:
                return match.start()
        return len(plain)
    if opening in _BRACKETS:
        return _end_of_brackets(plain, begin)
    backslashes, quote = len(opening) - 1, opening[-1]
    for match in _QUOTE.finditer(plain, begin):
        # A quote within the value has more backslashes than those around it.
        if match[2] == quote and len(match[1]) <= backslashes and levels[match.start(2)] <= level:
            return match.start()
    return len(plain)


def _end_of_brackets(plain: str, begin: int) -> int:
    """Behind the bracket that closes the one before `begin`."""
    depth, quoted = 1, ""
    for match in _BRACKET.finditer(plain, begin):
        mark = match[0]
        if mark[-1] in "\"'":
            if not quoted:
                quoted = mark
            elif quoted[-1] == mark[-1] and len(mark) <= len(quoted):
                quoted = ""
        elif not quoted:
            depth += 1 if mark in _BRACKETS else -1
            if depth == 0:
                return match.end()
    return len(plain)


_RAW_ENDS: Final = r"""[&#\s"'<>]|\\+(?=["'nrtbf&])"""
_BARE: Final = re.compile(_RAW_ENDS)
_BARE_OF_PROSE: Final = re.compile(_RAW_ENDS + "|,")
_BARE_OF_FIELD: Final = re.compile(_RAW_ENDS + r"|[,}\]]")


def _ends(of_field: bool, separator: str, *, escaped: bool) -> re.Pattern[str]:
    if of_field:
        return _BARE_OF_FIELD
    return _BARE_OF_PROSE if separator == ":" and not escaped else _BARE


_secrets = Secrets(SECRET_NAMES)


def also_redact(names: frozenset[str]) -> None:
    """Redact these parameters too, in this process from now on.

    Set once at the composition root: whoever calls `redact` later cannot forget them.
    """
    global _secrets  # noqa: PLW0603  # one setting of the process, as its docstring says
    _secrets = Secrets((*SECRET_NAMES, *(SecretName(name) for name in sorted(names))))


def redact(obj: Any, secrets: Secrets | None = None) -> Any:
    """A deep copy of `obj` (builtin types) in which the values of secret parameters read REDACTED.

    By default these are SECRET_NAMES and those given to `also_redact`.

    Finds `name=value` in any text, whatever the case of the name, quoted or not, percent-encoded at any
    level, and inside JSON in a string as often as that was done; and fields called so at any depth.
    Idempotent. Where the end of a secret is in doubt, it takes too much rather than too little.
    """
    return _copied(obj, secrets or _secrets)


def _copied(value: Any, secrets: Secrets) -> Any:
    match value:
        case str():
            return secrets.out_of(value)
        case dict():
            return {
                _copied(key, secrets): REDACTED
                if item and isinstance(key, str) and key.casefold() in secrets.fields
                else _copied(item, secrets)
                for key, item in value.items()
            }
        case list() | tuple():
            return type(value)(_copied(item, secrets) for item in value)
        case _:
            return value


def may_hold_secret(encoded: str) -> bool:
    """Whether `redact` might change what is encoded in this JSON text; False is certain.

    One look at the whole text spares a walk through every value of answers that hold no secret, as most do.
    """
    return _secrets.may_stand_in(encoded)
