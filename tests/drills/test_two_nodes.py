"""Two nodes on one database, one of them lost under load: the other stores and projects."""

import os
import signal
import time

import pytest

from streamledger.postgres.connection import Database, connect
from tests.acceptance.load import Client, Record
from tests.acceptance.serving import Service, data_directory, serving
from tests.drills.auditor import audit
from tests.drills.drill import ANSWER_S_MAX, LOST_NODE_S_MAX, settled


def projects(service: Service, database: Database) -> None:
    """Returns when what is in the ledger at this moment has been taken in."""
    with connect(database, application_name="test") as connection:
        row = connection.execute("SELECT position FROM ledger_head").fetchone()
    assert row is not None
    deadline = time.monotonic() + LOST_NODE_S_MAX
    while any(each["position"] < row[0] for each in service.get("/v1/projections").json()["items"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("loss", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "without power"])
def test_a_node_that_is_lost_hinders_the_other_for_no_longer_than_fifteen_seconds(
    database: Database, loss: signal.Signals
) -> None:
    lost_to, stays_with = Record(), Record()
    settings = {"database_url": database.dsn, "cookie_key": "c" * 32}
    with (
        data_directory() as data_dir,
        serving(data_dir, **settings) as lost,  # the first: its projector is the active one
        serving(data_dir, **settings) as stays,
    ):
        with Client(stays.url, stays_with), Client(lost.url, lost_to, first=10**6):
            lost_to.wait_for(100)
            stays_with.wait_for(100)
            projects(stays, database)
            os.killpg(lost.process.pid, loss)
            lost_s = time.monotonic()
            time.sleep(0.5)  # a batch that was on its way may still be taken in
            projects(stays, database)
            assert time.monotonic() - lost_s < LOST_NODE_S_MAX
            stays_with.wait_for(100)  # what was lost may hold the lock of the ledger for longer than a lease
            found_s = stays_with.first_since(lost_s, 200)
            assert found_s is not None
            assert found_s < LOST_NODE_S_MAX
            if loss == signal.SIGSTOP:
                os.killpg(lost.process.pid, signal.SIGCONT)
                lost_to.wait_for(100)
        settled(stays)
        both = Record()
        both.sent = lost_to.sent + stays_with.sent
        audit(database, both, counts_lost=loss == signal.SIGKILL)
        assert stays_with.waited_s_max() < ANSWER_S_MAX
        assert stays_with.statuses()[None] == 0
