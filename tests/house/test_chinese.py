"""The documents in Chinese: their commands stand in the English ones, their words on the pages."""

import re
import tomllib

from streamledger.settings import CONFIG_VARIABLE, FIELDS
from tests.house.rooms import ROOT

CHINESE = sorted((ROOT / "docs" / "zh").glob("*.md"))
ENGLISH = [
    ROOT / "README.md",
    *(each for each in (ROOT / "docs").rglob("*.md") if each not in CHINESE and "adr" not in each.parts),
]
WORDS = tomllib.loads((ROOT / "src/streamledger/web/words/zh.toml").read_text("utf-8"))


def commands(text: str) -> list[str]:
    """The lines of the shell's blocks, without what is said about them."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = (re.split(r"\s+# ", line)[0].rstrip() for block in blocks for line in block.splitlines())
    return [line for line in lines if line]


def test_every_command_in_chinese_stands_in_english_too() -> None:
    english = "\n".join(each.read_text("utf-8") for each in ENGLISH)
    known = {*commands(english), *re.findall(r"`([^`\n]+)`", english)}
    told = {command: page.name for page in CHINESE for command in commands(page.read_text("utf-8"))}
    assert len(told) > 20
    assert {command: page for command, page in told.items() if command not in known} == {}


def test_a_word_in_corner_brackets_is_one_of_the_pages() -> None:
    words = {word for section in WORDS.values() for word in section.values()}
    told = {
        word: page.name for page in CHINESE for word in re.findall("「([^」]+)」", page.read_text("utf-8"))
    }
    assert len(told) > 15
    assert {word: page for word, page in told.items() if word not in words} == {}


def test_every_setting_that_is_named_exists() -> None:
    known = {CONFIG_VARIABLE, *(f"STREAMLEDGER_{name.upper()}" for name in FIELDS)}
    told = {
        name for page in CHINESE for name in re.findall(r"STREAMLEDGER_[A-Z_]+\b", page.read_text("utf-8"))
    }
    assert len(told) > 25
    assert told - known == set()
