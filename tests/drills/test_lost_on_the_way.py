"""An external database behind a faulty way: connections cut before and after the commit, swallowed, slow."""

import random
import time

from streamledger.postgres.connection import Database, connect
from tests.acceptance.load import Client, Record
from tests.acceptance.serving import data_directory, serving
from tests.drills.auditor import audit
from tests.drills.drill import ANSWER_S_MAX, BACK_S_MAX, LONG, LOST_NODE_S_MAX, settled
from tests.drills.proxy import Proxy, proxied

APPENDER = "appender"
CUTS = 100 if LONG else 12
SWALLOWED_S = 60 if LONG else 12


def hurt(proxy: Proxy, record: Record, seed: int) -> None:
    """The writer's connections are cut, now before and now after what they store."""
    chance = random.Random(seed)
    for _ in range(CUTS):
        proxy.set(to=APPENDER, **{chance.choice(["cut_before", "cut_after"]): chance.randint(1, 3)})
        record.wait_for(10)
        if chance.random() < 0.3:
            proxy.set(to=APPENDER, delay_s=chance.random() / 5)
            record.wait_for(10)


def test_whatever_happens_on_the_way_each_delivery_is_answered_and_stored_or_refused_once(
    database: Database,
) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201  # repeats this drill
    record = Record()
    with (
        data_directory() as data_dir,
        proxied(database.dsn) as proxy,
        serving(data_dir, ["--workers", "2"], database_url=proxy.dsn) as service,
    ):
        with Client(service.url, record, seed=seed):
            record.wait_for(50)
            hurt(proxy, record, seed)
            proxy.set()
            record.wait_for(50)
            # Connections that are there are swallowed, new ones are fine: they are replaced.
            proxy.set(swallow_made=True)
            swallowed_s = time.monotonic()
            record.wait_for(200)
            replaced_s = record.first_since(swallowed_s, 200)
            assert replaced_s is not None
            assert replaced_s < ANSWER_S_MAX
            # Everything is swallowed.
            proxy.set(swallow=True)
            time.sleep(SWALLOWED_S)
            proxy.cut_all()
            proxy.set()
            back_s = time.monotonic()
            record.wait_for(50)
            found_s = record.first_since(back_s, 200)
            assert found_s is not None
            assert found_s < BACK_S_MAX
        settled(service)
        audit(database, record)
        assert record.waited_s_max() < ANSWER_S_MAX
        assert record.statuses()[None] == 0


def test_a_lock_of_a_node_that_fell_silent_ends_within_fifteen_seconds(database: Database) -> None:
    """It holds the ledger's head in a transaction, and nothing comes from it any more."""
    from streamledger.ledger.append import HEAD_LOCK_SQL
    from streamledger.postgres.patience import APPENDING

    with proxied(database.dsn) as proxy:
        silent = connect(Database(proxy.dsn), application_name="silent", patience=APPENDING)
        silent.autocommit = False
        silent.execute(HEAD_LOCK_SQL)
        proxy.set(swallow=True)
        began = time.monotonic()
        with connect(database, application_name="other") as other:
            other.execute(f"SET lock_timeout = '{LOST_NODE_S_MAX:.0f}s'".encode())
            other.execute(HEAD_LOCK_SQL)
        assert time.monotonic() - began < LOST_NODE_S_MAX
        silent.close()
