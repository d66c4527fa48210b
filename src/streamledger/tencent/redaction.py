"""Taking secrets out of what is shown: query parameters such as `txSecret`, wherever they hide in text."""

import json
import re
from functools import lru_cache
from typing import Any, Final

SECRET_PARAMETERS: Final = frozenset({"txSecret"})
"""Query parameters of a push or play URL that let its holder push or play (267/38081: stream_param)."""

REDACTED: Final = "REDACTED"

_further_parameters: frozenset[str] = frozenset()


def also_redact(names: frozenset[str]) -> None:
    """Redact these parameters too, in this process from now on.

    Set once at the composition root: whoever calls `redact` later cannot forget them.
    """
    global _further_parameters  # noqa: PLW0603  # one setting of the process, as its docstring says
    _further_parameters = names


def redact(obj: Any, names: frozenset[str] | None = None) -> Any:
    """A deep copy of `obj` (builtin types) in which the parameters in `names` read REDACTED.

    By default these are SECRET_PARAMETERS and those given to `also_redact`.

    Finds `name=value` in any text, whatever the case of the name, also percent-encoded at any level and
    inside JSON in a string; fields called so; and the top-level field "sign". Idempotent. Where the end
    of a secret is in doubt, it takes too much rather than too little.
    """
    if names is None:
        names = SECRET_PARAMETERS | _further_parameters
    patterns = _patterns(names)
    if isinstance(obj, dict) and obj.get("sign"):
        obj = {**obj, "sign": REDACTED}
    return _copied(obj, patterns, frozenset(name.casefold() for name in names))


def _copied(value: Any, patterns: tuple[tuple[re.Pattern[str], str], ...], names: frozenset[str]) -> Any:
    match value:
        case str():
            if "%" not in value and "\\u" not in value and not _may_name(value.casefold(), names):
                return value  # nearly every text ends here: the patterns are slow
            for pattern, replacement in patterns:
                value = pattern.sub(replacement, value)
            return value
        case dict():
            return {
                _copied(key, patterns, names): REDACTED
                if isinstance(key, str) and key.casefold() in names and item
                else _copied(item, patterns, names)
                for key, item in value.items()
            }
        case list() | tuple():
            return type(value)(_copied(item, patterns, names) for item in value)
        case _:
            return value


def may_hold_secret(encoded: str) -> bool:
    """Whether `redact` might change what is encoded in this JSON text; False is certain.

    One look at the whole text spares a walk through every value of answers that hold no secret, as most do.
    """
    return (
        "%" in encoded
        or "\\u" in encoded
        or '"sign":' in encoded
        or _may_name(encoded.casefold(), _encoded_names(SECRET_PARAMETERS | _further_parameters))
    )


@lru_cache(maxsize=16)
def _encoded_names(names: frozenset[str]) -> frozenset[str]:
    """The names, casefolded, as they stand inside a text of JSON."""
    return frozenset(json.dumps(name.casefold(), ensure_ascii=False)[1:-1] for name in names)


def _may_name(folded: str, names: frozenset[str]) -> bool:
    """Whether one of the names stands in a casefolded text in plain letters."""
    return any(name in folded for name in names)


@lru_cache(maxsize=16)
def _patterns(names: frozenset[str]) -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple(pair for name in sorted(names) for pair in _patterns_of(name))


def _patterns_of(name: str) -> list[tuple[re.Pattern[str], str]]:
    # Any letter of the name may be percent-encoded, and the percent sign again ("%2574"); or be an escape
    # of JSON in a string, whose backslashes are bounded so that a body of nothing else takes linear time.
    letters = "".join(
        rf"(?:{re.escape(char)}|%(?:25)*{ord(char):02x}|\\{{1,16}}u{ord(char):04x})" for char in name
    )
    # A name begins after no ASCII word character (a sentence in Chinese has no spaces between words), or
    # after an escape that ends in one: %26, %2526, \u0026.
    escapes = ("%[0-9a-f]{2}", "%25[0-9a-f]{2}", "%2525[0-9a-f]{2}", r"\\u[0-9a-f]{4}")
    begin = r"(?:(?<![A-Za-z0-9_-])" + "".join(f"|(?<={escape})" for escape in escapes) + ")"
    quote, colon, space = "%(?:25)*22", "%(?:25)*3a", r"(?:%(?:25)*20|\+|[ \t])*"
    raw_end = r"""&#\s"'<>\\"""
    forms = {
        # The value of a plain parameter may hold %26, which does not end it; an encoded one ends there.
        rf"([ \t]*(?:=|\\+u003d)[ \t]*)[^{raw_end}]*": r"\g<1>",
        rf"([ \t]*:[ \t]*)[^{raw_end},]+": r"\g<1>",
        rf"(%(?:25)*3d)(?:(?!%(?:25)*(?:26|23|22|20|5c))[^{raw_end}])*": r"\g<1>",
        rf"({quote}{space}{colon}{space}(?:{quote})?)(?:(?!%(?:25)*(?:22|26|2c|7d))[^{raw_end}])+": r"\g<1>",
        r"""(\\*["']\s*:\s*\\*["'])[^"'\\]*""": r"\g<1>",
        r"""(\\*["']\s*:\s*)[\[{][^\]}]*[\]}]?""": r"\g<1>",
        r"""(\\*["']\s*:\s*)(?![\s"'\\\[{])[^"'\\,}\s]+""": r"\g<1>",
    }
    return [
        (re.compile(begin + letters + form, re.IGNORECASE), name + separator + REDACTED)
        for form, separator in forms.items()
    ]
