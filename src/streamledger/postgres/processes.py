"""Finding and stopping PostgreSQL processes that an earlier run left on a data directory."""

import contextlib
import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")

_STOP_STEPS: Final = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 10.0))
"""Fast shutdown, immediate shutdown, kill; and the seconds each is given."""
_END_STEPS: Final = ((signal.SIGQUIT, 1.0), (signal.SIGKILL, 10.0))
"""For what a postmaster that is gone has left: it stores nothing any more, and a new one waits for it."""
_POLL_S: Final = 0.02


def processes_on(directory: Path) -> list[int]:
    """Process ids of the PostgreSQL processes, server and children, that run on this cluster directory.

    Each of them has the directory as its working directory, which no reused process id can fake. Where that
    may not be looked at, because the server runs as another user and this is a container without
    CAP_SYS_PTRACE, the command line tells: it names the directory, or its `cluster_tag`. Without /proc
    (macOS) only the postmaster is found, by its pid file and its command line.
    """
    if not directory.is_dir():
        return []
    if not (PROC / "self").exists():
        return _postmaster_by_command_line(directory)
    wanted = directory.stat()
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # it may end at any moment
            if (entry / "comm").read_text().strip() not in ("postgres", "initdb"):
                continue
            try:
                here = os.path.samestat((entry / "cwd").stat(), wanted)
            except PermissionError:
                here = _names_directory((entry / "cmdline").read_bytes(), directory)
            if here:
                found.append(int(entry.name))
    return sorted(found)


def cluster_tag(directory: Path) -> str:
    """The cluster_name for a server on this directory; PostgreSQL shows it in each process's title."""
    return f"streamledger-{hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]}"


def stop_processes_on(directory: Path) -> bool:
    """Stops whatever PostgreSQL still runs on this cluster directory; True when nothing runs any more.

    The postmaster, asked first, takes its children along. Killing ends all of them at once, because a
    backend that outlives its postmaster still has the shared memory and may still write.
    """
    return _stop(directory, _STOP_STEPS)


def end_processes_on(directory: Path) -> bool:
    """Like `stop_processes_on`, without waiting for anything in order."""
    return _stop(directory, _END_STEPS)


def _stop(directory: Path, steps: Sequence[tuple[signal.Signals, float]]) -> bool:
    for stop_signal, wait_s in steps:
        running = processes_on(directory)
        if not running:
            return True
        for pid in running if stop_signal == signal.SIGKILL else _roots(running):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, stop_signal)
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline and processes_on(directory):
            time.sleep(_POLL_S)
    return not processes_on(directory)


def remove_stale_files(cluster: Path, socket: Path) -> None:
    """Removes what a killed server left behind, once no process runs on the cluster.

    PostgreSQL itself would refuse to start when the process id in the file belongs to some other process
    by now, as happens when a container starts again. Without /proc that judgement is left to it.
    """
    if (PROC / "self").exists():
        for path in (cluster / "postmaster.pid", socket, socket.with_name(socket.name + ".lock")):
            path.unlink(missing_ok=True)


def _names_directory(command_line: bytes, directory: Path) -> bool:
    return (
        os.fsencode(directory) in command_line.split(b"\0") or cluster_tag(directory).encode() in command_line
    )


def _roots(pids: list[int]) -> list[int]:
    """Those whose parent is not among them: the postmaster, or backends that lost theirs."""
    roots = []
    for pid in pids:
        try:
            # The command name may hold spaces and brackets; the fields are counted from its end.
            fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            roots.append(pid)
            continue
        if int(fields[1]) not in pids:
            roots.append(pid)
    return roots


def _postmaster_by_command_line(directory: Path) -> list[int]:
    try:
        pid = int((directory / "postmaster.pid").read_text().splitlines()[0])
    except (OSError, IndexError, ValueError):
        return []
    shown = subprocess.run(  # noqa: S603 -- fixed arguments and a number
        ["/bin/ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return [pid] if "postgres" in shown.stdout and str(directory) in shown.stdout else []
