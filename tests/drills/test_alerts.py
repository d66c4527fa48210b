"""Each alert fires when its cause is there: made at a running server, whose /metrics the rules then judge.

The causes of all alerts can be made here. What stands for what would take too long: promtool's clock for half
an hour of silence, the ledger's own door for 80,001 forgeries and for the minutes that an event has waited.
"""

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import msgspec
import psycopg
import pytest

from streamledger.domain.events import ForeignEvent
from streamledger.ledger.delivery_id import new_delivery_id
from streamledger.postgres.connection import connect
from tests.acceptance.serving import CALLBACKS, Service, data_directory, database_of, serving, signed_now
from tests.deliveries import AMPLE, new_event, push_started, quarantined, store
from tests.drills.drill import settled
from tests.drills.scraping import (
    AFTER_MINUTES,
    BEFORE_MINUTES,
    Drill,
    Scrape,
    all_quiet,
    firing,
    judge,
    scrape,
    value_of,
)
from tests.drills.test_postmaster_killed import postmaster_of
from tests.house.rooms import ROOT

RULES: Final = ROOT / "docs" / "deploy" / "alerts.yml"
ALERTS: Final = re.findall(r"- alert: (\w+)", RULES.read_text())
PROMTOOL: Final = shutil.which("promtool")
QUEUE: Final = 5_000
"""What StreamledgerQueueLong allows."""
CROWD: Final = QUEUE + 600
"""Deliveries that wait, each on its connection; a batch of them is in the appender's hand already."""
REFUSED_ROWS: Final = 80_001
FILES: Final = 2 * CROWD
"""Open files that the test needs for the crowd; the server needs some more."""
LARGE, SMALL = "3g", "1g"
"""Sizes of the disk, of which StreamledgerDiskFilling wants 2 GiB free."""

pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")


class Place:
    """A running server and what the drills do to it."""

    def __init__(self, service: Service, data_dir: Path, disk: Path | None) -> None:
        self.service = service
        self.data_dir = data_dir
        self.disk = disk
        self._sequence = 2**61

    def deliver(self, number: int, **signing: object) -> list[int]:
        """So many deliveries, one after the other; their statuses."""
        return [self.service.post(self.body(**signing)).status for _ in range(number)]

    def body(self, **signing: object) -> bytes:
        self._sequence += 1
        start = push_started("drill", str(self._sequence), int(time.time()))
        return signed_now(start, **signing)  # type: ignore[arg-type]  # ahead_s or key

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return connect(database_of(self.data_dir), application_name="drill")

    def told(self, wanted: Callable[[Scrape], bool]) -> Scrape:
        """The first scrape of which this is true."""
        found = scrape(self.service)
        deadline = time.monotonic() + 30
        while not (found.up and wanted(found)):
            assert time.monotonic() < deadline, found.values
            time.sleep(0.1)
            found = scrape(self.service)
        return found

    def projector(self) -> int:
        """The process of the projector, which is the last that was begun."""
        told = Path(f"/proc/{self.service.process.pid}/task/{self.service.process.pid}/children").read_text()
        commands = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in told.split()}
        return max(pid for pid, command in commands.items() if b"serve" in command)


def lag(scraped: Scrape) -> float:
    return max(
        value for (name, _), value in scraped.values.items() if name == "streamledger_projection_lag_seconds"
    )


def caught_up(scraped: Scrape) -> bool:
    return lag(scraped) == 0


def nothing_is_wrong(place: Place) -> Drill:
    place.deliver(5)
    before = place.told(caught_up)
    assert set(place.deliver(20)) == {200}
    return Drill(before, place.told(caught_up))


def signed_for_another_time(place: Place) -> Drill:
    before = scrape(place.service)
    assert set(place.deliver(20)) == {200}
    assert set(place.deliver(10, ahead_s=-600)) == {200}
    return Drill(before, scrape(place.service))


def forged(place: Place) -> Drill:
    before = scrape(place.service)
    assert set(place.deliver(40, key="a guess")) == {403}
    return Drill(before, scrape(place.service))


