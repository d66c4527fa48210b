"""From settings to keys, tokens and the refusal of unsafe combinations."""

from pathlib import Path

import pytest

from streamledger import bootstrap
from streamledger.domain.errors import SettingInvalid, UnsafeCombination
from streamledger.operations import given_secrets
from streamledger.settings import Secret, Settings
from streamledger.web.auth import find_token


def test_keys_have_names_of_their_own_or_numbers() -> None:
    keys = bootstrap.callback_keys(Secret("main:abc, def"))
    assert [key.name for key in keys] == ["main", "key2"]


def test_two_keys_of_one_name_are_refused_without_showing_them() -> None:
    with pytest.raises(SettingInvalid) as caught:
        bootstrap.callback_keys(Secret("main:topsecret,main:other"))
    assert "topsecret" not in str(caught.value)


def test_a_token_needs_name_scope_and_text() -> None:
    tokens = bootstrap.api_tokens(Secret("shop:read:s3cret:with:colons"))
    assert (tokens[0].name, tokens[0].scope) == ("shop", "read")
    assert find_token(tokens, "Bearer s3cret:with:colons") is tokens[0]
    assert "s3cret" not in repr(tokens[0])
    for text in ("shop:write:x", ":read:x", "anonymous:read:x", "shop:read:x,shop:admin:y", "shop:read:"):
        with pytest.raises(SettingInvalid, match="name:scope:token"):
            bootstrap.api_tokens(Secret(text))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.9.1"])
def test_loopback_needs_nothing(host: str) -> None:
    given_secrets.refuse_unsafe(Settings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_listening_to_others_needs_keys(host: str) -> None:
    keys, tokens = Secret("main:key"), Secret("shop:read:" + "t" * 16)
    with pytest.raises(UnsafeCombination, match="CALLBACK_KEYS"):
        given_secrets.refuse_unsafe(Settings(host=host))
    # Tokens may be in the store: what is asked for there is in tests/integration/intake/test_access.py.
    given_secrets.refuse_unsafe(Settings(host=host, callback_keys=keys))
    given_secrets.refuse_unsafe(Settings(host=host, callback_keys_file=Path("keys.toml")))
    given_secrets.refuse_unsafe(Settings(host=host, callback_keys=keys, api_tokens=tokens))
    given_secrets.refuse_unsafe(Settings(host=host, insecure=True))


@pytest.mark.parametrize(
    "weak",
    [{"api_tokens": Secret("shop:read:fifteen-letters")}, {"callback_token": Secret("fifteen-letters")}],
)
def test_a_short_secret_is_refused_where_others_can_guess_and_said_elsewhere(
    weak: dict[str, Secret], caplog: pytest.LogCaptureFixture
) -> None:
    keys = Secret("main:" + "k" * 32)
    with pytest.raises(SettingInvalid, match="16 characters or more") as raised:
        given_secrets.refuse_unsafe(Settings(host="0.0.0.0", callback_keys=keys, **weak))
    assert "fifteen" not in str(raised.value)
    given_secrets.refuse_unsafe(Settings(callback_keys=Secret("old:short,new:" + "k" * 32), **weak))
    assert "15 characters: easily guessed" in caplog.text
    assert "the callback key old has 5 characters" in caplog.text
    assert "the callback key new" not in caplog.text
    assert "fifteen" not in caplog.text


def test_no_error_about_a_list_of_secrets_shows_a_part_of_one() -> None:
    with pytest.raises(SettingInvalid) as raised:
        bootstrap.api_tokens(Secret("shop:read:first-half,second-half"))
    assert "half" not in str(raised.value)
    with pytest.raises(SettingInvalid) as raised:
        bootstrap.callback_keys(Secret("a:secret:1,a:secret:2"))
    assert "secret" not in str(raised.value)


def test_a_required_path_token_must_be_there() -> None:
    with pytest.raises(SettingInvalid, match="CALLBACK_TOKEN_REQUIRED"):
        given_secrets.refuse_unsafe(Settings(callback_token_required=True))


def test_all_workers_have_one_cookie_key_and_it_lies_beside_the_store(tmp_path: Path) -> None:
    embedded = Settings(data_dir=tmp_path)
    key = given_secrets.with_cookie_key(embedded).cookie_key
    assert given_secrets.with_cookie_key(embedded).cookie_key == key
    assert (tmp_path / "cookie.key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "cookie.key").chmod(0o640)  # others may have read it
    assert given_secrets.with_cookie_key(embedded).cookie_key not in (key, None)
    external = Settings(database_url=Secret("postgresql://x/y"), data_dir=tmp_path)
    assert (
        given_secrets.with_cookie_key(external).cookie_key
        != given_secrets.with_cookie_key(external).cookie_key
    )
    given = Secret("0" * 32)
    assert given_secrets.with_cookie_key(Settings(cookie_key=given)).cookie_key == given
    with pytest.raises(SettingInvalid, match="COOKIE_KEY"):
        given_secrets.cookie_key(Settings(cookie_key=Secret("short")))
