"""Processor time of the server's processes, and of PostgreSQL's by whom they work for. Linux only."""

import os
from collections import Counter
from pathlib import Path

import psycopg

TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")
GONE = "PostgreSQL: processes that ended"


def by_process(server: int, dsn: str) -> Counter[str]:
    """Microseconds that each has used so far: of `serve` with the pid `server`, and of its PostgreSQL."""
    spent: Counter[str] = Counter()
    for pid, name in {**_of_postgres(dsn), **_of_program(server)}.items():
        own, of_ended = _used_us(pid)
        spent[name] += own
        if name == "PostgreSQL: postmaster":
            spent[GONE] += of_ended
    return spent


def _of_postgres(dsn: str) -> dict[int, str]:
    """Names by pid: backends by their application, the others by their work."""
    with psycopg.connect(dsn, autocommit=True, application_name="benchmark") as connection:
        rows = connection.execute(
            "SELECT pid, CASE backend_type WHEN 'client backend' THEN application_name ELSE backend_type END"
            " FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        ).fetchall()
        names = {pid: "PostgreSQL: " + name.removeprefix("streamledger ") for pid, name in rows}
        found = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert found is not None
    postmaster = next((_parent(pid) for pid in names if _parent(pid)), 0)
    return {**names, postmaster: "PostgreSQL: postmaster"}


def _of_program(server: int) -> dict[int, str]:
    """`serve` starts its web worker first, then the projector."""
    names = ["web process", "projector"]
    children = [pid for pid in _children(server) if not _comm(pid).startswith("postgres")]
    return {server: "serve", **dict(zip(sorted(children), names, strict=False))}


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(each) for task in tasks for each in (task / "children").read_text().split()]


def _comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text()


def _fields(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # ended meanwhile
        return ["0"] * 20


def _parent(pid: int) -> int:
    return int(_fields(pid)[1])


def _used_us(pid: int) -> tuple[int, int]:
    """Its own, and of its children that have ended."""
    user, system, ended_user, ended_system = map(int, _fields(pid)[11:15])
    return (user + system) * TICK_US, (ended_user + ended_system) * TICK_US
