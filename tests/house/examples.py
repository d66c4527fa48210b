"""What the documents tell a reader to type or to ask for: commands, calls, parts of pages."""

import re
import shlex

FENCE = re.compile(r"^```[^\n`]*\n(?P<text>.*?)^```\s*$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_PROGRAM = re.compile(r"^(?:\$ |[A-Z_]+=\S+ |\S+ \| |docker exec NAME )*(?:\S*/)?streamledger (?P<rest>.*)$")
_ASIDE = re.compile(r"\s#\s.*$|\s{3,}\S.*$")
"""What stands beside a command: a comment, or words at some distance from it."""
_CALL = re.compile(r"\b(?P<method>GET|POST|DELETE) (?P<path>/[^\s`,;]*)")
_URL = re.compile(r"(?:http://127\.0\.0\.1:8470)(?P<path>/[^\s'\"`>]*)")
_SESSION = re.compile(r'"\$session(?P<path>[^"]*)"')


def commands(markdown: str) -> list[str]:
    """The commands of the program in blocks of code, without the program's name and what is said beside."""
    found = []
    for block in FENCE.finditer(markdown):
        for line in block["text"].replace("\\\n", " ").splitlines():
            if (told := _PROGRAM.match(line.strip())) is not None:
                found.append(_ASIDE.sub("", told["rest"]).strip())
    return found


def mentioned(markdown: str) -> list[str]:
    """The commands that a sentence names: perhaps without what they need, but with no option of another."""
    spans = _INLINE.findall(FENCE.sub("", markdown))
    return [told["rest"] for each in spans if (told := _PROGRAM.match(each)) is not None]


def words(command: str) -> list[str]:
    """A command as a shell would take it apart, up to where its output is led away."""
    parts = shlex.split(command)
    ends = [place for place, part in enumerate(parts) if part in ("|", ">", "&&", ";")]
    return parts[: ends[0]] if ends else parts


def calls(markdown: str) -> list[tuple[str, str]]:
    """Method and address of each call that is told of, with its parameters."""
    prose = FENCE.sub("", markdown)
    found = [
        (call["method"], call["path"]) for span in _INLINE.findall(prose) for call in _CALL.finditer(span)
    ]
    text = _SESSION.sub(r"http://127.0.0.1:8470/v1/sessions/1\g<path>", markdown)
    found += [("", url["path"]) for url in _URL.finditer(text)]
    return [(method, path.rstrip(".)")) for method, path in found]


def slug(heading: str) -> str:
    """The part of an address by which GitHub leads to a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def parts(markdown: str) -> set[str]:
    """The parts of a page that a link can lead to."""
    return {slug(found) for found in re.findall(r"^#+ (.*?)\s*$", FENCE.sub("", markdown), re.MULTILINE)}
