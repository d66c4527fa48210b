"""The secrets of the settings: callback keys, tokens and the cookies' key, and whether they are strong."""

import ipaddress
import logging
import secrets
from typing import Final

import msgspec

from streamledger.domain.errors import SettingInvalid, UnsafeCombination
from streamledger.operations.private_files import mode_for_others
from streamledger.operations.secret_file import COOKIE_KEY_NAME, secret_in
from streamledger.settings import Secret, Settings
from streamledger.tencent.signature import CallbackKey

logger = logging.getLogger(__name__)

TOKEN_CHARACTERS_MIN: Final = 16
KEY_CHARACTERS_MIN: Final = 16
"""Of letters and digits: what tries a billion a second needs longer than anybody waits."""
COOKIE_KEY_CHARACTERS_MIN: Final = 32


def parts_of(secret: Secret | None) -> list[str]:
    """The parts of a list with commas, without white space around them."""
    return [part.strip() for part in secret.reveal().split(",") if part.strip()] if secret else []


def callback_keys(secret: Secret | None) -> list[CallbackKey]:
    """The keys of the setting callback_keys: comma-separated, each `name:key` or `key`."""
    keys: list[CallbackKey] = []
    for number, part in enumerate(parts_of(secret), start=1):
        name, colon, text = part.partition(":")
        if not colon:
            name, text = f"key{number}", name
        keys.append(CallbackKey(name.strip(), text.strip()))
    names = [key.name for key in keys]
    if len(set(names)) != len(names):
        raise SettingInvalid(
            name="STREAMLEDGER_CALLBACK_KEYS", expected="keys of different names", got="two of one name"
        )
    return keys


def check_strength(settings: Settings, *, exposed: bool) -> None:
    """Short secrets are said, and refused where others can try them. Raises SettingInvalid."""
    texts = {"CALLBACK_TOKEN": [settings.callback_token.reveal()] if settings.callback_token else []}
    texts["API_TOKENS"] = [part.split(":", 2)[-1] for part in parts_of(settings.api_tokens)]
    for name, secrets_of in texts.items():
        shortest = min(map(len, secrets_of), default=TOKEN_CHARACTERS_MIN)
        if shortest >= TOKEN_CHARACTERS_MIN:
            continue
        if exposed:
            raise SettingInvalid(
                name=f"STREAMLEDGER_{name}",
                expected=f"{TOKEN_CHARACTERS_MIN} characters or more where others can guess",
                got=f"{shortest}",
            )
        logger.warning("STREAMLEDGER_%s has a secret of %s characters: easily guessed", name, shortest)
    file = settings.callback_keys_file
    if file is not None and (mode := mode_for_others(file)) is not None:
        logger.warning("%s has mode %s: others may read or change the callback keys in it", file, mode)
    for key in callback_keys(settings.callback_keys):
        if key.characters < KEY_CHARACTERS_MIN:
            logger.warning(
                "the callback key %s has %s characters: one captured callback is enough to find it by trying;"
                " Tencent takes 32",
                key.name,
                key.characters,
            )


def cookie_key(settings: Settings) -> bytes:
    """What the pages' cookies are signed with. Raises SettingInvalid."""
    if settings.cookie_key is not None:
        text = settings.cookie_key.reveal()
        if len(text) < COOKIE_KEY_CHARACTERS_MIN:
            raise SettingInvalid(
                name="STREAMLEDGER_COOKIE_KEY",
                expected=f"{COOKIE_KEY_CHARACTERS_MIN} characters or more",
                got=f"{len(text)}",
            )
        return text.encode()
    if settings.database_url is None and settings.data_dir.is_dir():
        return secret_in(settings.data_dir / COOKIE_KEY_NAME).encode()
    return secrets.token_bytes(32)


def with_cookie_key(settings: Settings) -> Settings:
    """The same settings with a cookie key for all workers. Raises SettingInvalid."""
    key = cookie_key(settings)
    return msgspec.structs.replace(settings, cookie_key=settings.cookie_key or Secret(key.hex()))


def is_exposed(settings: Settings) -> bool:
    """Whether others reach the server and nothing has been said to let them."""
    return not settings.insecure and not _is_loopback(settings.host)


def refuse_unsafe(settings: Settings) -> None:
    """Raises UnsafeCombination when others could send what is not verified, and SettingInvalid."""
    exposed = is_exposed(settings)
    check_strength(settings, exposed=exposed)
    if settings.callback_token_required and settings.callback_token is None:
        raise SettingInvalid(
            name="STREAMLEDGER_CALLBACK_TOKEN_REQUIRED", expected="a callback_token to require", got="none"
        )
    if not exposed:
        return
    if not parts_of(settings.callback_keys) and settings.callback_keys_file is None:
        raise UnsafeCombination(host=settings.host, missing="STREAMLEDGER_CALLBACK_KEYS")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