def a_limit_that_is_reached(place: Place) -> Drill:
    """Again and again: a stranger's heads are larger than any."""

    def reached(scraped: Scrape) -> float:
        return value_of(scraped, "streamledger_limit_reached_total", limit="head_bytes_max")

    before = scrape(place.service)
    host, port = place.service.url.removeprefix("http://").split(":")
    with ExitStack() as stack:
        for _ in range(3):
            connection = stack.enter_context(socket.create_connection((host, int(port)), 30))
            connection.sendall(b"GET / HTTP/1.1\r\nx: " + b"a" * 16 * 1024)
            assert status_of(connection) == b"431"
    return Drill(before, place.told(lambda now: reached(now) >= reached(before) + 3))


def the_projector_stands_still(place: Place) -> Drill:
    """The event was received two minutes ago, by a node that wrote to the ledger then."""
    before = place.told(caught_up)
    pid = place.projector()
    os.kill(pid, signal.SIGSTOP)
    try:
        with place.connect() as connection:
            event = new_event(push_started("waiting", "1", 1), received_s=time.time() - 120)
            store(connection, [event])
        return Drill(before, scrape(place.service))
    finally:
        os.kill(pid, signal.SIGCONT)


def an_event_that_cannot_be_read(place: Place) -> Drill:
    """Of a version that is still to come, which wrote to the ledger before it was taken back."""
    before = place.told(caught_up)
    with place.connect() as connection:
        event = ForeignEvent(
            originator_id="later",
            delivery_id=new_delivery_id(time.time_ns() // 1000),
            name="push-started.v99",
            state=b"unknown",
        )
        store(connection, [event])
    return Drill(
        before,
        place.told(lambda now: value_of(now, "streamledger_projection_parked", projection="sessions") > 0),
    )


def a_quarantine_nearly_full(place: Place) -> Drill:
    """By the statement with which the intake sets aside, in larger batches."""
    before = scrape(place.service)
    with place.connect() as connection:
        caps = msgspec.structs.replace(AMPLE, refused_rows_max=100_000)
        while (left := REFUSED_ROWS - held_refused(scrape(place.service))) > 0:
            batch = [quarantined("bad_signature") for _ in range(min(left, 10_000))]
            store(connection, refused=batch, caps=caps)
    return Drill(before, scrape(place.service))


def held_refused(scraped: Scrape) -> int:
    return int(value_of(scraped, "streamledger_quarantine_rows", budget="refused"))


def a_store_that_is_held_up(place: Place, crowd: int) -> dict[str, Drill]:
    """Somebody holds the row that every append takes; nothing else is hindered."""
    before = scrape(place.service)
    bodies = [place.body() for _ in range(crowd)]
    with ExitStack() as stack, place.connect() as connection, connection.transaction():
        connection.execute("SELECT FROM ledger_head FOR UPDATE")
        posts = [stack.enter_context(posting(place.service, body)) for body in bodies]
        wanted = QUEUE if crowd == CROWD else -1
        waiting = place.told(lambda now: value_of(now, "streamledger_queue_length") > wanted)
        assert {status_of(each) for each in posts} == {b"503"}
    settled(place.service)
    after = scrape(place.service)
    return {
        "StreamledgerQueueLong": Drill(before, waiting),
        "StreamledgerNotStoring": Drill(before, after),
        "StreamledgerAnswersSlow": Drill(before, after),
    }


@contextmanager
def posting(service: Service, body: bytes) -> Iterator[socket.socket]:
    """A connection on which a delivery was sent and its answer not read."""
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 30) as connection:
        head = f"POST {CALLBACKS} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        yield connection


def status_of(connection: socket.socket) -> bytes:
    return connection.recv(4096)[9:12]


def a_store_that_dies(place: Place) -> Drill:
    before = scrape(place.service)
    os.kill(postmaster_of(place.data_dir), signal.SIGKILL)
    after = place.told(lambda now: value_of(now, "streamledger_embedded_restarts_total") > 0)
    return Drill(before, after)


