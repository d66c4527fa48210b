"""Whatever strangers have named, a terminal shows it and does nothing."""

import io
import json

import pytest

from streamledger.cli import options
from streamledger.cli.terminal import printable, say, say_json, show_what_can_be_shown

HOSTILE = "a\x1b[31mred\x1b]0;title\x07 \u202egpj.exe \u2066x\u2069 \x9b2J b\rc\td\u200b"
OBEYED = "\x1b\x07\u202e\u2066\u2069\x9b\r\u200b"


def test_what_a_terminal_would_obey_is_shown_as_a_mark(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"first\n{HOSTILE}")
    said = capsys.readouterr().out
    assert said.startswith("first\na\ufffd[31mred\ufffd]0;title\ufffd \ufffdgpj.exe")
    assert not set(said) & set(OBEYED)
    assert printable("名字　全角\xa0é") == "名字　全角\xa0é"


def test_json_says_it_in_its_own_escapes_and_the_same_to_a_program(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sent = {"name": HOSTILE + "名字 \U000e0041"}
    say_json(sent)
    said = capsys.readouterr().out
    assert json.loads(said) == sent
    assert "名字" in said
    assert not set(said) & set(OBEYED + "\U000e0041")


def test_what_the_encoding_of_the_locale_lacks_is_a_mark_and_in_json_an_escape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    printed = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(printed, encoding="gbk"))
    show_what_can_be_shown()
    say("直播 é \U0001f600")
    say_json({"name": "直播 é \U0001f600"})
    first, second = printed.getvalue().splitlines()
    assert first == "直播 é ?".encode("gbk")
    assert json.loads(second) == {"name": "直播 é \U0001f600"}


def test_no_table_lets_it_through(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.table import Table

    terminal = options.console()
    terminal.file = io.StringIO()
    table = Table(HOSTILE)
    table.add_row(HOSTILE)
    terminal.print(table)
    terminal.print(HOSTILE)
    assert not set(terminal.file.getvalue()) & set(OBEYED)
