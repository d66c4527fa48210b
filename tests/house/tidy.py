"""What the house asks of its own text: sizes, docstrings, names, no work put off, reasons for exceptions.

Each check takes text and returns faults, so that a bad example can show that it fails.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator

LINES_MAX = 400
BANNED_WORDS = frozenset({"manager", "helper", "util", "base", "data", "info", "handler"})
TERMS = (("data", "directory"),)
"""Terms of the field that contain such a word and do say something: PostgreSQL calls its own place so."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_PUT_OFF = re.compile(r"\b(TODO|FIXME|XXX)\b")
_SILENCED = re.compile(
    r"#\s*(?P<what>noqa|type:\s*ignore|pragma:\s*no cover)"
    r"(?P<codes>:\s*[A-Z]+\d+(?:[,\s]+[A-Z]+\d+)*|\[[\w\s,-]+\])?"
    r"(?P<reason>.*)",
    re.IGNORECASE,
)
_REASON = re.compile(r"[^\W\d_]{2,}.*[^\W\d_]{2,}")
"""At least two words: a reason is more than a mark."""


def comments(source: str) -> Iterator[tuple[int, str]]:
    """Line number and text of each comment; strings that only look like one are none."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def length_fault(lines: int, *, allowed: int = LINES_MAX) -> list[str]:
    """A file that is longer than the house, or its own entry in the ratchet, allows."""
    return [f"{lines} lines, at most {allowed} are allowed"] if lines > allowed else []


def docstring_faults(source: str) -> list[str]:
    """A module that does not begin by saying what lives in it; an empty one needs not."""
    module = ast.parse(source)
    if not module.body:
        return []
    docstring = ast.get_docstring(module)
    if docstring is None:
        return ["the module has no docstring"]
    if not docstring.split("\n\n")[0].rstrip().endswith((".", ":")):
        return ["the docstring does not begin with a sentence"]
    return []


def banned_words(name: str) -> set[str]:
    """The words of a file or class name that say nothing, singular or plural."""
    words = [word.lower() for word in _WORD.findall(name)]
    for place in range(len(words) - 1):
        if tuple(words[place : place + 2]) in TERMS:
            words[place : place + 2] = ["", ""]
    return {word for word in words if word in BANNED_WORDS or word.removesuffix("s") in BANNED_WORDS}


def class_names(source: str) -> list[str]:
    """The names of all classes that a module defines."""
    return [node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)]


def put_off(text: str) -> list[str]:
    """Marks of work that was put off. It is done, or stands in the list of open questions, or is left out."""
    return [
        f"line {number}: {found[0]}"
        for number, line in enumerate(text.splitlines(), 1)
        if (found := _PUT_OFF.search(line))
    ]


def unreasoned_exceptions(source: str) -> list[str]:
    """Comments that silence a check without naming the rule, or without a reason on the same line."""
    faults = []
    for number, comment in comments(source):
        found = _SILENCED.search(comment)
        if not found:
            continue
        if not found["codes"] and not found["what"].lower().startswith("pragma"):
            faults.append(f"line {number}: {found['what']} names no rule")
        elif not _REASON.search(found["reason"]):
            faults.append(f"line {number}: {found['what']} gives no reason")
    return faults
