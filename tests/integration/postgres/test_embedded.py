"""The embedded server: first and later starts, crashes, orphans, refusals, and what it promises."""

import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from streamledger.postgres import account, embedded
from streamledger.postgres.account import account_for
from streamledger.postgres.directory import SOCKET_PATH_BYTES_MAX, lock_is_held, socket_directory
from streamledger.postgres.embedded import EmbeddedServer, running_dsn, start_embedded
from streamledger.postgres.errors import (
    DataDirectoryInUse,
    DirectoryUnusable,
    EmbeddedStartFailed,
    SocketDirectoryUnsafe,
)
from streamledger.postgres.processes import processes_on
from streamledger.postgres.roles import password_file

PROGRAM = """
import sys
from pathlib import Path
from streamledger.postgres import account, embedded
account.PARENT_DEATH_SIGNAL = sys.argv[2]
server = embedded.start_embedded(Path(sys.argv[1]))
print(server.postmaster.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with one table of one row, for the tests that start it again; stopped."""
    data_dir = tmp_path_factory.mktemp("filled")
    with start_embedded(data_dir) as server, psycopg.connect(server.owner_dsn) as connection:
        connection.execute("CREATE SCHEMA filled")
        connection.execute("CREATE TABLE filled.kept AS SELECT 42 AS value")
        connection.execute("GRANT USAGE ON SCHEMA filled TO streamledger")
        connection.execute("GRANT SELECT ON filled.kept TO streamledger")
    return data_dir


@pytest.fixture
def program(filled: Path) -> Iterator[Callable[[str], tuple[subprocess.Popen[str], int]]]:
    """Runs another streamledger process on `filled`; gives it and its postmaster's id."""
    started: list[subprocess.Popen[str]] = []

    def run(parent_death_signal: str) -> tuple[subprocess.Popen[str], int]:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(filled), parent_death_signal],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        started.append(process)
        assert process.stdout is not None
        return process, int(process.stdout.readline())

    yield run
    for process in started:
        process.kill()
        process.communicate()


def value_kept(server: EmbeddedServer) -> object:
    with psycopg.connect(server.owner_dsn) as connection:
        row = connection.execute("SELECT value FROM filled.kept").fetchone()
    return row and row[0]


def setting(server: EmbeddedServer, name: str) -> str:
    with psycopg.connect(server.dsn) as connection:
        row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
    assert row is not None
    return str(row[0])


def wait_until(condition: Callable[[], bool], wait_s: float = 20) -> bool:
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return condition()


def test_the_first_start_makes_the_cluster_and_close_stops_it(tmp_path: Path) -> None:
    data_dir = tmp_path / "not" / "there"
    server = start_embedded(data_dir)
    try:
        assert setting(server, "server_version").startswith(f"{embedded.POSTGRES_MAJOR}.")
        assert setting(server, "server_encoding") == "UTF8"
        assert processes_on(data_dir / "postgres")
        # Ctrl-C at the terminal reaches the processes of its session only.
        assert os.getsid(server.postmaster.pid) != os.getsid(0)
    finally:
        server.close()
    server.close()
    assert processes_on(data_dir / "postgres") == []
    assert not lock_is_held(data_dir)


def test_a_later_start_finds_what_was_written(filled: Path) -> None:
    with start_embedded(filled) as server:
        assert value_kept(server) == 42


def test_commits_reach_the_disk_and_nothing_listens_on_tcp(filled: Path) -> None:
    with start_embedded(filled) as server:
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            assert setting(server, name) == "on"
        assert setting(server, "listen_addresses") == ""
        sockets = Path(setting(server, "unix_socket_directories").strip('"'))
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700


def test_an_edited_postgresql_conf_cannot_undo_the_promises(filled: Path) -> None:
    with (filled / "postgres" / "postgresql.conf").open("a") as file:
        file.write("fsync = off\nlisten_addresses = '*'\n")
    with start_embedded(filled) as server:
        assert setting(server, "fsync") == "on"
        assert setting(server, "listen_addresses") == ""


def test_the_start_after_a_killed_postmaster_recovers_what_was_committed(filled: Path) -> None:
    server = start_embedded(filled)
    try:
        with psycopg.connect(server.owner_dsn) as connection:
            connection.execute("CREATE TABLE filled.committed AS SELECT 7 AS value")
        os.kill(server.postmaster.pid, signal.SIGKILL)
        assert server.postmaster.exited.wait(20)
    finally:
        server.close()
    with start_embedded(filled) as again, psycopg.connect(again.owner_dsn) as connection:
        assert connection.execute("SELECT value FROM filled.committed").fetchone() == (7,)


