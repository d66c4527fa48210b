"""The key ring: a file that changes without a restart, and one that is broken and changes nothing."""

import logging
import os
from pathlib import Path

import pytest

from streamledger.domain.errors import SettingInvalid
from streamledger.operations.key_ring import KeyRing
from streamledger.tencent.signature import CallbackKey, signature_of, verify

SECRET = "neverShownKey"


def write(file: Path, text: str) -> None:
    """Write the file so that its change shows, however coarse the file system's clock is."""
    before = file.stat().st_mtime_ns if file.exists() else 0
    file.write_text(text, encoding="utf-8")
    os.utime(file, ns=(before + 1_000_000_000, before + 1_000_000_000))


def key(name: str, more: str = "") -> str:
    """One entry of the file."""
    return f'[[keys]]\nname = "{name}"\nkey = "{SECRET}-{name}"\n{more}\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with one key, `old`."""
    path = tmp_path / "keys.toml"
    write(path, key("old"))
    return path


def names(ring: KeyRing) -> list[str]:
    """Of the keys in force."""
    return [each.name for each in ring.keys]


def test_keys_of_settings_and_file_are_in_force_together_and_a_change_is_taken_up(file: Path) -> None:
    ring = KeyRing([CallbackKey("fixed", "k")], file)
    assert names(ring) == ["fixed", "old"]
    assert not ring.refresh()
    write(file, key("old") + key("new"))
    assert ring.refresh()
    assert not ring.refresh()
    assert names(ring) == ["fixed", "old", "new"]
    t = "1713735678"
    assert verify(ring.keys, t, signature_of(f"{SECRET}-new", t), 0) == "new"
    assert ring.named("new") is ring.keys[2]
    assert ring.named("nobody") is None


def test_a_key_has_its_window(file: Path) -> None:
    window = 'not_before = 2024-04-21T20:00:00Z\nnot_after = "2024-04-21T21:00:00+00:00"'
    write(file, key("hour", window))
    (hour,) = KeyRing([], file).keys
    assert [hour.is_valid_at(1713729600 + second) for second in (-1, 0, 3600, 3601)] == [
        False,
        True,
        True,
        False,
    ]


def test_the_file_may_begin_with_a_byte_order_mark(file: Path) -> None:
    write(file, "\N{ZERO WIDTH NO-BREAK SPACE}" + key("marked"))
    assert names(KeyRing([], file)) == ["marked"]


BROKEN = [
    "",
    "keys = []",
    "[[keys]]\nname = ",
    '[[keys]]\nname = "a"',
    f'[[keys]]\nkey = "{SECRET}"',
    f'[[keys]]\nname = "a"\nkey = "{SECRET}"\nkind = 1',
    key("a", 'not_before = "yesterday"'),
    key("a", "not_before = 2024-04-21T20:00:00"),
    key("a", "not_before = 2024-04-21T20:00:00Z\nnot_after = 2024-04-21T19:00:00Z"),
    key("a\\u0000b"),
    key("a" * 101),
    f'[[keys]]\nname = "a"\nkey = "{SECRET} "',
    "keys = " + "[" * 5000,
    key("a") + key("a"),
    key("fixed"),
    key("a") + "\nother = 1",
    f'{SECRET}\n[[keys]\nname = "{SECRET}"',
]


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_file_leaves_the_ring_as_it_was_and_logs_one_error_without_a_key(
    file: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    ring = KeyRing([CallbackKey("fixed", "k")], file)
    write(file, text)
    assert not ring.refresh()
    assert not ring.refresh()
    assert names(ring) == ["fixed", "old"]
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert SECRET not in caplog.text
    write(file, key("mended"))
    assert ring.refresh()
    assert names(ring) == ["fixed", "mended"]


@pytest.mark.parametrize("text", BROKEN)
def test_no_server_starts_with_a_broken_file(file: Path, text: str) -> None:
    write(file, text)
    with pytest.raises(SettingInvalid) as raised:
        KeyRing([CallbackKey("fixed", "k")], file)
    assert SECRET not in str(raised.value)
    assert SECRET not in repr(raised.value.__cause__)


def test_a_file_that_goes_away_leaves_the_ring_as_it_was_until_it_is_back(file: Path) -> None:
    ring = KeyRing([], file)
    file.unlink()
    assert not ring.refresh()
    assert names(ring) == ["old"]
    write(file, key("back"))
    assert ring.refresh()
    assert names(ring) == ["back"]


def test_a_key_under_two_names_is_known_by_the_first_that_is_valid(file: Path) -> None:
    same = f'[[keys]]\nname = "{{}}"\nkey = "{SECRET}"\n{{}}\n'
    write(file, same.format("early", "not_after = 2024-04-21T20:00:00Z") + same.format("late", ""))
    keys = KeyRing([], file).keys
    sign = signature_of(SECRET, "1713729900")
    assert verify(keys, "1713729900", sign, 1713729600) == "early"
    assert verify(keys, "1713729900", sign, 1713729601) == "late"


def test_no_key_shows_in_the_ring(file: Path) -> None:
    assert SECRET not in repr(KeyRing([], file).keys)
