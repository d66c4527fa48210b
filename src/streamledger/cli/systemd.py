"""What systemd, or the program that ran before, hands over, and what systemd is told (ADR 0021)."""

import os
import signal
import socket
import sys
import time
from typing import Final, NoReturn

from streamledger.domain.errors import StreamledgerError

FIRST_FD: Final = 3
"""Where the sockets begin that are handed over: sd_listen_fds(3)."""

ASKING: Final = {getattr(signal, name) for name in ("SIGHUP", "SIGUSR2") if hasattr(signal, name)}


class HandedOverUnusable(StreamledgerError):
    """the socket that was handed over cannot be used: {cause}"""

    exit_code = 3


def handed_over() -> socket.socket | None:
    """The listening socket that was opened for this process before it began; its backlog holds who connects.

    The variables are taken out of the environment: they are for this process alone.
    """
    number, pid = os.environ.pop("LISTEN_FDS", ""), os.environ.pop("LISTEN_PID", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if not number or pid != str(os.getpid()):
        return None
    if number != "1":
        raise HandedOverUnusable(cause=f"expected one, got {number}")
    try:
        listener = socket.socket(fileno=FIRST_FD)
        is_listening = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise HandedOverUnusable(cause=error.strerror or str(error)) from error
    if not is_listening or listener.family not in (socket.AF_INET, socket.AF_INET6):
        raise HandedOverUnusable(cause="expected a TCP socket that listens (ListenStream=, Accept=no)")
    listener.set_inheritable(False)
    listener.setblocking(True)
    return listener


def begin_again(listener: socket.socket) -> NoReturn:
    """Replace this process by the program as it is installed now, with the same arguments and socket.

    Signals that ask for something would end it before it has handlers: they wait until `hear_again`.
    """
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, ASKING)
    os.dup2(listener.fileno(), FIRST_FD)
    os.set_inheritable(FIRST_FD, True)
    os.environ["LISTEN_FDS"], os.environ["LISTEN_PID"] = "1", str(os.getpid())
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  # our own command


def hear_again() -> None:
    """Take the signals that have waited since `begin_again`, now that there are handlers."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKING)


def notify(state: str) -> None:
    """Tell systemd a state, as sd_notify(3) does; nothing where no one listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")) or not hasattr(socket, "AF_UNIX"):
        return
    if state == "RELOADING=1":
        state += f"\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.connect("\0" + address[1:] if address.startswith("@") else address)
            to.send(state.encode())
    except OSError:
        pass  # who started us listens no longer: no reason to end
