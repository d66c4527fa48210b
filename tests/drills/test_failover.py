"""The database's primary is lost under load and its synchronous standby takes over: the program follows."""

import signal
import time

import pytest

from streamledger.postgres.connection import Database
from tests.acceptance.load import Client, Record
from tests.acceptance.serving import data_directory, serving
from tests.drills.auditor import audit
from tests.drills.cluster import primary_and_standby
from tests.drills.drill import ANSWER_S_MAX, BACK_S_MAX, settled


@pytest.mark.parametrize("loss", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "without power"])
def test_a_standby_takes_over_under_load_and_nothing_is_lost_or_stored_twice(loss: signal.Signals) -> None:
    record = Record()
    with (
        primary_and_standby() as pair,
        data_directory() as data_dir,
        serving(data_dir, ["--workers", "2"], database_url=pair.dsn) as service,
    ):
        with Client(service.url, record):
            record.wait_for(200)
            pair.primary.send(loss)
            record.wait_for(20, status=503)  # a while without any
            pair.standby.says("SELECT pg_promote()")
            promoted_s = time.monotonic()
            record.wait_for(200)
            back_s = record.first_since(promoted_s, 200)
            assert back_s is not None
            assert back_s < BACK_S_MAX
        settled(service)
        audit(Database(pair.standby.dsn), record)
        assert record.waited_s_max() < ANSWER_S_MAX
        assert record.statuses()[None] == 0
