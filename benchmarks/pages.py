"""The pages on a filled store: server time of each, the first page's bytes, its first paint in Chromium."""

import argparse
import http.client
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.filling import LONG_SEQUENCE, append, fill, fill_long_stream, follow_up
from benchmarks.query import LIMIT_MS, percentile, sequence_of
from benchmarks.server import start_server
from benchmarks.table import print_table
from streamledger.postgres.connection import Database, connect
from streamledger.postgres.embedded import start_embedded
from streamledger.postgres.schema import migrate

SESSIONS, FULL_SESSIONS = 50_000, 1_000_000
LIVE_STREAMS = 10_000
LONG_SCREENSHOTS = 20_000
ASKED = 200
PAINTS = 7
CHROMIUM = Path("/usr/bin/chromium")
PAGE_MS_MAX, PAINT_MS_MAX, FIRST_PAGE_BYTES_MAX = 50, 300, 100_000


def main(arguments: list[str] | None = None) -> None:
    """`python -m benchmarks pages --full` fills a million sessions."""
    parser = argparse.ArgumentParser(prog="benchmarks pages")
    parser.add_argument("--sessions", type=int, default=SESSIONS)
    parser.add_argument("--live", type=int, default=LIVE_STREAMS, help="streams that are live")
    parser.add_argument("--long-screenshots", type=int, default=LONG_SCREENSHOTS)
    parser.add_argument("--asked", type=int, default=ASKED, help="how often each page is asked for")
    parser.add_argument("--full", action="store_true", help="a million sessions")
    given = parser.parse_args(arguments or [])
    sessions = FULL_SESSIONS if given.full else given.sessions
    with tempfile.TemporaryDirectory(prefix="streamledger-bench-") as directory:
        with start_embedded(Path(directory)) as embedded:
            _fill(Database(embedded.owner_dsn), sessions, given.live, given.long_screenshots)
        for name in ("SILENCE", "NEWER_PUSH", "RECORDING_ENDED"):
            os.environ[f"STREAMLEDGER_{name}_S_MAX"] = str(LIMIT_MS // 1000)
        server, url, _ = start_server(Path(directory))
        try:
            _ask(url, sessions, given.asked, server.pid)
            _weigh(url)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)


def _fill(database: Database, sessions: int, live: int, screenshots: int) -> None:
    began_s = time.monotonic()
    migrate(database)
    now_s = int(time.time())
    with connect(database, application_name="benchmark") as connection:
        fill(connection, database.schema, sessions, now_s=now_s)
        fill_long_stream(connection, database.schema, screenshots, now_s=now_s)
        bodies: list[dict[str, object]] = [
            {
                "event_type": 1,
                "stream_id": f"live-{number:05d}",
                "sequence": str(5_000_000_000_000_000_000 + number),
                "event_time": now_s - number % 3600,
                "app": "push.example.com",
                "appname": "live",
            }
            for number in range(live)
        ]
        append(connection, database.schema, bodies)
        follow_up(connection)
    print(
        f"  filled in {time.monotonic() - began_s:.0f} s: {sessions:,} sessions, {live:,} live\n", flush=True
    )


