"""The key ring: callback keys from settings and from a TOML file that may change without a restart.

```toml
[[keys]]
name = "main"
key = "as set in the Tencent console"
not_before = 2026-01-01T00:00:00Z   # optional, as is not_after; RFC 3339 with an offset
```
"""

import asyncio
import logging
import os
import tomllib
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from streamledger.domain.errors import SettingInvalid
from streamledger.tencent.signature import CallbackKey

logger = logging.getLogger(__name__)

LOOK_S: Final = 1.0
"""How often the key file is looked at for a change."""


class KeyRing:
    """The keys in force. `refresh` looks whether the file has changed; a broken one leaves the old ring."""

    def __init__(self, fixed: Sequence[CallbackKey], file: Path | None) -> None:
        """Raises SettingInvalid when the file cannot be read: a server must not start without its keys."""
        self._fixed = tuple(fixed)
        self._file = file
        self._seen = _signs_of_change(file)
        self.keys: Sequence[CallbackKey] = self._read()

    def renew(self, fixed: Sequence[CallbackKey], file: Path | None) -> None:
        """Go by other settings from now on. Raises SettingInvalid, and then the ring stays as it was."""
        other = KeyRing(fixed, file)
        self._fixed, self._file, self._seen, self.keys = other._fixed, file, other._seen, other.keys

    def refresh(self) -> bool:
        """Whether the ring has changed. Never raises; a fault of the file is logged once, without keys."""
        if self._file is None:
            return False
        signs = _signs_of_change(self._file)
        if signs == self._seen:
            return False
        self._seen = signs
        try:
            keys = self._read()
        except SettingInvalid as error:
            logger.error("the callback keys in force stay as they were: %s", error)
            return False
        self.keys = keys
        logger.info("callback keys in force: %s", ", ".join(key.name for key in keys))
        return True

    def named(self, name: str) -> CallbackKey | None:
        """The key of this name, whatever its window."""
        return next((key for key in self.keys if key.name == name), None)

    def _read(self) -> Sequence[CallbackKey]:
        keys = (*self._fixed, *(_keys_of(self._file) if self._file is not None else ()))
        names = [key.name for key in keys]
        if len(set(names)) != len(names):
            raise SettingInvalid(name="callback keys", expected="keys of different names", got=repr(names))
        return keys


async def follow_file(ring: KeyRing, use: Callable[[Sequence[CallbackKey]], None]) -> None:
    """Look at the file for changes, for ever."""
    while True:
        await asyncio.sleep(LOOK_S)
        if await asyncio.to_thread(ring.refresh):
            use(ring.keys)


def _signs_of_change(file: Path | None) -> tuple[int, ...] | None:
    try:
        found = None if file is None else os.stat(file)
    except OSError:
        return None
    return None if found is None else (found.st_mtime_ns, found.st_size, found.st_ino)


def _keys_of(file: Path) -> list[CallbackKey]:
    shown = f"callback_keys_file {file}"
    try:
        table = tomllib.loads(file.read_text("utf-8-sig"))
    except OSError as error:
        raise SettingInvalid(
            name=shown, expected="a readable file", got=error.strerror or "an error"
        ) from error
    except (ValueError, RecursionError):
        # Not chained and not quoted: the part that is no TOML may be a key.
        raise SettingInvalid(name=shown, expected="TOML in UTF-8", got="something else") from None
    entries = table.get("keys")
    if not isinstance(entries, list) or not entries or set(table) != {"keys"}:
        # An emptied file must not mean that everything is believed unsigned.
        raise SettingInvalid(
            name=shown, expected="one or more tables [[keys]] and nothing else", got="not so"
        )
    return [_key_of(shown, number, entry) for number, entry in enumerate(entries, 1)]


def _key_of(shown: str, number: int, entry: Any) -> CallbackKey:
    place = f"{shown}, key {number}"
    known = {"name", "key", "not_before", "not_after"}
    if not isinstance(entry, dict) or not set(entry) <= known:
        raise SettingInvalid(name=place, expected=f"only {', '.join(sorted(known))}", got="other fields too")
    name, secret = entry.get("name"), entry.get("key")
    if not isinstance(name, str) or not name or not isinstance(secret, str) or not secret:
        raise SettingInvalid(name=place, expected="name and key, both text", got="one that is not")
    if secret != secret.strip():
        # Nobody would see why nothing verifies.
        raise SettingInvalid(name=place, expected="a key without white space around it", got="one with some")
    not_before_s, not_after_s = (
        _instant_s(place, side, entry.get(side)) for side in ("not_before", "not_after")
    )
    if not_before_s is not None and not_after_s is not None and not_after_s < not_before_s:
        raise SettingInvalid(
            name=place, expected="not_before before not_after", got="a window that is never open"
        )
    return CallbackKey(name, secret, not_before_s, not_after_s)


def _instant_s(place: str, side: str, value: object) -> int | None:
    if value is None:
        return None
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise SettingInvalid(
            name=f"{place}, {side}", expected="RFC 3339 with an offset", got=repr(str(value))
        )
    return int(moment.timestamp())
