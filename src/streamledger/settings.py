"""All settings in one frozen struct: from defaults, a TOML file, the environment and flags, the last wins."""

import os
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from streamledger.domain.errors import SettingInvalid

ENVIRONMENT_PREFIX: Final = "STREAMLEDGER_"


class Secret:
    """A text that shows itself to nobody but the code that asks for `reveal()`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(...)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


LogLevel = Literal["debug", "info", "warning", "error"]


def _about(text: str, *, ge: int | None = None, le: int | None = None) -> msgspec.Meta:
    return msgspec.Meta(description=text, ge=ge, le=le)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting with its default; docs/settings.md lists them, and a test compares the two."""

    callback_keys: Annotated[
        Secret | None,
        _about(
            "Callback keys as set in the Tencent console, comma-separated, each `name:key` or `key`. "
            "Without any, deliveries are believed unsigned and `serve` listens on loopback only."
        ),
    ] = None
    callback_keys_file: Annotated[
        Path | None,
        _about(
            "TOML file of further callback keys, [[keys]] with name, key and optionally not_before and "
            "not_after; changes take effect within seconds, without a restart."
        ),
    ] = None
    callback_token: Annotated[
        Secret | None,
        _about(
            "Secret last part of the callback URL, /callbacks/tencent/TOKEN; lets unsigned deliveries in."
        ),
    ] = None
    callback_networks: Annotated[
        str,
        _about(
            "Networks that callbacks are taken from, comma-separated CIDRs; all others are answered with 403."
        ),
    ] = ""
    trusted_proxies: Annotated[
        str,
        _about("Networks of proxies whose X-Forwarded-For is believed, comma-separated CIDRs."),
    ] = ""
    refused_per_minute_max: Annotated[
        int,
        _about(
            "Refused deliveries of one address that are kept in a minute; beyond it the answer is 429 and "
            "they are counted only. 0 sets no limit.",
            ge=0,
        ),
    ] = 600
    expiry_grace_s: Annotated[
        int, _about("How long after `t` has passed a delivery is still believed, in seconds.", ge=0)
    ] = 0
    ahead_s_max: Annotated[
        int, _about("How far ahead of now `t` may lie, in seconds; Tencent signs for 600 s.", ge=1)
    ] = 900
    database_url: Annotated[
        Secret | None,
        _about("PostgreSQL 15 or newer, as a libpq URL. Without it an embedded PostgreSQL is used."),
    ] = None
    database_schema: Annotated[str, _about("The PostgreSQL schema that holds this ledger.")] = "streamledger"
    data_dir: Annotated[Path, _about("Directory of the embedded PostgreSQL.")] = Path("streamledger-data")
    host: Annotated[str, _about("Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, _about("Port to listen on; 0 takes a free one.", ge=0, le=65535)] = 8470
    workers: Annotated[int, _about("Web processes that share the port.", ge=1, le=64)] = 1
    api_tokens: Annotated[
        Secret | None,
        _about(
            "Bearer tokens of the query interface, comma-separated, each `name:scope:token`; read or admin."
        ),
    ] = None
    insecure: Annotated[
        bool, _about("Listen beyond loopback although no callback key or no API token is set.")
    ] = False
    body_bytes_max: Annotated[int, _about("Largest body accepted, in bytes.", ge=1024)] = 256 * 1024
    batch_size_max: Annotated[int, _about("Deliveries stored in one transaction.", ge=1, le=10000)] = 500
    queue_length_max: Annotated[
        int, _about("Deliveries waiting for the store before new ones are answered with 503.", ge=1)
    ] = 10_000
    store_wait_s_max: Annotated[
        int, _about("How long a delivery waits for a lost database before it is answered with 503.", ge=1)
    ] = 8
    quarantine_refused_rows_max: Annotated[
        int,
        _about(
            "Refused deliveries kept: forged, unsigned, malformed. Beyond it they are counted only.", ge=0
        ),
    ] = 100_000
    quarantine_refused_bytes_max: Annotated[int, _about("Bytes of refused bodies kept.", ge=0)] = (
        256 * 1024 * 1024
    )
    quarantine_signed_rows_max: Annotated[
        int, _about("Signed but expired deliveries kept. Beyond it the answer is 503.", ge=0)
    ] = 1_000_000
    quarantine_signed_bytes_max: Annotated[int, _about("Bytes of signed but expired bodies kept.", ge=0)] = (
        2 * 1024 * 1024 * 1024
    )
    quarantine_days_max: Annotated[
        int, _about("Days after which a quarantined delivery that was never released is deleted.", ge=1)
    ] = 90
    redact_parameters: Annotated[
        str,
        _about("Names of URL parameters and fields to redact besides txSecret, comma-separated."),
    ] = ""
    silence_s_max: Annotated[
        int, _about("Silence after which a session without a stop is suspect, in seconds.", ge=1)
    ] = 3600
    newer_push_s_max: Annotated[
        int,
        _about(
            "How long ago a newer push of the stream must have begun, without a sign of this one since, "
            "before a session without a stop is suspect, in seconds.",
            ge=0,
        ),
    ] = 60
    recording_ended_s_max: Annotated[
        int,
        _about(
            "How long ago its recording must have ended, without a sign since, "
            "before a session without a stop is suspect, in seconds.",
            ge=0,
        ),
    ] = 300
    rebuild_automatically: Annotated[
        bool,
        _about(
            "Rebuild the read model in the background when its rules have changed with an upgrade; without, "
            "`serve` says that a rebuild is due."
        ),
    ] = False
    readers_max: Annotated[
        int, _about("Readers of the event feed and live pages per web process; more are answered 503.", ge=1)
    ] = 2000
    log_level: Annotated[LogLevel, _about("debug, info, warning or error.")] = "info"


FIELDS: Final = {field.name: field for field in msgspec.structs.fields(Settings)}


def load(
    environment: Mapping[str, str] = os.environ,
    file: Path | None = None,
    flags: Mapping[str, object] | None = None,
) -> Settings:
    """The settings in force. Flags that are None were not given.

    Raises SettingInvalid for an unknown name or a value that does not fit.
    """
    values: dict[str, Any] = {}
    if file is None and environment.get(ENVIRONMENT_PREFIX + "CONFIG"):
        file = Path(environment[ENVIRONMENT_PREFIX + "CONFIG"])
    if file is not None:
        values.update(_from_file(file))
    for name, text in environment.items():
        if not name.startswith(ENVIRONMENT_PREFIX) or name == ENVIRONMENT_PREFIX + "CONFIG":
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
    return Settings(**values)


def _from_file(file: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise SettingInvalid(name=f"file {file}", expected="a readable file", got=str(error)) from error
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
    wanted, meta = typing.get_args(annotation)
    kinds = typing.get_args(wanted) if isinstance(wanted, types.UnionType) else (wanted,)
    if Secret in kinds:
        if isinstance(value, list):
            value = ",".join(str(each) for each in value)
        if not isinstance(value, str):
            raise SettingInvalid(name=shown_name, expected="text", got=type(value).__name__)
        return Secret(value) if value else None
    if Path in kinds:
        return Path(str(value)) if value or type(None) not in kinds else None
    if typing.get_origin(wanted) is Literal:
        chosen, choices = str(value).lower(), typing.get_args(wanted)
        if chosen not in choices:
            raise SettingInvalid(name=shown_name, expected=f"one of {', '.join(choices)}", got=repr(value))
        return chosen
    if str in kinds and isinstance(value, list):
        value = ",".join(str(each) for each in value)
    try:
        return msgspec.convert(value, Annotated[wanted, msgspec.Meta(ge=meta.ge, le=meta.le)], strict=False)
    except msgspec.ValidationError as error:
        expected = str(error).partition(",")[0].removeprefix("Expected ").replace("`", "")
        raise SettingInvalid(name=shown_name, expected=expected, got=repr(value)) from error
