"""A lease: one holder, let go at once or by its end, and never two who change something."""

from typing import Any

import psycopg
import pytest

from streamledger.postgres import lease
from streamledger.postgres.connection import Database, connect
from streamledger.postgres.errors import LeaseHeld, LeaseLost
from streamledger.postgres.lease import Lease, held

NAME = "test"


def opened(database: Database) -> psycopg.Connection[Any]:
    return connect(database, application_name="test")


def test_one_holds_it_until_it_lets_it_go(any_database: Database) -> None:
    with opened(any_database) as first, opened(any_database) as second:
        one, other = Lease(first, NAME), Lease(second, NAME)
        assert one.take()
        assert not other.take()
        assert Lease(second, "another").take()
        one.release()
        assert other.take()
        one.release()  # not its own any more
        assert not one.take()


def test_the_end_of_its_connection_is_its_end(database: Database) -> None:
    with opened(database) as second:
        with opened(database) as first:
            assert Lease(first, NAME).take()
            pid = first.info.backend_pid
        while second.execute("SELECT FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchall():
            pass
        assert Lease(second, NAME).take()


def test_on_another_server_it_ends_by_itself_and_a_late_holder_changes_nothing(database: Database) -> None:
    with opened(database) as first, opened(database) as second:
        one, other = Lease(first, NAME), Lease(second, NAME)
        assert one.take()
        first.close()
        second.execute("UPDATE leases SET cluster = 1")
        assert not other.take()
        second.execute("UPDATE leases SET until = now() - interval '1 second'")
        assert other.take()
        other.fence(second)
        with second.transaction(), pytest.raises(LeaseLost):
            one.fence(second)


def test_a_fence_keeps_others_out_until_the_transaction_ends(database: Database) -> None:
    with opened(database) as first, opened(database) as second, opened(database) as working:
        one = Lease(first, NAME)
        assert one.take()
        second.execute("UPDATE leases SET until = now() - interval '1 second'")
        second.execute("SET lock_timeout = 100")
        with working.transaction():
            one.fence(working)
            with pytest.raises(psycopg.errors.LockNotAvailable):
                Lease(second, NAME).take()
        assert Lease(second, NAME).take()


def test_it_is_renewed_on_a_thread_while_the_work_lasts(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_S", 0.01)
    with opened(database) as second:
        with held(database, NAME) as taken:
            ends = {second.execute("SELECT until FROM leases").fetchall()[0][0] for _ in range(2)}
            while len(ends) < 3:
                ends.add(second.execute("SELECT until FROM leases").fetchall()[0][0])
            with pytest.raises(LeaseHeld), held(database, NAME):
                pass
            taken.fence(second)
        assert second.execute("SELECT FROM leases").fetchall() == []


def test_who_was_overtaken_is_told_when_it_renews(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(database) as first:
        one = Lease(first, NAME)
        assert one.take()
        one.renew()  # not yet due
        first.execute("DELETE FROM leases")
        one.renew()
        monkeypatch.setattr(lease, "RENEW_S", 0.0)
        with pytest.raises(LeaseLost):
            one.renew()
