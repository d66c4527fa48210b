"""Leases: what one process at a time may do, held by a row that ends unless it is renewed.

A session's advisory lock lives on the node that one is connected to, and is held until the server notices
that its client is gone. A row lives where the ledger lives, is let go in a statement of its own, and ends
by itself.
"""

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import psycopg

from streamledger.postgres.connection import Database, connect
from streamledger.postgres.errors import LeaseHeld, LeaseLost

LEASE_S: Final = 10
"""For how long a lease is good that is not renewed: within 15 s of a loss somebody else has taken it over."""
RENEW_S: Final = 2.5

_HELD_SQL: Final = (
    "SELECT holder, until, until <= now(), cluster, pid, connected_at FROM leases WHERE name = %s"
)
_SELF_SQL: Final = (
    "SELECT (pg_control_system()).system_identifier, pid, backend_start FROM pg_stat_activity"
    " WHERE pid = pg_backend_pid()"
)
# Of another role's connections only the pid is shown.
_CONNECTED_SQL: Final = (
    "SELECT FROM pg_stat_activity WHERE pid = %s AND (backend_start IS NULL OR backend_start = %s)"
)
_TAKE_SQL: Final = (
    "INSERT INTO leases (name, holder, until, cluster, pid, connected_at)"
    " VALUES (%s, %s, now() + %s * interval '1 second', %s, %s, %s)"
    " ON CONFLICT (name) DO NOTHING RETURNING name"
)
IS_HELD_SQL: Final = "SELECT FROM leases WHERE name = %(name)s AND until > now()"
"""One row while somebody holds the lease."""


class Lease:
    """One attempt to hold a name, on an autocommit connection whose end is the lease's end too."""

    def __init__(self, connection: psycopg.Connection[Any], name: str) -> None:
        self._connection = connection
        self.name = name
        self._holder = uuid.uuid4().hex
        self._renewed_s = 0.0

    def take(self) -> bool:
        """Hold it from now on; False while somebody else does."""
        cluster, pid, connected_at = self._connection.execute(_SELF_SQL).fetchall()[0]
        for holder, until, has_ended, *whose in self._connection.execute(_HELD_SQL, (self.name,)):
            if not has_ended and not self._is_gone(cluster, *whose):
                return False
            self._connection.execute(
                "DELETE FROM leases WHERE name = %s AND holder = %s AND until = %s",
                (self.name, holder, until),
            )
        facts = (self.name, self._holder, LEASE_S, cluster, pid, connected_at)
        self._renewed_s = time.monotonic()
        return self._connection.execute(_TAKE_SQL, facts).fetchone() is not None

    def _is_gone(self, own_cluster: int, cluster: int, pid: int, connected_at: object) -> bool:
        """Whether the holder's connection was to this very server, and has ended."""
        if cluster != own_cluster:
            return False
        return self._connection.execute(_CONNECTED_SQL, (pid, connected_at)).fetchone() is None

    def renew(self) -> None:
        """Move its end on, if it is time to. Raises LeaseLost when somebody else has taken it meanwhile."""
        began_s = time.monotonic()
        if began_s - self._renewed_s < RENEW_S:
            return
        row = self._connection.execute(
            "UPDATE leases SET until = now() + %s * interval '1 second' WHERE name = %s AND holder = %s"
            " RETURNING name",
            (LEASE_S, self.name, self._holder),
        ).fetchone()
        if row is None:
            raise LeaseLost(name=self.name, seconds=LEASE_S)
        self._renewed_s = began_s

    def fence(self, connection: psycopg.Connection[Any]) -> None:
        """In a transaction, so late as may be: nobody can take the lease until it has ended.

        Raises LeaseLost when somebody has.
        """
        row = connection.execute(
            "SELECT name FROM leases WHERE name = %s AND holder = %s FOR UPDATE", (self.name, self._holder)
        ).fetchone()
        if row is None:
            raise LeaseLost(name=self.name, seconds=LEASE_S)

    def release(self) -> None:
        """Let it go; nothing is amiss when it was lost, or the store is."""
        with suppress(psycopg.Error):
            self.let_go(self._connection)

    def let_go(self, connection: psycopg.Connection[Any]) -> None:
        """Let it go in the transaction that says that the work is done: who reads that may begin the next."""
        connection.execute("DELETE FROM leases WHERE name = %s AND holder = %s", (self.name, self._holder))


@contextmanager
def held(database: Database, name: str) -> Iterator[Lease]:
    """The lease, renewed on a thread and a connection of its own while this lasts. Raises LeaseHeld.

    Work that must not be done twice ends its transaction with `fence`, which tells of a loss.
    """
    with connect(database, application_name=f"streamledger {name} lease") as connection:
        lease = Lease(connection, name)
        if not lease.take():
            raise LeaseHeld(name=name)
        ending = threading.Event()
        keeper = threading.Thread(target=_renew, args=(lease, ending), name=f"{name} lease", daemon=True)
        keeper.start()
        try:
            yield lease
        finally:
            ending.set()
            keeper.join()
            lease.release()


def _renew(lease: Lease, ending: threading.Event) -> None:
    while not ending.wait(RENEW_S):
        try:
            lease.renew()
        except (LeaseLost, psycopg.Error):
            return  # `fence` will tell
