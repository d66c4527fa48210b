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


@pytest.mark.parametrize("where", ["environment", "file", "flag"])
def test_a_path_may_begin_with_a_home_directory(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/of-a-user")
    file = tmp_path / "streamledger.toml"
    file.write_text('data_dir = "~/ledger"\ncallback_keys_file = "~/keys.toml"\n')
    loaded = {
        "environment": lambda: settings.load(
            {"STREAMLEDGER_DATA_DIR": "~/ledger", "STREAMLEDGER_CALLBACK_KEYS_FILE": "~/keys.toml"}
        ),
        "file": lambda: settings.load({}, file),
        # The shell leaves it as it is in --data-dir=~/ledger.
        "flag": lambda: settings.load(
            {}, flags={"data_dir": Path("~/ledger"), "callback_keys_file": "~/keys.toml"}
        ),
    }[where]()
    assert loaded.data_dir == Path("/home/of-a-user/ledger")
    assert loaded.callback_keys_file == Path("/home/of-a-user/keys.toml")


def test_the_file_that_is_named_may_lie_in_a_home_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "streamledger.toml").write_text("port = 4321\n")
    assert settings.load({"STREAMLEDGER_CONFIG": "~/streamledger.toml"}).port == 4321
    assert settings.load({}, Path("~/streamledger.toml")).port == 4321


def test_the_home_directory_of_nobody_is_no_directory_of_that_name(tmp_path: Path) -> None:
    for value in ("~no-such-user/ledger", "~no-such-user"):
        with pytest.raises(SettingInvalid, match="STREAMLEDGER_DATA_DIR: expected a path whose ~ is"):
            settings.load({"STREAMLEDGER_DATA_DIR": value})
    with pytest.raises(SettingInvalid, match="STREAMLEDGER_CONFIG: expected a path whose ~ is"):
        settings.load({"STREAMLEDGER_CONFIG": "~no-such-user/streamledger.toml"})
    assert settings.load({"STREAMLEDGER_DATA_DIR": "./~odd"}).data_dir == Path("./~odd")


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "streamledger.toml"
    file.write_text("port = 4321\n", "utf-8-sig")
    assert settings.load({}, file).port == 4321


def test_a_file_in_another_encoding_is_told_as_that(tmp_path: Path) -> None:
    file = tmp_path / "streamledger.toml"
    for encoding in ("utf-16", "gb18030"):
        file.write_text('public_url = "https://例子"\n', encoding)
        with pytest.raises(
            SettingInvalid, match=r"expected TOML in UTF-8, got byte 0x.. at \d+, which is none"
        ):
            settings.load({}, file)


def test_an_owner_without_a_database_is_refused(tmp_path: Path) -> None:
    owner = "postgresql://owner:topsecret@192.0.2.1/ledger"
    file = tmp_path / "streamledger.toml"
    file.write_text(f'owner_database_url = "{owner}"\n')
    for wrong in (
        lambda: settings.load({"STREAMLEDGER_OWNER_DATABASE_URL": owner}),
        lambda: settings.load({"STREAMLEDGER_DATABASE_URL": ""}, file),
    ):
        with pytest.raises(
            SettingInvalid, match="OWNER_DATABASE_URL: expected STREAMLEDGER_DATABASE_URL"
        ) as raised:
            wrong()
        assert "topsecret" not in str(raised.value)
    both = settings.load({}, file, {"database_url": "postgresql://program@192.0.2.1/ledger"})
    assert both.owner_database_url == Secret(owner)
