"""Open files of a process: raised at the start as far as the system lets us, and kept apart for the store."""

import sys
from typing import Final

KEPT: Final = 256
"""For connections to the store, the embedded one's files, logs and threads."""
BACKLOG_MAX: Final = 2048
"""Connections that may wait to be accepted; all of them can be, before those that make room are closed."""


def raise_limit(wanted: int) -> None:
    """Let this process and its children have so many open files, or as many as the system grants."""
    if sys.platform == "win32":
        return  # no such limit
    import resource  # noqa: PLC0415  # of Unix

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def needed_for(connections_max: int) -> int:
    """Open files of a web process with so many connections."""
    return connections_max + BACKLOG_MAX + KEPT


def granted() -> int | None:
    """How many this process may have after `raise_limit`; None is without a limit."""
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415  # of Unix

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if hard == resource.RLIM_INFINITY else hard


def backlog() -> int:
    """How many connections may wait: fewer where there are few open files."""
    most = granted()
    return BACKLOG_MAX if most is None else min(BACKLOG_MAX, most // 4)


def connections_within(connections_max: int) -> int:
    """How many of these connections a process has open files for."""
    most = granted()
    return connections_max if most is None else max(2, min(connections_max, most - backlog() - KEPT))
