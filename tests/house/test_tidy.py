"""The source is tidy, and each check of tidiness is shown able to fail."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.house.rooms import ROOT, SOURCE
from tests.house.tidy import (
    banned_words,
    class_names,
    comments,
    docstring_faults,
    length_fault,
    put_off,
    unreasoned_exceptions,
)

LONGER_FOR_NOW: dict[str, int] = {}
"""The ratchet: files of src that may be longer than the rest, and how long. Entries only shrink."""

PYTHON = sorted(SOURCE.rglob("*.py"))
OURS = PYTHON + [path for top in ("tests", "benchmarks") for path in sorted((ROOT / top).rglob("*.py"))]
NOT_PYTHON = [
    path for end in ("sql", "html", "css", "js", "toml") for path in sorted(SOURCE.rglob(f"*.{end}"))
]


def faults(paths: list[Path], check: Callable[[str], list[str]]) -> dict[str, list[str]]:
    """The faults of each file that has any."""
    found = {str(path.relative_to(ROOT)): check(path.read_text(encoding="utf-8")) for path in paths}
    return {path: some for path, some in found.items() if some}


def test_there_is_source_to_check() -> None:
    assert SOURCE / "version.py" in PYTHON


def test_no_file_of_the_source_is_too_long() -> None:
    found = {}
    for path in PYTHON:
        name = str(path.relative_to(ROOT))
        lines = len(path.read_text(encoding="utf-8").splitlines())
        found[name] = length_fault(
            lines, **({"allowed": LONGER_FOR_NOW[name]} if name in LONGER_FOR_NOW else {})
        )
    assert {name: some for name, some in found.items() if some} == {}


def test_a_file_that_is_too_long_is_seen() -> None:
    assert length_fault(400) == []
    assert length_fault(401)
    assert length_fault(450, allowed=460) == []
    assert length_fault(461, allowed=460)


def test_every_module_says_what_lives_in_it() -> None:
    assert faults(PYTHON, docstring_faults) == {}


def test_a_module_that_does_not_say_what_lives_in_it_is_seen() -> None:
    assert docstring_faults("") == []
    assert docstring_faults('"""The fold of a session."""\n') == []
    assert docstring_faults("x = 1\n")
    assert docstring_faults('"""session stuff"""\n')


def test_no_file_and_no_class_has_a_name_that_says_nothing() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in PYTHON
        for name in [path.stem, path.parent.name, *class_names(path.read_text(encoding="utf-8"))]
        if banned_words(name)
    }
    assert found == set()


@pytest.mark.parametrize(
    "name",
    [
        "SessionManager",
        "http_helpers",
        "utils",
        "BaseStore",
        "SessionData",
        "HTTPInfo",
        "event_handler",
        "DirectoryData",
        "data",
    ],
)
def test_a_name_that_says_nothing_is_seen(name: str) -> None:
    assert banned_words(name)


@pytest.mark.parametrize(
    "name", ["DatabaseUrl", "DataDirectoryLock", "data_directory", "Utility", "Information", "session"]
)
def test_a_word_that_only_contains_a_banned_one_is_no_fault(name: str) -> None:
    assert not banned_words(name)


def test_nothing_is_put_off() -> None:
    def in_comments(source: str) -> list[str]:
        return [fault for _, comment in comments(source) for fault in put_off(comment)]

    assert faults(PYTHON + NOT_PYTHON, put_off) == {}
    assert faults(OURS, in_comments) == {}


def test_work_that_is_put_off_is_seen() -> None:
    assert put_off("x = 1\n# TODO: the other half\n") == ["line 2: TODO"]
    assert put_off("todos = load()\n") == []


def test_every_exception_from_a_check_gives_its_rule_and_its_reason() -> None:
    assert faults(OURS, unreasoned_exceptions) == {}


@pytest.mark.parametrize(
    "line",
    [
        "x = 1  # noqa",
        "x = 1  # noqa: S608",
        "x = 1  # noqa: S608, S603",
        "x = 1  # noqa the library asks for it",
        "x = 1  # type: ignore",
        "x = 1  # type: ignore[arg-type]",
        "x = 1  # type: ignore[arg-type]  # !!",
        "x = 1  # pragma: no cover",
    ],
)
def test_an_exception_without_rule_or_reason_is_seen(line: str) -> None:
    assert unreasoned_exceptions(line + "\n")


@pytest.mark.parametrize(
    "line",
    [
        "x = 1  # noqa: S608  # the schema's name is checked by settings",
        "x = 1  # noqa: S608, S603 the schema's name is checked by settings",
        "x = 1  # type: ignore[arg-type]  # the library's stub is older than its code",
        "x = '# noqa'",
        "x = 1  # an ordinary comment",
    ],
)
def test_an_exception_with_its_reason_is_no_fault(line: str) -> None:
    assert unreasoned_exceptions(line + "\n") == []
