"""The data directory on disk: its lock, the places in it, and the directory of the server's socket."""

import contextlib
import fcntl
import hashlib
import os
import stat
import tempfile
import time
from pathlib import Path
from typing import Final, Self

from streamledger.postgres.account import Account
from streamledger.postgres.errors import DataDirectoryInUse, DirectoryUnusable, SocketDirectoryUnsafe

PORT: Final = 5432
"""Part of the socket's file name only: the embedded server does not listen on TCP."""
SOCKET_NAME: Final = f".s.PGSQL.{PORT}"
SOCKET_PATH_BYTES_MAX: Final = 100
"""sun_path holds 108 bytes on Linux and 104 on macOS, the final NUL included."""

_LOCK_ATTEMPTS_MAX: Final = 10
_LOCK_RETRY_S: Final = 0.02

_held: set[int] = set()


def _forget_locks_in_child() -> None:
    # A forked child shares the lock: left open, it would keep the directory locked after its parent died.
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_forget_locks_in_child)


class DirectoryLock:
    """The exclusive lock on a data directory, held until `release` or the end of this process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, data_dir: Path) -> Self:
        """Takes the lock and writes this process's id into it; raises DataDirectoryInUse."""
        path = data_dir / "streamledger.lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DirectoryUnusable(data_dir=data_dir, reason=f"{path.name}: {error.strerror}") from error
        try:
            # `lock_is_held` takes the lock shared for an instant, so one refusal is not yet an answer.
            for _ in range(_LOCK_ATTEMPTS_MAX):
                if _try_lock(descriptor, fcntl.LOCK_EX):
                    break
                time.sleep(_LOCK_RETRY_S)
            else:
                pid = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
                raise DataDirectoryInUse(data_dir=data_dir, pid=pid)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BaseException:
            os.close(descriptor)
            raise
        _held.add(descriptor)
        return cls(descriptor)

    def release(self) -> None:
        """Gives the lock up; a second call does nothing."""
        # In a forked child the descriptor is already closed, and its number may belong to another file.
        if self._descriptor is not None and self._descriptor in _held:
            _held.discard(self._descriptor)
            os.close(self._descriptor)
        self._descriptor = None


def lock_is_held(data_dir: Path) -> bool:
    """Whether a streamledger process holds this data directory right now."""
    try:
        descriptor = os.open(data_dir / "streamledger.lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise DirectoryUnusable(data_dir=data_dir, reason=error.strerror) from error
    try:
        return not _try_lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def prepare_socket_directory(data_dir: Path, account: Account) -> Path:
    """Makes the private directory of the socket: `data_dir/run`, or one under the temporary directory.

    A trusting server stands behind this directory, so it must belong to `account` and be closed to everyone
    else; raises SocketDirectoryUnsafe otherwise.
    """
    directory = socket_directory(data_dir, account.uid)
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise SocketDirectoryUnsafe(directory=directory, expected="a directory", got="something else")
    if status.st_uid not in (account.uid, os.geteuid()):
        raise SocketDirectoryUnsafe(
            directory=directory, expected=f"the owner {account.uid}", got=f"the owner {status.st_uid}"
        )
    if directory.parent != data_dir and stat.S_IMODE(status.st_mode) & 0o077:
        raise SocketDirectoryUnsafe(
            directory=directory, expected="mode 0700", got=f"mode {stat.S_IMODE(status.st_mode):04o}"
        )
    directory.chmod(0o700)
    if status.st_uid != account.uid:
        os.chown(directory, account.uid, account.gid)
    return directory


def socket_directory(data_dir: Path, uid: int) -> Path:
    """Where the socket of this data directory lies: a pure function of the path, the user and TMPDIR."""
    inside = data_dir / "run"
    if _fits(inside):
        return inside
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    name = f"streamledger-{uid}-{digest}"
    temporary = Path(tempfile.gettempdir()) / name
    return temporary if _fits(temporary) else Path("/tmp") / name  # noqa: S108 -- verified by the caller


def _fits(directory: Path) -> bool:
    return len(os.fsencode(directory / SOCKET_NAME)) <= SOCKET_PATH_BYTES_MAX
