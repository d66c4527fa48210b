"""Timings of several processes: nothing is lost, nothing is counted twice, and no count goes back."""

import subprocess
import sys

from streamledger.operations.timings import BOUNDS_S, Timings

SEVERAL = """
import os, signal, sys
from streamledger.operations.timings import Timings

timings, reader, writer = Timings(3), *os.pipe()

def begin(number, times, is_killed=False):
    pid = os.fork()
    if pid == 0:
        row = timings.row(number)
        for _ in range(times):
            row.acknowledged.observe(0.003)
            row.commit.observe(0.0007)
        os.write(writer, b"x")
        if is_killed:
            signal.pause()
        os._exit(0)
    return pid

first = [begin(number, 20_000, is_killed=number == 1) for number in range(3)]
for _ in first:
    os.read(reader, 1)
os.kill(first[1], signal.SIGKILL)
for pid in first:
    os.waitpid(pid, 0)
print(timings.answers()["acknowledged"].counts[-1])
os.waitpid(begin(1, 5), 0)
print(timings.answers()["acknowledged"].counts[-1], timings.commits().counts[-1], timings.commits().sum_s)
"""


def test_a_bucket_holds_what_took_no_longer_than_its_bound() -> None:
    timings = Timings(1)
    for bound_s in BOUNDS_S:
        timings.row(0).refused.observe(bound_s)
    timings.row(0).refused.observe(11.5)
    found = timings.answers()["refused"]
    assert found.counts == tuple(range(1, len(BOUNDS_S) + 2))
    assert round(found.sum_s, 6) == round(sum(BOUNDS_S) + 11.5, 6)
    assert timings.commits().counts == (0,) * (len(BOUNDS_S) + 1)


def test_an_answer_is_counted_by_its_status() -> None:
    timings = Timings(2)
    for row, statuses in enumerate(((200, 200, 403), (200, 503, 429, 400))):
        for status in statuses:
            timings.row(row).answered(status, 0.1)
    assert {name: found.counts[-1] for name, found in timings.answers().items()} == {
        "acknowledged": 3,
        "refused": 3,
        "unavailable": 1,
    }


def test_workers_add_up_and_one_that_takes_the_place_of_a_killed_one_goes_on_with_its_counts() -> None:
    ran = subprocess.run([sys.executable, "-c", SEVERAL], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["60000", "60005", "60005", f"{60_005 * 700 / 1e6}"]
