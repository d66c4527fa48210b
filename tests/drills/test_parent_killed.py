"""The parent is killed: its children end with it and free the port, and the next start finds everything."""

import os
import signal
import socket
import time
import urllib.parse

import pytest

from tests.acceptance.load import Client, Record
from tests.acceptance.serving import data_directory, database_of, end, serving, start
from tests.drills.auditor import audit
from tests.drills.drill import ORPHAN_S_MAX, ROUNDS, settled


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("workers", [2])
def test_the_port_of_a_killed_parent_is_free_within_a_second(workers: int) -> None:
    record = Record()
    with data_directory(made=True) as data_dir:
        for number in range(ROUNDS):
            service = start(data_dir, ["--workers", str(workers)])
            try:
                port = urllib.parse.urlsplit(service.url).port or 0
                with Client(service.url, record, first=1 + number * 10**6):
                    record.wait_for(50)
                    os.kill(service.process.pid, signal.SIGKILL)
                    killed_s = time.monotonic()
                    while listens(port):
                        time.sleep(0.01)
                    assert time.monotonic() - killed_s < ORPHAN_S_MAX
            finally:
                end(service)
        with serving(data_dir) as service:
            settled(service)
            audit(database_of(data_dir), record, counts_lost=True)
