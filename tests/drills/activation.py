"""A service manager for tests: it holds the socket, starts `serve` on it, and hears what that says."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.acceptance.serving import COMMAND, Service, announced, settings_of

HAND_OVER: Final = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.set_inheritable(3, True)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""
"""As systemd does between fork and exec: the variable names the very process."""


class Unit:
    """A socket unit and its service."""

    def __init__(self, data_dir: Path, **settings: object) -> None:
        self._data_dir = data_dir
        self._settings = settings
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._heard_at = str(data_dir) + ".notify"
        self.heard.bind(self._heard_at)
        self.heard.settimeout(20)

    def start(self) -> Service:
        """Returns once it is ready."""
        fd = self.listener.fileno()
        log = self._data_dir.with_suffix(".log")
        with log.open("ab") as errors:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    HAND_OVER,
                    str(fd),
                    *COMMAND,
                    "serve",
                    "--data-dir",
                    str(self._data_dir),
                ],
                env=settings_of(**self._settings) | {"LISTEN_FDS": "1", "NOTIFY_SOCKET": self._heard_at},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
                pass_fds=(fd,),
            )
        return announced(process, log)

    def hears(self) -> str:
        """The next word of the service; without the time that stands with some."""
        return self.heard.recv(4096).decode().partition("\n")[0]

    def close(self) -> None:
        self.listener.close()
        self.heard.close()
        os.unlink(self._heard_at)