def test_a_pid_file_that_names_some_other_live_process_does_not_hinder_the_start(filled: Path) -> None:
    server = start_embedded(filled)
    os.kill(server.postmaster.pid, signal.SIGKILL)
    server.close()
    pid_file = filled / "postgres" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    stranger = account_for(filled).uid
    sleeper = subprocess.Popen(["sleep", "60"], user=stranger if os.geteuid() == 0 else None)
    try:
        pid_file.write_text("\n".join([str(sleeper.pid), *lines[1:]]) + "\n")
        with start_embedded(filled) as again:
            assert value_kept(again) == 42
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_the_server_ends_by_itself_when_its_program_is_killed(
    filled: Path, program: Callable[[str], tuple[subprocess.Popen[str], int]]
) -> None:
    process, _ = program("INT")
    process.kill()
    assert wait_until(lambda: processes_on(filled / "postgres") == [])


def test_an_orphaned_server_is_stopped_and_another_started(
    filled: Path, program: Callable[[str], tuple[subprocess.Popen[str], int]]
) -> None:
    process, orphan = program("keep")
    process.kill()
    process.wait()
    assert orphan in processes_on(filled / "postgres")
    with start_embedded(filled) as server:
        assert server.postmaster.pid != orphan
        assert orphan not in processes_on(filled / "postgres")
        assert value_kept(server) == 42


def test_a_second_program_is_refused_by_a_sentence_that_names_the_first(
    filled: Path, program: Callable[[str], tuple[subprocess.Popen[str], int]]
) -> None:
    process, _ = program("INT")
    with pytest.raises(DataDirectoryInUse) as refused:
        start_embedded(filled)
    assert str(refused.value) == (
        f"the data directory {filled} is in use by the streamledger process {process.pid}; "
        "stop it, or name another with --data-dir"
    )


def test_a_tool_finds_the_server_of_a_running_program_and_none_afterwards(
    filled: Path, program: Callable[[str], tuple[subprocess.Popen[str], int]]
) -> None:
    assert running_dsn(filled) is None
    process, _ = program("INT")
    dsn = running_dsn(filled)
    assert dsn is not None
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT value FROM filled.kept").fetchone() == (42,)
    process.communicate(input="")
    assert running_dsn(filled) is None
    assert running_dsn(filled / "nowhere") is None


def _close_and_stay(server: EmbeddedServer, closed: Event) -> None:
    server.close()
    closed.set()
    signal.pause()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_keeps_neither_the_lock_nor_the_right_to_stop_the_server(tmp_path: Path) -> None:
    server = start_embedded(tmp_path)
    fork = multiprocessing.get_context("fork")
    closed = fork.Event()
    child = fork.Process(target=_close_and_stay, args=(server, closed))
    child.start()
    try:
        assert closed.wait(20)
        assert setting(server, "fsync") == "on"
        server.close()
        assert not lock_is_held(tmp_path)
    finally:
        child.kill()
        child.join()
        server.close()