def cpu_s_of(pid: int) -> float:
    """Processor time of a process and all that it started, PostgreSQL too; waiting adds nothing. Linux."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # ended meanwhile
                continue
            parents[int(entry.name)] = int(fields[1])
            ticks[int(entry.name)] = sum(map(int, fields[11:15]))

    def is_of(each: int) -> bool:
        while each not in (pid, 0, 1):
            each = parents.get(each, 0)
        return each == pid

    return sum(count for each, count in ticks.items() if is_of(each)) / os.sysconf("SC_CLK_TCK")


def _ask(url: str, sessions: int, count: int, pid: int) -> None:
    paths: dict[str, Callable[[random.Random], str]] = {
        "/health/live (bare)": lambda _: "/health/live",
        "/": lambda _: "/",
        "/streams": lambda _: "/streams",
        "/streams?presence=live": lambda _: "/streams?presence=live",
        "/streams?q= (a part of a name)": lambda drawn: f"/streams?q=room-{drawn.randrange(100):03d}",
        "/streams/{stream_id}": lambda drawn: f"/streams/{sequence_of(sessions, drawn)[0]}",
        "/sessions": lambda _: "/sessions",
        "/sessions?state=suspect": lambda _: "/sessions?state=suspect",
        "/sessions/{sequence}": lambda drawn: f"/sessions/{sequence_of(sessions, drawn)[1]}",
        "/sessions/{sequence}?step=3&why=state": lambda drawn: (
            # Of one that went the whole way: those multiplied in SQL have no events of their own in the past.
            f"/sessions/{3_000_000_000_000_000_000 + drawn.randrange(1000)}?step=3&why=state"
        ),
        "the longest session, half of it known": lambda _: f"/sessions/{LONG_SEQUENCE}?step=30&why=state",
        "the longest session": lambda _: f"/sessions/{LONG_SEQUENCE}",
        "/audit": lambda _: "/audit",
        "/deliveries": lambda _: "/deliveries",
        "/deliveries?stream_id=": lambda drawn: f"/deliveries?stream_id={sequence_of(sessions, drawn)[0]}",
        "/deliveries/{position}": lambda drawn: f"/deliveries/{drawn.randrange(1, 10_000)}",
        "/sessions?end=idle&sort=duration": lambda _: "/sessions?end=idle&sort=duration",
        "/search?q= (the beginning of a sequence)": lambda drawn: (
            f"/search?q={sequence_of(sessions, drawn)[1][:12]}"
        ),
        "/quarantine": lambda _: "/quarantine",
        "/system": lambda _: "/system",
    }
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    rows = []
    for name, path in paths.items():
        drawn, taken, size, began_cpu_s = random.Random(1), [], 0, 0.0
        for number in range(count + 10):
            began = time.perf_counter()
            connection.request("GET", path(drawn))
            response = connection.getresponse()
            size = len(response.read())
            assert response.status == 200, (path(drawn), response.status)
            if number == 9:
                began_cpu_s = cpu_s_of(pid)
            if number >= 10:
                taken.append((time.perf_counter() - began) * 1000)
        p99 = percentile(taken, 99)
        verdict = "yes" if p99 < PAGE_MS_MAX else "NO"
        cpu_ms = (cpu_s_of(pid) - began_cpu_s) / count * 1000
        rows.append(
            (
                name,
                f"{percentile(taken, 50):.1f}",
                f"{p99:.1f}",
                verdict,
                f"{cpu_ms:.1f}",
                f"{size / 1000:.1f}",
            )
        )
    columns = ("page", "p50 ms", "p99 ms", f"under {PAGE_MS_MAX} ms", "CPU ms each", "kB")
    print_table(columns, rows, benchmark="pages")
    print()


def _weigh(url: str) -> None:
    """What the first page takes a browser that has nothing of it yet."""
    if not CHROMIUM.exists():
        print(f"  no {CHROMIUM}: the first paint is not measured")
        return
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  # of the development packages only

    paints, size = [], 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for _ in range(PAINTS):
            context = browser.new_context(viewport={"width": 1280, "height": 800}, bypass_csp=True)
            page = context.new_page()
            page.goto(url + "/", wait_until="load")
            page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
            paints.append(
                page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
            )
            size = page.evaluate(
                "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
                ".reduce((sum, each) => sum + each.transferSize, 0)"
            )
            context.close()
        browser.close()
    print_table(
        ("first page in Chromium", "value", "limit"),
        [
            ("first contentful paint, median ms", f"{percentile(paints, 50):.0f}", str(PAINT_MS_MAX)),
            ("first contentful paint, worst ms", f"{max(paints):.0f}", str(PAINT_MS_MAX)),
            ("transferred in all, bytes", f"{size:,}", f"{FIRST_PAGE_BYTES_MAX:,}"),
        ],
        benchmark="pages",
    )
