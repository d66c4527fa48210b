"""The settings in force: from defaults, a TOML file, the environment and flags, the last wins."""

import os
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from streamledger.domain.errors import SettingInvalid
from streamledger.settings.fields import FIELDS, Settings
from streamledger.settings.secret import Secret

ENVIRONMENT_PREFIX: Final = "STREAMLEDGER_"
CONFIG_VARIABLE: Final = ENVIRONMENT_PREFIX + "CONFIG"
"""Names the TOML file, and is no setting itself."""


def load(
    environment: Mapping[str, str] = os.environ,
    file: Path | None = None,
    flags: Mapping[str, object] | None = None,
) -> Settings:
    """The settings in force. Flags that are None were not given.

    Raises SettingInvalid for an unknown name or a value that does not fit.
    """
    values: dict[str, Any] = {}
    named = environment.get(CONFIG_VARIABLE) if file is None else file
    if named:
        values.update(_from_file(_path(CONFIG_VARIABLE if file is None else "--config", named)))
    for name, text in environment.items():
        if not name.startswith(ENVIRONMENT_PREFIX) or name == CONFIG_VARIABLE:
            continue
        field = name.removeprefix(ENVIRONMENT_PREFIX).lower()
        if field not in FIELDS:
            raise SettingInvalid(
                name=name, expected="a known setting (docs/settings.md)", got="an unknown name"
            )
        values[field] = _convert(field, name, text)
    for field, value in (flags or {}).items():
        if value is not None:
            values[field] = _convert(field, "--" + field.replace("_", "-"), value)
    if values.get("owner_database_url") and not values.get("database_url"):
        # It would do nothing, and the embedded store would be taken for the database that was meant.
        raise SettingInvalid(
            name=f"{ENVIRONMENT_PREFIX}OWNER_DATABASE_URL",
            expected=f"{ENVIRONMENT_PREFIX}DATABASE_URL beside it, by the role of the program",
            got="none",
        )
    return Settings(**values)


def _from_file(file: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(file.read_text("utf-8-sig"))  # editors on Windows begin it with a mark
    except OSError as error:
        raise SettingInvalid(name=f"file {file}", expected="a readable file", got=str(error)) from error
    except UnicodeDecodeError as error:
        raise SettingInvalid(
            name=f"file {file}",
            expected="TOML in UTF-8",
            got=f"byte 0x{error.object[error.start]:02x} at {error.start}, which is none",
        ) from None  # it holds the whole file, with its secrets
    except ValueError as error:
        raise SettingInvalid(name=f"file {file}", expected="TOML", got=str(error)) from error
    values = {}
    for name, value in table.items():
        if name not in FIELDS:
            raise SettingInvalid(
                name=f"{name} in {file}", expected="a known setting (docs/settings.md)", got="an unknown name"
            )
        values[name] = _convert(name, f"{name} in {file}", value)
    return values


def _convert(field: str, shown_name: str, value: object) -> object:
    annotation = FIELDS[field].type
    wanted = typing.get_args(annotation)[0]
    kinds = typing.get_args(wanted) if isinstance(wanted, types.UnionType) else (wanted,)
    if Secret in kinds:
        if isinstance(value, list):
            value = ",".join(str(each) for each in value)
        if not isinstance(value, str):
            raise SettingInvalid(name=shown_name, expected="text", got=type(value).__name__)
        return Secret(value) if value else None
    if Path in kinds:
        if value == "" and type(None) not in kinds:  # as a path it is the working directory
            raise SettingInvalid(name=shown_name, expected="a path", got="''")
        return _path(shown_name, value) if value or type(None) not in kinds else None
    if typing.get_origin(wanted) is Literal:
        chosen, choices = str(value).lower(), typing.get_args(wanted)
        if chosen not in choices:
            raise SettingInvalid(name=shown_name, expected=f"one of {', '.join(choices)}", got=repr(value))
        return chosen
    if str in kinds and isinstance(value, list):
        value = ",".join(str(each) for each in value)
    try:
        return msgspec.convert(value, annotation, strict=False)
    except msgspec.ValidationError as error:
        expected = str(error).partition(",")[0].removeprefix("Expected ").replace("`", "")
        raise SettingInvalid(name=shown_name, expected=expected, got=repr(value)) from error


def _path(shown_name: str, value: object) -> Path:
    """The path, a home directory in front written out: only a shell does that, and not everywhere."""
    text = os.path.expanduser(str(value))
    if text.startswith("~"):
        raise SettingInvalid(
            name=shown_name, expected="a path whose ~ is somebody's home directory", got=repr(text)
        )
    return Path(text)
