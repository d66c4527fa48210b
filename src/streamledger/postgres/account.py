"""Which user the embedded server runs as, and how a command is started as that user (ADR 0002)."""

import functools
import os
import pwd
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import msgspec

from streamledger.postgres.errors import DirectoryUnusable

ACCOUNT_NAMES: Final = ("postgres", "nobody")
"""Accounts to drop to, best first, when root starts a data directory that root owns."""

PARENT_DEATH_SIGNAL: Final = "INT"
"""What the kernel sends the server when the program that started it is gone: a fast, clean shutdown."""

_SETPCAP_BIT: Final = 8
"""linux/capability.h"""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """The user whose name the server runs under; `dropped` when this process is root and gives root up."""

    uid: int
    gid: int
    dropped: bool


def account_for(data_dir: Path) -> Account:
    """The account for the server on this data directory, the same at every start.

    PostgreSQL refuses to run as root. As root: the owner of an existing cluster, else the first of
    `ACCOUNT_NAMES`. Raises DirectoryUnusable where the machine has none, and for a directory that is not
    root's: whoever owns it could have put anything there.
    """
    if os.geteuid() != 0:
        return Account(uid=os.geteuid(), gid=os.getegid(), dropped=False)
    refuse_foreign(data_dir)
    cluster = data_dir / "postgres"
    if cluster.exists():
        status = cluster.stat()
        if status.st_uid != 0:
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
        "run as an unprivileged user",
    )


def refuse_foreign(data_dir: Path) -> None:
    """Raises DirectoryUnusable when root is given a directory that others own or may change."""
    if os.geteuid() != 0 or not data_dir.exists():
        return
    status = data_dir.stat()
    if status.st_uid != 0:
        raise DirectoryUnusable(
            data_dir=data_dir,
            reason=f"it belongs to user {_named(status.st_uid)} and this is root; run as that user",
        )
    if status.st_mode & 0o022:
        raise DirectoryUnusable(data_dir=data_dir, reason="others than root may write to it")


def _named(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def as_account(account: Account, command: list[str]) -> tuple[list[str], dict[str, Any]]:
    """The command line and the Popen options that run `command` under `account`.

    With setpriv (util-linux) the command also gets `PARENT_DEATH_SIGNAL`; where root is dropped it has no
    capability and can get none back.
    """
    setpriv = _setpriv_path()
    if setpriv is None:
        if account.dropped:
            return command, {"user": account.uid, "group": account.gid, "extra_groups": []}
        return command, {}
    prefix = [setpriv, "--pdeathsig", PARENT_DEATH_SIGNAL, "--no-new-privs"]
    if account.dropped:
        prefix += ["--reuid", str(account.uid), "--regid", str(account.gid), "--clear-groups"]
        prefix += ["--inh-caps", "-all", "--ambient-caps", "-all"]
        if _may_bound():
            prefix += ["--bounding-set", "-all"]
    return [*prefix, *command], {}


def refuse_unreachable(account: Account, data_dir: Path, paths: list[Path]) -> None:
    """Raises DirectoryUnusable when `account` could not reach one of `paths` after dropping root."""
    if not account.dropped:
        return
    for path in paths:
        for parent in path.parents:
            status = parent.stat()
            own = status.st_uid == account.uid and status.st_mode & 0o100
            group = status.st_gid == account.gid and status.st_mode & 0o010
            if not (own or group or status.st_mode & 0o001 or _is_let_pass(account, parent)):
                if parent.parent == Path(tempfile.gettempdir()) and _let_pass(account, parent, status):
                    continue
                raise DirectoryUnusable(
                    data_dir=data_dir,
                    reason=f"PostgreSQL runs as user {account.uid}, who may not pass {parent} to {path}; "
                    "run as an unprivileged user, or use a place that others may pass, as below /var/lib",
                )


_ACL: Final = "system.posix_acl_access"
_ACL_VERSION: Final = 2
_USER_OBJ, _USER, _GROUP_OBJ, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
_NOBODY_NAMED: Final = 0xFFFFFFFF
"""linux/posix_acl_xattr.h: version, then (tag, permissions, id) for each entry, in this order."""


def _let_pass(account: Account, directory: Path, status: os.stat_result) -> bool:
    """Let this account alone pass a directory of root's, as `mktemp -d` makes it; whether that could be done.

    Nobody else can, and the account cannot list it. What has an ACL of its own is left as it is.
    """
    if status.st_uid != 0 or not hasattr(os, "setxattr") or _ACL in os.listxattr(directory):
        return False
    mode = stat.S_IMODE(status.st_mode)
    entries = (
        (_USER_OBJ, mode >> 6 & 7, _NOBODY_NAMED),
        (_USER, 1, account.uid),
        (_GROUP_OBJ, mode >> 3 & 7, _NOBODY_NAMED),
        (_MASK, mode >> 3 & 7 | 1, _NOBODY_NAMED),
        (_OTHER, mode & 7, _NOBODY_NAMED),
    )
    packed = struct.pack("<I", _ACL_VERSION) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(directory, _ACL, packed)
    except OSError:
        return False  # a file system without ACLs
    return True


def _is_let_pass(account: Account, directory: Path) -> bool:
    """Whether the directory's ACL names this account as one who may: as an earlier start has left it."""
    try:
        packed = os.getxattr(directory, _ACL)
    except (AttributeError, OSError):  # not on Linux; no ACL, or a file system without
        return False
    entries = list(struct.iter_unpack("<HHI", packed[4:]))
    mask = next((permissions for tag, permissions, _ in entries if tag == _MASK), 7)
    return any(tag == _USER and who == account.uid and allowed & mask & 1 for tag, allowed, who in entries)


@functools.cache
def _may_bound() -> bool:
    """Whether this process may take capabilities out of what its children can ever have: CAP_SETPCAP."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return False
    effective = next((line for line in lines if line.startswith("CapEff:")), "CapEff: 0")
    return bool(int(effective.split()[1], 16) >> _SETPCAP_BIT & 1)


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