def test_every_process_of_the_server_is_known_by_its_command_line_too(
    postgres_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Path(setting(postgres_server, "data_directory"))
    by_directory = processes_on(cluster)
    look = Path.stat

    def refused(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if path.name == "cwd":
            raise PermissionError
        return look(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", refused)
    found = processes_on(cluster)
    assert postgres_server.postmaster.pid in found
    assert len(found) > 5
    # A backend or worker may come or go between the two looks; the lasting ones are the same.
    assert len(set(by_directory) & set(found)) > 5
    assert processes_on(cluster.parent) == []


def test_a_first_start_that_was_cut_short_is_made_good(tmp_path: Path) -> None:
    unfinished = tmp_path / "postgres.new"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")
    with start_embedded(tmp_path) as server:
        assert setting(server, "fsync") == "on"
    assert not unfinished.exists()


def test_a_long_path_gets_a_private_socket_directory_elsewhere(tmp_path: Path) -> None:
    data_dir = tmp_path / ("long" * 30)
    with start_embedded(data_dir) as server:
        socket = Path(setting(server, "unix_socket_directories").strip('"'))
        assert socket.parent != data_dir
        assert len(os.fsencode(socket / ".s.PGSQL.5432")) <= SOCKET_PATH_BYTES_MAX
        assert stat.S_IMODE(socket.stat().st_mode) == 0o700
        assert running_dsn(data_dir) == server.dsn
    assert not socket.exists()


def test_a_socket_directory_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    data_dir = tmp_path / ("long" * 30)
    data_dir.mkdir()
    planted = socket_directory(data_dir, account_for(data_dir).uid)
    planted.mkdir()
    try:
        planted.chmod(0o755)
        with pytest.raises(SocketDirectoryUnsafe, match="expected mode 0700, got mode 0755"):
            start_embedded(data_dir)
        planted.rmdir()
        planted.symlink_to(tmp_path)
        with pytest.raises(SocketDirectoryUnsafe, match="expected a directory"):
            start_embedded(data_dir)
    finally:
        planted.rmdir() if not planted.is_symlink() else planted.unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops to another user")
@pytest.mark.parametrize("setpriv", ["/usr/bin/setpriv", None])
def test_root_is_told_which_directory_is_in_the_way_of_the_account(
    monkeypatch: pytest.MonkeyPatch, setpriv: str | None
) -> None:
    monkeypatch.setattr(account, "_setpriv_path", lambda: setpriv if Path(setpriv or "").exists() else None)
    with tempfile.TemporaryDirectory(prefix="streamledger-test-") as name:
        closed = Path(name) / "closed"
        closed.mkdir(mode=0o700)
        with pytest.raises(DirectoryUnusable, match=f"may not pass {closed}"):
            start_embedded(closed / "data")
        closed.chmod(0o711)
        with start_embedded(closed / "data") as server:
            assert setting(server, "fsync") == "on"
            owner = (closed / "data" / "postgres").stat().st_uid
            assert owner == Path(f"/proc/{server.postmaster.pid}").stat().st_uid != 0
        assert account_for(closed / "data").uid == owner


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives up root")
def test_roots_own_temporary_directory_is_opened_for_the_account_alone() -> None:
    with tempfile.TemporaryDirectory(prefix="streamledger-test-") as name:
        for _ in range(2):  # and is open to it when it starts again
            with start_embedded(Path(name) / "data") as server:
                account = Path(f"/proc/{server.postmaster.pid}").stat().st_uid

        def passes(uid: int) -> bool:
            look = ["/usr/bin/test", "-e", f"{name}/data"]
            return subprocess.run(look, user=uid, group=uid, extra_groups=[], check=False).returncode == 0

        assert Path(name).stat().st_mode & 0o007 == 0
        assert passes(account)
        assert not passes(12345)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root opens its directory to another account")
def test_a_directory_that_holds_what_is_not_ours_keeps_its_mode() -> None:
    with tempfile.TemporaryDirectory(prefix="streamledger-test-") as name:
        Path(name).chmod(0o711)
        shared, private, fresh = Path(name) / "shared", Path(name) / "private", Path(name) / "fresh"
        for directory, mode in ((shared, 0o755), (private, 0o700), (fresh, 0o700)):
            directory.mkdir(mode=mode)
        for directory in (shared, private):
            (directory / "of-somebody-else").touch()
        for _ in range(2):
            start_embedded(shared).close()
            start_embedded(fresh).close()
        with pytest.raises(DirectoryUnusable, match=f"may not pass {private}"):
            start_embedded(private)
        modes = [stat.S_IMODE(directory.stat().st_mode) for directory in (shared, private, fresh)]
        assert modes == [0o755, 0o700, 0o711]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be misled to another's directory")
def test_root_refuses_a_directory_that_others_own_or_may_write_to(tmp_path: Path) -> None:
    theirs, open_to_all = tmp_path / "theirs", tmp_path / "open"
    for directory in (theirs, open_to_all):
        directory.mkdir()
    os.chown(theirs, 12345, 12345)
    open_to_all.chmod(0o777)
    planted = tmp_path / "planted"
    planted.write_text("as it was")
    (theirs / "streamledger.lock").symlink_to(planted)
    with pytest.raises(DirectoryUnusable, match="belongs to user 12345 and this is root"):
        start_embedded(theirs)
    assert planted.read_text() == "as it was"
    with pytest.raises(DirectoryUnusable, match="others than root may write"):
        start_embedded(open_to_all)
    with pytest.raises(DirectoryUnusable, match="belongs to user 12345"):
        running_dsn(theirs)


def test_the_servers_account_keeps_no_capability_and_finds_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMLEDGER_CALLBACK_KEYS", "main:a-callback-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    with start_embedded(tmp_path / "data") as server:
        looked_at = 0
        for pid in processes_on(tmp_path / "data" / "postgres"):
            process = Path("/proc") / str(pid)
            try:
                environment = (process / "environ").read_bytes()
                lines = (process / "status").read_text().splitlines()
            except (FileNotFoundError, ProcessLookupError):
                continue  # the autovacuum's workers come and go
            looked_at += 1
            assert b"a-callback-key" not in environment
            assert b"another-secret" not in environment
            status = dict(line.split(":\t") for line in lines)
            if os.geteuid() == 0:
                assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {
                    "0000000000000000"
                }
                assert status["NoNewPrivs"] == "1"
                assert status["Uid"].split()[0] != "0"
        assert looked_at > 3
        passwords = password_file(tmp_path / "data")
        assert stat.S_IMODE(passwords.stat().st_mode) == 0o600
        if os.geteuid() == 0:
            assert passwords.stat().st_uid == 0
            uid = (tmp_path / "data" / "postgres").stat().st_uid
            for path in (passwords, Path("/etc/shadow")):
                seen = subprocess.run(["cat", str(path)], user=uid, group=uid, extra_groups=[], check=False)
                assert seen.returncode != 0
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            for statement in (
                "COPY (SELECT 1) TO PROGRAM 'cat'",
                "SELECT pg_read_file('/etc/passwd')",
                "SELECT pg_ls_dir('/')",
                "ALTER SYSTEM SET fsync = off",
                "CREATE ROLE another SUPERUSER",
                "SET ROLE postgres",
                "SET ROLE streamledger_owner",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement.encode())


def test_there_is_no_way_in_without_the_passwords_and_none_for_a_superuser(tmp_path: Path) -> None:
    with start_embedded(tmp_path / "data") as server:
        for user in ("streamledger", "streamledger_owner", "postgres"):
            facts = conninfo_to_dict(server.dsn) | {"user": user, "passfile": "/dev/null"}
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(make_conninfo("", **facts))


def test_lost_passwords_are_made_anew_by_whoever_owns_the_files(tmp_path: Path) -> None:
    start_embedded(tmp_path / "data").close()
    password_file(tmp_path / "data").unlink()
    with start_embedded(tmp_path / "data") as server:
        assert setting(server, "fsync") == "on"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can restore files as root")
def test_a_cluster_that_root_restored_is_given_back_to_the_account(tmp_path: Path) -> None:
    start_embedded(tmp_path).close()
    for path in [tmp_path / "postgres", *(tmp_path / "postgres").rglob("*")]:
        os.lchown(path, 0, 0)
    with start_embedded(tmp_path) as server:
        assert setting(server, "fsync") == "on"


def test_a_cluster_of_another_major_version_is_refused(tmp_path: Path) -> None:
    cluster = tmp_path / "postgres"
    cluster.mkdir()
    (cluster / "PG_VERSION").write_text("16\n")
    if os.geteuid() == 0:
        owner = account_for(tmp_path)
        os.chown(cluster, owner.uid, owner.gid)
    with pytest.raises(DirectoryUnusable, match="expected a PostgreSQL 18 cluster in it, got 16"):
        start_embedded(tmp_path)
    assert not lock_is_held(tmp_path)


def test_a_server_that_ends_at_once_says_why_and_frees_the_lock(filled: Path) -> None:
    with (filled / "postgres" / "postgresql.conf").open("a") as file:
        file.write("max_connections = many\n")
    try:
        with pytest.raises(EmbeddedStartFailed, match="configuration file") as failed:
            start_embedded(filled)
        assert str(failed.value.facts["log"]) == str(filled / "postgres.log")
        assert not lock_is_held(filled)
    finally:
        with (filled / "postgres" / "postgresql.conf").open("a") as file:
            file.write("max_connections = 60\n")
        start_embedded(filled).close()


def test_a_long_log_is_begun_anew_at_the_start(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "LOG_BYTES_MAX", 100_000)
    (filled / "postgres.log").write_bytes(b"x" * 100_001)
    start_embedded(filled).close()
    assert 0 < (filled / "postgres.log").stat().st_size < 100_000
