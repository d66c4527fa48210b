"""The README in Chinese has the commands, links and calls of the one in English, and neither grows long."""

import re

from tests.house.papers import README_LINES_MAX
from tests.house.rooms import ROOT

NAMES = ("README.md", "README.zh-CN.md")


def commands(name: str) -> list[str]:
    """The lines of the shell's blocks, without what is said about them."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)
    return [line.split("  #")[0].rstrip() for block in blocks for line in block.splitlines()]


def test_both_readmes_have_the_same_commands() -> None:
    english, chinese = map(commands, NAMES)
    assert english
    assert chinese == english


def test_both_readmes_name_the_same_calls_and_documents() -> None:
    def named(name: str) -> set[str]:
        text = (ROOT / name).read_text()
        return {*re.findall(r"\]\((docs/[^)]+)\)", text), *re.findall(r"`(/[a-z][^`]*)`", text)}

    english, chinese = map(named, NAMES)
    assert chinese == english


def test_the_chinese_readme_stays_short_too() -> None:
    assert len((ROOT / NAMES[1]).read_text().splitlines()) < README_LINES_MAX
