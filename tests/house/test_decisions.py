"""Every decision has the form, is listed, and names the test that fails if it is undone."""

import pytest

from tests.house.decisions import (
    faults_of_confirmation,
    faults_of_form,
    functions_of_tests,
    section,
    unlisted,
)
from tests.house.rooms import ROOT

FOLDER = ROOT / "docs" / "adr"
DECISIONS = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")

GOOD = """# 0007 Keep the bytes

- Status: accepted
- Date: 2026-11-24

## Context

Bodies are signed as sent.

## Options

1. Keep them. 2. Serialise them anew.

## Decision

Keep them.

## Confirmation

`tests/unit/test_bytes.py`, `test_the_bytes_are_kept_as_received`.
"""


def test_there_are_decisions_to_check() -> None:
    assert DECISIONS


@pytest.mark.parametrize("name", [path.name for path in DECISIONS])
def test_every_decision_has_the_form(name: str) -> None:
    assert faults_of_form(name, (FOLDER / name).read_text()) == []


@pytest.mark.parametrize("name", [path.name for path in DECISIONS])
def test_every_decision_is_confirmed_by_a_test_that_exists(name: str) -> None:
    functions = functions_of_tests(ROOT / "tests")
    faults = faults_of_confirmation(
        (FOLDER / name).read_text(),
        path_exists=lambda path: (ROOT / path).exists(),
        function_exists=functions.__contains__,
    )
    assert faults == []


def test_every_decision_is_listed() -> None:
    assert unlisted((FOLDER / "README.md").read_text(), [path.name for path in DECISIONS]) == []


def test_a_decision_of_the_form_has_no_faults() -> None:
    assert faults_of_form("0007-keep-the-bytes.md", GOOD) == []


@pytest.mark.parametrize(
    ("file_name", "text", "fault"),
    [
        ("keep_the_bytes.md", GOOD, "file name"),
        ("0008-keep-the-bytes.md", GOOD, "title"),
        ("0007-keep-the-bytes.md", GOOD.replace("accepted", "decided"), "Status"),
        ("0007-keep-the-bytes.md", GOOD.replace("2026-11-24", "last week"), "Date"),
        ("0007-keep-the-bytes.md", GOOD.replace("Bodies are signed as sent.", ""), "Context"),
        ("0007-keep-the-bytes.md", GOOD.replace("## Options", "## Choices"), "Options"),
    ],
)
def test_a_decision_without_the_form_is_seen(file_name: str, text: str, fault: str) -> None:
    faults = faults_of_form(file_name, text)
    assert len(faults) == 1
    assert fault in faults[0]


def test_a_confirmation_that_names_no_test_or_a_missing_one_is_seen() -> None:
    def faults(text: str, *, path: bool, function: bool) -> list[str]:
        return faults_of_confirmation(text, path_exists=lambda _: path, function_exists=lambda _: function)

    assert faults(GOOD, path=True, function=True) == []
    assert faults(GOOD, path=False, function=True) == ["no such path: tests/unit/test_bytes.py"]
    assert faults(GOOD, path=True, function=False) == ["no such test: test_the_bytes_are_kept_as_received"]
    vague = GOOD.replace(section(GOOD, "Confirmation") or "", "Reviewers look at it.")
    assert faults(vague, path=True, function=True) == ["the confirmation names no test"]


def test_a_decision_that_is_not_listed_is_seen() -> None:
    index = "[0001 Rooms](0001-rooms.md)"
    assert unlisted(index, ["0001-rooms.md", "0002-embedded.md"]) == ["0002-embedded.md"]
