"""A primary and its synchronous standby, from the embedded binaries, as two hosts of one DSN."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
from psycopg.conninfo import make_conninfo

from streamledger.postgres.account import Account, account_for, as_account
from streamledger.postgres.embedded import binaries_directory
from streamledger.postgres.postmaster import Postmaster
from streamledger.postgres.processes import processes_on

START_S_MAX: Final = 60
USER: Final = "streamledger"


class Server:
    """One PostgreSQL on TCP, by whom anybody is let in."""

    def __init__(self, root: Path, name: str, account: Account) -> None:
        self.cluster, self._log = root / name, root / f"{name}.log"
        self._root = root
        self._account = account
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.dsn = make_conninfo(host="127.0.0.1", port=self.port, user=USER, dbname="postgres")
        self._postmaster: Postmaster | None = None

    def make(self) -> None:
        self._run("initdb", "-U", USER, "-N", "-A", "trust", "-E", "UTF8", "--locale=C")

    def copy(self, primary: "Server") -> None:
        """Become what `primary` is, and follow it."""
        self._run("pg_basebackup", "-R", "-c", "fast", "-X", "stream", "-d", primary.dsn)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(binaries_directory() / program), "-D", str(self.cluster), *arguments]
        command, options = as_account(self._account, command)
        subprocess.run(command, check=True, capture_output=True, cwd="/", **options)

    def start(self) -> None:
        """Returns when it answers."""
        facts = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": self._root}
        flags = [part for name, value in facts.items() for part in ("-c", f"{name}={value}")]
        command = [str(binaries_directory() / "postgres"), "-D", str(self.cluster), *flags]
        command, options = as_account(self._account, command)
        self._postmaster = Postmaster(command, {**options, "cwd": "/"}, self._log)
        deadline = time.monotonic() + START_S_MAX
        while True:
            try:
                psycopg.connect(self.dsn).close()
                return
            except psycopg.OperationalError:
                if self._postmaster.exited.wait(0.05) or time.monotonic() > deadline:
                    raise AssertionError(self._log.read_text()) from None

    def says(self, statement: str) -> tuple[object, ...] | None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchone() if cursor.description else None

    def send(self, number: int) -> None:
        """A signal to all its processes at once."""
        for pid in processes_on(self.cluster):
            os.kill(pid, number)

    def end(self) -> None:
        if self._postmaster is not None:
            self.send(signal.SIGKILL)
            assert self._postmaster.exited.wait(20)
            self._postmaster = None


class Pair:
    """What is acknowledged is on both; each may be lost."""

    def __init__(self, root: Path, account: Account) -> None:
        self.primary, self.standby = Server(root, "one", account), Server(root, "two", account)
        ports = f"{self.primary.port},{self.standby.port}"
        self.dsn = make_conninfo(host="127.0.0.1,127.0.0.1", port=ports, user=USER, dbname="postgres")

    def start(self) -> None:
        self.primary.make()
        self.primary.start()
        self.standby.copy(self.primary)
        self.standby.start()
        # Not before the copy: a standby that has taken over waits for no other.
        self.primary.says("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.primary.says("SELECT pg_reload_conf()")
        deadline = time.monotonic() + START_S_MAX
        while self.primary.says("SELECT sync_state FROM pg_stat_replication") != ("sync",):
            assert time.monotonic() < deadline
            time.sleep(0.05)


@contextmanager
def primary_and_standby() -> Iterator[Pair]:
    root = Path(tempfile.mkdtemp(prefix="streamledger-pair-"))
    account = account_for(root)
    os.chown(root, account.uid, account.gid)
    pair = Pair(root, account)
    try:
        pair.start()
        yield pair
    finally:
        for server in (pair.primary, pair.standby):
            server.end()
        shutil.rmtree(root)
