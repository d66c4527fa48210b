"""What the program writes: cells that are no formulas, files that are nobody else's."""

import os
from pathlib import Path

import pytest

from streamledger.cli.files import LineFile
from streamledger.domain.errors import SettingInvalid
from streamledger.operations.csv_cells import csv_cell
from streamledger.operations.private_files import mode_for_others, open_private
from streamledger.operations.secret_file import secret_in


@pytest.mark.parametrize(
    "begin", ["=cmd|' /C calc'!A0", "+1", "-1+1", "@SUM(1)", "\t=1", "\r=1", "  =1", "＝1"]
)
def test_a_text_that_begins_as_a_formula_is_a_text_in_a_spreadsheet(begin: str) -> None:
    assert csv_cell(begin) == "'" + begin


@pytest.mark.parametrize("text", ["", "room-1", "a=b", "'=1", "2026-01-01", "名字"])
def test_other_texts_are_left_as_they_are(text: str) -> None:
    assert csv_cell(text) == text


def test_an_export_is_for_its_user_alone_whatever_the_mask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with LineFile(tmp_path / "new.jsonl", resume=False) as file:
            file.write(b"{}\n")
        (tmp_path / "old.jsonl").write_bytes(b"{}\n")
        with LineFile(tmp_path / "old.jsonl", resume=True) as file:
            file.write(b"{}\n")
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o600, 0o600]


def test_what_is_no_file_keeps_its_mode() -> None:
    before = os.stat(os.devnull).st_mode
    open_private(Path(os.devnull), "wb").close()
    assert os.stat(os.devnull).st_mode == before


def test_a_secret_is_made_once_and_anew_when_others_could_have_read_it(tmp_path: Path) -> None:
    path = tmp_path / "cookie.key"
    secret = secret_in(path)
    assert (secret_in(path), path.stat().st_mode & 0o777) == (secret, 0o600)
    path.chmod(0o604)
    assert mode_for_others(path) == "0604"
    assert secret_in(path) != secret
    assert mode_for_others(path) is None
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SettingInvalid):
        secret_in(path)
