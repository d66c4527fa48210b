"""The form of a decision under docs/adr, and what its confirmation must name."""

import re
from collections.abc import Callable
from pathlib import Path

SECTIONS = ("Context", "Options", "Decision", "Confirmation")

FILE_NAME = re.compile(r"(?P<number>\d{4})-[a-z0-9]+(-[a-z0-9]+)*\.md")
_TITLE = re.compile(r"# (?P<number>\d{4}) \S.*")
_STATUS = re.compile(r"^- Status: (proposed|accepted|rejected|superseded by \d{4})$", re.MULTILINE)
_DATE = re.compile(r"^- Date: \d{4}-\d{2}-\d{2}$", re.MULTILINE)
_TEST_PATH = re.compile(r"\btests/[\w./-]*\w")
_TEST_FUNCTION = re.compile(r"(?<![\w/])test_\w+(?!\.py)\b")


def section(text: str, name: str) -> str | None:
    """What stands under `## name`, stripped; None when there is no such heading."""
    found = re.search(rf"^## {re.escape(name)}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found and found[1].strip()


def faults_of_form(file_name: str, text: str) -> list[str]:
    """What keeps a decision from having the form that docs/adr/README.md shows."""
    faults = []
    named = FILE_NAME.fullmatch(file_name)
    if not named:
        faults.append("file name: expected NNNN-what-it-is-about.md")
    title = _TITLE.fullmatch(text.partition("\n")[0])
    if not title or (named and title["number"] != named["number"]):
        faults.append("title: expected '# NNNN Title' with the number of the file")
    if not _STATUS.search(text):
        faults.append("no '- Status: proposed | accepted | rejected | superseded by NNNN'")
    if not _DATE.search(text):
        faults.append("no '- Date: YYYY-MM-DD'")
    faults.extend(f"'## {name}' is absent or empty" for name in SECTIONS if not section(text, name))
    return faults


def faults_of_confirmation(
    text: str, *, path_exists: Callable[[str], bool], function_exists: Callable[[str], bool]
) -> list[str]:
    """What keeps the confirmation from naming tests that exist."""
    confirmation = section(text, "Confirmation") or ""
    paths = set(_TEST_PATH.findall(confirmation))
    functions = set(_TEST_FUNCTION.findall(confirmation))
    if not paths | functions:
        return ["the confirmation names no test"]
    return [f"no such path: {path}" for path in sorted(paths) if not path_exists(path)] + [
        f"no such test: {name}" for name in sorted(functions) if not function_exists(name)
    ]


def unlisted(index: str, file_names: list[str]) -> list[str]:
    """The decisions that the index does not link to."""
    return [name for name in file_names if f"]({name})" not in index]


def functions_of_tests(tests: Path) -> set[str]:
    """The names of all test functions under a folder."""
    defined = re.compile(r"^\s*(?:async )?def (test_\w+)", re.MULTILINE)
    return {name for path in tests.rglob("test_*.py") for name in defined.findall(path.read_text())}
