"""Whether nodes of one ledger agree: who happens to receive a delivery must not decide upon it (ADR 0031)."""

import functools
import hashlib
import json
import socket
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import psycopg

from streamledger.operations.given_secrets import parts_of
from streamledger.operations.key_ring import KeyRing
from streamledger.settings import Secret, Settings
from streamledger.tencent.signature import CallbackKey
from streamledger.version import __version__

AGREED: Final = (
    # how a delivery is judged
    "callback_token_required",
    "callback_networks",
    "expiry_grace_s",
    "believe_after_absence",
    "ahead_s_max",
    "body_bytes_max",
    "tolerant_bytes_max",
    # what is kept, in tables that all share
    "quarantine_refused_rows_max",
    "quarantine_refused_bytes_max",
    "quarantine_signed_rows_max",
    "quarantine_signed_bytes_max",
    "quarantine_days_max",
    # what is answered
    "silence_s_max",
    "unheard_s_max",
    "newer_push_s_max",
    "recording_ended_s_max",
    "redact_parameters",
)
"""Settings that are the ledger's, though each node is told them; secrets and the release come beside them."""

SEEN_S_MAX: Final = 15
"""A node that was not seen for longer is not there."""
FORGOTTEN_S: Final = 60
SCRYPT: Final = {"n": 2**12, "r": 8, "p": 1, "dklen": 6}
"""A fingerprint costs who would guess the secret behind it some ten milliseconds a try."""

_SEE_SQL: Final = (
    "INSERT INTO nodes (id, name, settings, seen_at) VALUES (%s, %s, %s, now())"
    " ON CONFLICT (id) DO UPDATE SET settings = excluded.settings, seen_at = excluded.seen_at"
)
_FORGET_SQL: Final = "DELETE FROM nodes WHERE seen_at < now() - %s * interval '1 second'"
_THERE_SQL: Final = "SELECT name, settings FROM nodes WHERE seen_at > now() - %s * interval '1 second'"

_START: Final = uuid.uuid4().hex
"""Of this start of the program; forked workers share it."""


def described(settings: Settings, keys: Sequence[CallbackKey]) -> dict[str, str]:
    """What must be the same on all nodes, each as a text that may be shown."""
    tokens = [part.rpartition(":") for part in parts_of(settings.api_tokens)]
    return {name: str(getattr(settings, name)) or "empty" for name in AGREED} | {
        "release": __version__,
        "callback_keys": _listed(f"{key.name} {_of_key(key)}" for key in keys),
        "callback_token": _of_secret("callback_token", settings.callback_token),
        "cookie_key": _of_secret("cookie_key", settings.cookie_key),
        "api_tokens": _listed(f"{name} {_fingerprint(token)}" for name, _, token in tokens),
    }


def _listed(parts: Iterable[str]) -> str:
    return ", ".join(sorted(parts)) or "none"


def _of_key(key: CallbackKey) -> str:
    window = "" if key.not_before_s is key.not_after_s is None else f" {key.not_before_s}-{key.not_after_s}"
    return _fingerprint(key.signature(b"agreement").decode()) + window


def _of_secret(name: str, secret: Secret | None) -> str:
    return "none" if secret is None else _fingerprint(f"{name} {secret.reveal()}")


@functools.lru_cache(maxsize=1000)
def _fingerprint(text: str) -> str:
    return hashlib.scrypt(text.encode(), salt=b"streamledger", **SCRYPT).hex()


class Agreement:
    """This node's share: it says what it goes by, again and again."""

    def __init__(self, settings: Settings, ring: KeyRing, start: str = _START) -> None:
        self._settings = settings
        self._ring = ring
        self._start = start

    def renew(self, fresh: Settings) -> None:
        """Go by other API tokens from now on."""
        self._settings = msgspec.structs.replace(self._settings, api_tokens=fresh.api_tokens)

    def say(self, connection: psycopg.Connection[Any]) -> None:
        """Be there, on a thread; an embedded store has one node."""
        if self._settings.database_url is None:
            return
        name = f"{socket.gethostname()}:{self._settings.port}"
        told = json.dumps(described(self._settings, self._ring.keys))
        connection.execute(_FORGET_SQL, (FORGOTTEN_S,))
        connection.execute(_SEE_SQL, (self._start, name, told))


def disagreement(connection: psycopg.Connection[Any]) -> str | None:
    """In what the nodes that are there differ, by setting and node."""
    told: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, settings in sorted(connection.execute(_THERE_SQL, (SEEN_S_MAX,)).fetchall()):
        for setting, value in json.loads(settings).items():
            told[setting][value].append(name)
    found = [
        f"{setting} is " + " but ".join(f"{value} on {', '.join(on)}" for value, on in values.items())
        for setting, values in sorted(told.items())
        if len(values) > 1
    ]
    return f"nodes of this ledger differ: {'; '.join(found)}" if found else None
