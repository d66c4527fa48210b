"""`streamledger rebuild` on a terminal: a bar for each phase, and nothing hidden behind it."""

import os
import pty
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamledger.postgres.connection import connect
from tests.acceptance.serving import COMMAND, Service, data_directory, database_of, serving, settings_of
from tests.deliveries import push_started

NOW_S = 1_713_731_478


@pytest.fixture(scope="module")
def own() -> Iterator[tuple[Service, str]]:
    with data_directory(made=True) as data_dir, serving(data_dir) as started:
        for number in range(20):
            started.deliver(push_started("on-a-terminal", str(2**60 + number), NOW_S + number))
        yield started, str(data_dir)


def take_terminal() -> None:
    """In the child: the terminal that it opens first is its session's own, so that Ctrl-C reaches it."""
    os.close(os.open(os.ttyname(2), os.O_RDWR))


class Terminal:
    """A command whose standard error is a terminal."""

    def __init__(self, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            env={**settings_of(), "TERM": "xterm", "COLUMNS": "120"},
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=take_terminal,  # noqa: PLW1509  # no thread runs yet but the reader of another terminal
        )
        os.close(theirs)
        self._seen = b""
        self._news = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                found = os.read(self._ours, 65536)
            except OSError:  # how a terminal of Linux ends
                found = b""
            with self._news:
                self._seen += found
                self._news.notify_all()
            if not found:
                return

    def wait_for(self, text: str) -> None:
        with self._news:
            came = self._news.wait_for(lambda: text in self.seen, 60)
        if not came:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise AssertionError(self.seen)

    def press(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    @property
    def seen(self) -> str:
        """What it was told, less the colours and movements."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._seen.decode(errors="replace"))

    def end(self) -> int:
        assert self.process.stdout is not None
        self.process.stdout.read()
        self.process.stdout.close()
        code = self.process.wait(60)
        os.close(self._ours)
        return code


def test_each_phase_has_its_bar(own: tuple[Service, str]) -> None:
    _, data_dir = own
    terminal = Terminal("rebuild", "--data-dir", data_dir)
    terminal.wait_for("switching")
    assert terminal.end() == 0
    for words in ("folding events", "40/40", "making indexes", "catching up"):
        assert words in terminal.seen
    assert "\x1b" not in terminal.seen


def test_ctrl_c_ends_it_and_the_sentence_stands_below_the_bar(own: tuple[Service, str]) -> None:
    _, data_dir = own
    with connect(database_of(data_dir), application_name="test") as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT FROM sessions")  # the switch waits
        terminal = Terminal("rebuild", "--data-dir", data_dir)
        terminal.wait_for("switching")
        terminal.press(b"\x03")
        terminal.wait_for("the rebuild was cancelled; the live tables are as they were")
        assert terminal.end() == 130
    last = [line for line in re.split(r"[\r\n]+", terminal.seen) if line.strip()][-1]
    assert last.startswith("streamledger: the rebuild was cancelled")


def test_an_error_stands_below_the_bar(own: tuple[Service, str]) -> None:
    _, data_dir = own
    terminal = Terminal("rebuild", "--to", "999999", "--data-dir", data_dir)
    terminal.wait_for("expected a position from 1 to 20")
    assert terminal.end() == 2


def test_ctrl_c_while_its_workers_are_still_loading_shows_no_traceback(
    own: tuple[Service, str], tmp_path: Path
) -> None:
    _, data_dir = own
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys, time\nif '--multiprocessing-fork' in sys.orig_argv:\n"
        "    os.write(1, b'loading\\n')  # whole: both workers write to one pipe\n"
        "    for _ in range(20):\n        time.sleep(0.05)\n"
    )
    settings = settings_of()
    with subprocess.Popen(
        [*COMMAND, "rebuild", "--workers", "2", "--data-dir", data_dir],
        env={**settings, "PYTHONPATH": os.pathsep.join([str(tmp_path), settings["PYTHONPATH"]])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert [process.stdout.readline() for _ in range(2)] == ["loading\n"] * 2
            os.killpg(process.pid, signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
    assert errors.splitlines()[-1].startswith("streamledger: the rebuild was cancelled")
    assert "Traceback" not in errors
    assert "KeyboardInterrupt" not in errors
