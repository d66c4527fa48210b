"""Which user the embedded server runs as, and how a command is started as that user (ADR 0002)."""

import functools
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from streamledger.postgres.errors import DirectoryUnusable

ACCOUNT_NAMES: Final = ("postgres", "nobody")
"""Accounts to drop to, best first, when root starts a data directory that root owns."""

PARENT_DEATH_SIGNAL: Final = "INT"
"""What the kernel sends the server when the program that started it is gone: a fast, clean shutdown."""

_REACHING_CAPABILITIES: Final = (("dac_read_search", 2), ("dac_override", 1))
"""Capabilities (and their bits, linux/capability.h) that pass a 0700 parent. The first grants reading only
and is preferred; a default Docker container has only the second."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """The user whose name the server runs under; `dropped` when this process is root and gives root up."""

    uid: int
    gid: int
    dropped: bool


def account_for(data_dir: Path) -> Account:
    """The account for the server on this data directory, the same at every start.

    PostgreSQL refuses to run as root. As root: the owner of an existing cluster, else the owner of the data
    directory, else the first of `ACCOUNT_NAMES`. Raises DirectoryUnusable where the machine has none.
    """
    if os.geteuid() != 0:
        return Account(uid=os.geteuid(), gid=os.getegid(), dropped=False)
    cluster = data_dir / "postgres"
    for directory in (cluster, data_dir):
        if directory.exists():
            status = directory.stat()
            # initdb wants its user in the passwd file; the server does not, so an existing cluster is exempt.
            if status.st_uid != 0 and (directory == cluster or _is_named(status.st_uid)):
                return Account(uid=status.st_uid, gid=status.st_gid, dropped=True)
    for name in ACCOUNT_NAMES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(uid=entry.pw_uid, gid=entry.pw_gid, dropped=True)
    raise DirectoryUnusable(
        data_dir=data_dir,
        reason="PostgreSQL does not run as root, and there is no user postgres or nobody to run it as; "
        "give the directory to an unprivileged user",
    )


def as_account(account: Account, command: list[str]) -> tuple[list[str], dict[str, Any]]:
    """The command line and the Popen options that run `command` under `account`.

    With setpriv (util-linux) the command also gets `PARENT_DEATH_SIGNAL`, and, when root is dropped, the one
    capability that lets it pass parents such as /root without touching their permissions.
    """
    setpriv = _setpriv_path()
    if setpriv is None:
        if account.dropped:
            return command, {"user": account.uid, "group": account.gid, "extra_groups": []}
        return command, {}
    prefix = [setpriv, "--pdeathsig", PARENT_DEATH_SIGNAL]
    if account.dropped:
        prefix += ["--reuid", str(account.uid), "--regid", str(account.gid), "--clear-groups"]
        capability = reaching_capability()
        if capability is not None:
            prefix += ["--inh-caps", f"-all,+{capability}", "--ambient-caps", f"-all,+{capability}"]
    return [*prefix, *command], {}


def refuse_unreachable(account: Account, data_dir: Path, paths: list[Path]) -> None:
    """Raises DirectoryUnusable when `account` could not reach one of `paths` after dropping root."""
    if not account.dropped or (_setpriv_path() is not None and reaching_capability() is not None):
        return
    for path in paths:
        for parent in path.parents:
            status = parent.stat()
            own = status.st_uid == account.uid and status.st_mode & 0o100
            group = status.st_gid == account.gid and status.st_mode & 0o010
            if not (own or group or status.st_mode & 0o001):
                raise DirectoryUnusable(
                    data_dir=data_dir,
                    reason=f"PostgreSQL runs as user {account.uid}, who may not pass {parent} to {path}; "
                    "install setpriv (util-linux), run as an unprivileged user, or use another place",
                )


@functools.cache
def reaching_capability() -> str | None:
    """The least capability this process can hand on to pass parents it could not search, or None."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    held = {
        name: int(value, 16) for name, _, value in (line.partition(":") for line in lines if "Cap" in line)
    }
    usable = held.get("CapPrm", 0) & held.get("CapBnd", 0)
    return next((name for name, bit in _REACHING_CAPABILITIES if usable >> bit & 1), None)


@functools.cache
def _setpriv_path() -> str | None:
    path = shutil.which("setpriv") if sys.platform == "linux" else None
    if path is None:
        return None
    # BusyBox has a setpriv of its own that knows neither option.
    shown = subprocess.run(  # noqa: S603 -- fixed arguments
        [path, "--help"], capture_output=True, text=True, check=False
    )
    return path if "--reuid" in shown.stdout and "--pdeathsig" in shown.stdout else None


def _is_named(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