def a_disk_that_fills(place: Place) -> Drill:
    """It becomes smaller: to fill it would take the memory that it lies in."""
    before = scrape(place.service)
    subprocess.run(["mount", "-o", f"remount,size={SMALL}", str(place.disk)], check=True)
    return Drill(before, scrape(place.service))


def nobody_sends(place: Place) -> Drill:
    """From the last delivery on."""
    before = scrape(place.service)
    return Drill(before, before, goes_on=False)


def the_server_is_away(place: Place) -> Drill:
    before = scrape(place.service)
    place.service.stop()
    return Drill(before, scrape(place.service))


class Made(msgspec.Struct):
    """What was drilled, by alert, and why some were not."""

    quiet: Drill
    drills: dict[str, Drill]
    left_out: dict[str, str]


@contextmanager
def a_disk() -> Iterator[Path | None]:
    """A disk of its own; None where none may be mounted."""
    with tempfile.TemporaryDirectory(prefix="streamledger-disk-") as directory:
        command = ["mount", "-t", "tmpfs", "-o", f"size={LARGE},mode=0711", "tmpfs", directory]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
            Path(directory).chmod(0o711)
            yield None
            return
        try:
            yield Path(directory)
        finally:
            subprocess.run(["umount", directory], check=True)


@contextmanager
def open_files(number: int) -> Iterator[bool]:
    """Whether this process, and the server too, may have so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    has_room = hard == resource.RLIM_INFINITY or hard >= number
    if has_room and soft != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, number), hard))
    try:
        yield has_room
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def made() -> Iterator[Made]:
    with (
        open_files(FILES) as has_room,
        a_disk() as disk,
        data_directory(made=True) as elsewhere,
    ):
        data_dir = elsewhere if disk is None else disk / "ledger"
        limits = {"connections_max": CROWD + 500, "connections_per_address_max": CROWD + 500}
        with serving(data_dir, refused_per_minute_max=0, **limits) as service:
            yield drilled(Place(service, data_dir, disk), has_room=has_room)


def drilled(place: Place, *, has_room: bool) -> Made:
    quiet, found, left_out = nothing_is_wrong(place), {}, {}
    found["StreamledgerExpired"] = signed_for_another_time(place)
    found["StreamledgerForged"] = forged(place)
    found["StreamledgerLimitReached"] = a_limit_that_is_reached(place)
    found["StreamledgerLagging"] = the_projector_stands_still(place)
    found["StreamledgerParked"] = an_event_that_cannot_be_read(place)
    found["StreamledgerQuarantineFilling"] = a_quarantine_nearly_full(place)
    found |= a_store_that_is_held_up(place, CROWD if has_room else 50)
    if not has_room:
        left_out["StreamledgerQueueLong"] = f"{FILES} open files are not granted here"
    found["StreamledgerStoreRestarted"] = a_store_that_dies(place)
    if place.disk is not None:
        found["StreamledgerDiskFilling"] = a_disk_that_fills(place)
    else:
        left_out["StreamledgerDiskFilling"] = "no disk can be mounted here"
    place.told(lambda _: True)
    found["StreamledgerSilent"] = nobody_sends(place)
    found["StreamledgerDown"] = the_server_is_away(place)
    return Made(quiet, found, left_out)


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_fires_with_its_cause_and_not_before(made: Made, alert: str, tmp_path: Path) -> None:
    if alert in made.left_out:
        pytest.skip(made.left_out[alert])
    expected = [
        firing(alert, BEFORE_MINUTES - 1, fires=False),
        firing(alert, BEFORE_MINUTES + AFTER_MINUTES - 1, fires=True),
    ]
    assert judge(str(PROMTOOL), RULES, made.drills[alert], expected, tmp_path / "drill.yml") == ""


def test_nothing_fires_while_deliveries_come_and_nothing_is_wrong(made: Made, tmp_path: Path) -> None:
    expected = [all_quiet(BEFORE_MINUTES - 1), all_quiet(BEFORE_MINUTES + AFTER_MINUTES - 1)]
    assert judge(str(PROMTOOL), RULES, made.quiet, expected, tmp_path / "drill.yml") == ""
