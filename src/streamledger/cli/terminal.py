"""Text for a terminal: whatever strangers have named in it, it is shown and does nothing."""

import io
import re
import sys
from typing import Final

import click
import msgspec

SPACES: Final = "\u3000\xa0"
"""No printable characters by their category; Chinese texts are full of the first."""
_OBEYED: Final = re.compile(
    "[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
"""Controls that may stand in JSON as they are: marks of direction, invisible ones, separators of lines."""
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")


def show_what_can_be_shown() -> None:
    """A character that the locale's encoding lacks (GBK, ISO 8859) becomes a mark, instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not _is_utf8(stream.encoding):
            stream.reconfigure(errors="replace")


def _is_utf8(encoding: str | None) -> bool:
    return (encoding or "utf-8").lower().replace("-", "").startswith("utf8")


def printable(text: str, keep: str = "") -> str:
    """A stranger's text without what a terminal would obey: escapes, controls, marks that turn its direction.

    `keep` has those that are wanted all the same, such as the line break of a text of many lines.
    """
    if text.isprintable():
        return text
    keep += SPACES
    return "".join(each if each.isprintable() or each in keep else "\ufffd" for each in text)


def say(text: str, *, err: bool = False) -> None:
    """Print a text of ours, in which strangers may have named something, on the standard output or error."""
    click.echo(printable(text, keep="\n"), err=err)


def say_json(answer: object) -> None:
    """Print an answer as JSON; what a terminal would obey is an escape there, and the same to a program."""
    say_encoded(msgspec.json.encode(answer))


def say_encoded(encoded: bytes) -> None:
    """The same of JSON that is encoded already."""
    text = encoded.decode()
    if not _is_utf8(getattr(sys.stdout, "encoding", None)):
        text = _NOT_ASCII.sub(_escape, text)
    if not text.isprintable():
        text = _OBEYED.sub(_escape, text)
    click.echo(text)


def _escape(match: re.Match[str]) -> str:
    """As UTF-16 in JSON's own escapes."""
    units = match[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))
