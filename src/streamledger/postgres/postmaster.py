"""The running server process: started apart from the terminal, watched, and stopped in order."""

import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any, Final

_STOP_STEPS: Final = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))
"""Fast shutdown with a checkpoint, immediate shutdown, kill; and the seconds each is given."""


class Postmaster:
    """One `postgres` process and the thread that waits for its end.

    That thread starts it too: the kernel's parent-death signal goes by the thread that forked, and so must
    not hang on a thread of the caller that may end earlier than the program.
    """

    def __init__(self, command: list[str], options: dict[str, Any], log: Path) -> None:
        self.exited = threading.Event()
        self._command, self._options, self._log = command, options, log
        self._process: subprocess.Popen[bytes] | None = None
        self._failure: OSError | None = None
        self._started = threading.Event()
        threading.Thread(target=self._run, name="streamledger-postgres", daemon=True).start()
        self._started.wait()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(  # noqa: S603 -- built by `embedded`
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C at the terminal must reach the program only
                    **self._options,
                )
        except OSError as error:
            self._failure = error
            self.exited.set()
            return
        finally:
            self._started.set()
        self._process.wait()
        self.exited.set()

    @property
    def pid(self) -> int:
        """Process id of the postmaster."""
        assert self._process is not None  # noqa: S101 -- the constructor raised otherwise
        return self._process.pid

    def stop(self) -> None:
        """Asks for a fast shutdown and waits for it, then insists; does nothing when it has ended."""
        for stop_signal, wait_s in _STOP_STEPS:
            if self.exited.is_set():
                return
            try:
                os.kill(self.pid, stop_signal)
            except ProcessLookupError:
                self.exited.wait(1.0)
                return
            if self.exited.wait(wait_s):
                return
