"""The installed command as a process, and a plain HTTP client for it."""

import atexit
import contextlib
import functools
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from streamledger.postgres.connection import Database
from streamledger.postgres.embedded import running_dsn, start_embedded
from streamledger.tencent.signature import signature_of
from tests.deliveries import KEY

COMMAND = (sys.executable, "-m", "streamledger.cli")
CALLBACKS = "/callbacks/tencent"


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer, read whole."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def position(self) -> int | None:
        found = self.headers.get("streamledger-position")
        return None if found is None else int(found)


class Service:
    """A running `streamledger serve` and its URL."""

    def __init__(self, process: subprocess.Popen[str], url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self.log = log
        parts = urllib.parse.urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 0
        self.last_position = 0

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._host, self._port, timeout=30)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        connection: http.client.HTTPConnection | None = None,
    ) -> Answer:
        with contextlib.ExitStack() as stack:
            if connection is None:
                connection = stack.enter_context(contextlib.closing(self.connect()))
            connection.request(method, path, body=body, headers=dict(headers or {}))
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())

    def get(self, path: str, **query: Any) -> Answer:
        return self.request("GET", path + ("?" + urllib.parse.urlencode(query) if query else ""))

    def post(self, body: bytes, path: str = CALLBACKS, headers: Mapping[str, str] | None = None) -> Answer:
        answer = self.request("POST", path, body, {"Content-Type": "application/json", **(headers or {})})
        self.last_position = max(self.last_position, answer.position or 0)
        return answer

    def deliver(self, body: Mapping[str, Any], path: str = CALLBACKS) -> Answer:
        """A delivery that is believed: signed for ten minutes from now."""
        return self.post(signed_now(body), path)

    def read(self, path: str, **query: Any) -> Any:
        """The answer to a query after everything that was sent has been taken in."""
        answer = self.get(path, **query, **({"min_position": self.last_position} if waits(path) else {}))
        assert answer.status == 200, answer
        return answer.json()

    def pages(self, path: str, **query: Any) -> list[list[Any]]:
        """Every page of a list."""
        found, cursor = [], None
        while True:
            page = self.read(path, **query, **({"cursor": cursor} if cursor else {}))
            found.append(page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                return found

    def stop(self, wait_s: float = 40) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(wait_s)


def waits(path: str) -> bool:
    """Whether the path knows min_position."""
    return (path.startswith("/v1/sessions") and path.count("/") <= 3) or path.endswith("/timeline")


def signed_now(body: Mapping[str, Any], ahead_s: int = 600, key: str = KEY, **more: Any) -> bytes:
    t = int(time.time()) + ahead_s
    return msgspec.json.encode({**body, "sign": signature_of(key, str(t)), "t": t} | more)


def settings_of(**settings: object) -> dict[str, str]:
    """The environment that sets these settings; none that the caller's shell has set remains."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STREAMLEDGER_")}
    given = {"callback_keys": f"main:{KEY}", "log_level": "warning"} | settings
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(sys.path),
        **{f"STREAMLEDGER_{name.upper()}": str(value) for name, value in given.items() if value is not None},
    }


def start(data_dir: Path, arguments: Sequence[str] = (), **settings: object) -> Service:
    """Starts `streamledger serve` on a free port, in a process group of its own; returns once it is ready."""
    log = data_dir.with_suffix(".log")
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--port", "0", "--data-dir", str(data_dir), *arguments],
            env=settings_of(**settings),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    return announced(process, log)


def announced(process: subprocess.Popen[str], log: Path) -> Service:
    """The service of this process, once that says that it is ready."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        process.communicate()
        raise AssertionError(f"serve ended with {process.returncode}: {log.read_text()}")
    said = json.loads(line)
    assert said["ready"] is True
    return Service(process, said["url"], log)


def end(service: Service) -> None:
    """Stops it however it is, and closes what the tests hold of it."""
    if service.process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            service.stop()
    if service.process.poll() is None:
        os.killpg(service.process.pid, signal.SIGKILL)
    service.process.communicate()


@contextmanager
def serving(data_dir: Path, arguments: Sequence[str] = (), **settings: object) -> Iterator[Service]:
    service = start(data_dir, arguments, **settings)
    try:
        yield service
    finally:
        end(service)


def database_of(data_dir: Path | str) -> Database:
    """The database of a server that runs its own PostgreSQL in this directory."""
    dsn = running_dsn(Path(data_dir))
    assert dsn is not None
    return Database(dsn)


@contextmanager
def data_directory(*, made: bool = False) -> Iterator[Path]:
    """A place for a data directory, with a path short enough for a socket.

    With `made` it has a cluster already, as the program makes it, in which nothing is: to make one takes
    longer than most tests of the program do.
    """
    with tempfile.TemporaryDirectory(prefix="streamledger-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o711)  # where root runs the tests, the server's account passes through
        data_dir = Path(directory) / "ledger"
        if made:
            subprocess.run(["cp", "-a", str(_made_cluster()), str(data_dir)], check=True)
        yield data_dir


@functools.cache
def _made_cluster() -> Path:
    """A data directory that was started and stopped once, in this process."""
    directory = Path(tempfile.mkdtemp(prefix="streamledger-made-"))
    directory.chmod(0o711)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    start_embedded(directory / "ledger").close()
    return directory / "ledger"


@contextmanager
def beginning(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Another command of streamledger, in a process group of its own; killed at the end, however that comes.

    What a test that fails would leave open is told by a warning in another one, when it is collected.
    """
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        env=settings_of(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def run(*arguments: str, wait_s: float = 60, **settings: object) -> subprocess.CompletedProcess[str]:
    """Runs another command of streamledger to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=settings_of(**settings),
        capture_output=True,
        text=True,
        timeout=wait_s,
        check=False,
    )
