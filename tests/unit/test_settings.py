"""Settings: where they come from, which wins, and what is refused."""

from pathlib import Path

import pytest

from streamledger import settings
from streamledger.domain.errors import SettingInvalid
from streamledger.settings import Secret


def test_flags_win_over_the_environment_and_the_environment_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "streamledger.toml"
    file.write_text('port = 1\nhost = "192.0.2.1"\nworkers = 3\n')
    loaded = settings.load(
        {"STREAMLEDGER_PORT": "2", "STREAMLEDGER_HOST": "192.0.2.2"}, file, {"port": 3, "host": None}
    )
    assert (loaded.port, loaded.host, loaded.workers) == (3, "192.0.2.2", 3)


def test_an_unknown_name_is_an_error_wherever_it_stands(tmp_path: Path) -> None:
    with pytest.raises(SettingInvalid, match="STREAMLEDGER_PROT"):
        settings.load({"STREAMLEDGER_PROT": "1"})
    file = tmp_path / "streamledger.toml"
    file.write_text("prot = 1\n")
    with pytest.raises(SettingInvalid, match="prot in"):
        settings.load({}, file)


def test_a_value_that_does_not_fit_names_setting_expectation_and_value() -> None:
    with pytest.raises(SettingInvalid, match=r"STREAMLEDGER_PORT: expected .*65535.*, got '70000'"):
        settings.load({"STREAMLEDGER_PORT": "70000"})
    with pytest.raises(SettingInvalid, match="got 'many'"):
        settings.load({"STREAMLEDGER_WORKERS": "many"})


@pytest.mark.parametrize(("text", "expected"), [("true", True), ("1", True), ("false", False), ("0", False)])
def test_a_switch_is_read_from_the_usual_words(text: str, expected: bool) -> None:
    assert settings.load({"STREAMLEDGER_INSECURE": text}).insecure is expected


def test_a_log_level_is_one_of_four_in_any_case() -> None:
    assert settings.load({"STREAMLEDGER_LOG_LEVEL": "WARNING"}).log_level == "warning"
    with pytest.raises(SettingInvalid, match="STREAMLEDGER_LOG_LEVEL: expected one of debug, info"):
        settings.load({"STREAMLEDGER_LOG_LEVEL": "loud"})


def test_a_secret_shows_itself_to_nobody() -> None:
    loaded = settings.load({"STREAMLEDGER_CALLBACK_KEYS": "main:topsecret"})
    assert "topsecret" not in repr(loaded)
    assert "topsecret" not in str(loaded.callback_keys)
    assert loaded.callback_keys is not None
    assert loaded.callback_keys.reveal() == "main:topsecret"


def test_keys_may_be_a_list_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "streamledger.toml"
    file.write_text('callback_keys = ["old:a", "new:b"]\n')
    assert settings.load({}, file).callback_keys == Secret("old:a,new:b")


def test_a_missing_or_broken_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingInvalid, match="expected a readable file"):
        settings.load({}, tmp_path / "absent.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("port = ")
    with pytest.raises(SettingInvalid, match="expected TOML"):
        settings.load({}, broken)


def test_the_file_can_be_named_in_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "streamledger.toml"
    file.write_text("port = 4321\n")
    assert settings.load({"STREAMLEDGER_CONFIG": str(file)}).port == 4321


def test_an_empty_data_directory_is_not_the_working_directory() -> None:
    with pytest.raises(SettingInvalid, match="STREAMLEDGER_DATA_DIR: expected a path"):
        settings.load({"STREAMLEDGER_DATA_DIR": ""})
    assert settings.load({"STREAMLEDGER_CALLBACK_KEYS_FILE": ""}).callback_keys_file is None
