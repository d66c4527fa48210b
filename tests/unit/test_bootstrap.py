"""From settings to keys, tokens and the refusal of unsafe combinations."""

from pathlib import Path

import pytest

from streamledger import bootstrap
from streamledger.domain.errors import SettingInvalid, UnsafeCombination
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
    bootstrap.refuse_unsafe(Settings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_listening_to_others_needs_keys(host: str) -> None:
    keys, tokens = Secret("main:key"), Secret("shop:read:token")
    with pytest.raises(UnsafeCombination, match="CALLBACK_KEYS"):
        bootstrap.refuse_unsafe(Settings(host=host))
    # Tokens may be in the store: what is asked for there is in tests/integration/intake/test_access.py.
    bootstrap.refuse_unsafe(Settings(host=host, callback_keys=keys))
    bootstrap.refuse_unsafe(Settings(host=host, callback_keys_file=Path("keys.toml")))
    bootstrap.refuse_unsafe(Settings(host=host, callback_keys=keys, api_tokens=tokens))
    bootstrap.refuse_unsafe(Settings(host=host, insecure=True))
