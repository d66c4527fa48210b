"""The projection's process: follows the ledger, one active runner at a time, others stand by."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import psycopg

from streamledger.domain.errors import StoreUnavailable
from streamledger.ledger import reader
from streamledger.ledger.append import CHANNEL
from streamledger.postgres.connection import STORE_FAULTS
from streamledger.postgres.errors import LeaseLost, first_line
from streamledger.postgres.lease import Lease
from streamledger.readmodel.projections import checkpoints, unparking
from streamledger.readmodel.projections.checkpoints import ProjectionMoved
from streamledger.readmodel.projections.pace import Pace
from streamledger.readmodel.projections.reading import events_and_errors
from streamledger.readmodel.projections.statistics import tell_planner
from streamledger.readmodel.projections.view import Projection, ProjectionView

logger = logging.getLogger(__name__)

POLL_S: Final = 0.25
"""How long to sleep without a notification: LISTEN shortens the sleep, it is never relied on."""
STANDBY_S: Final = 1.0
GATHER_S: Final = 0.15
"""How long to let events gather while many come: a batch costs some milliseconds however small it is."""
BUSY_EVENTS_MIN: Final = 50
"""A batch of so many that was not full says that many events come, and that the runner keeps up with them."""
RECONNECT_S: Final = 0.5

INDEXES_ONLY: Final = (
    # The batch's look-ups are by key; a plan made on stale statistics must not scan a table of millions.
    "SET enable_seqscan = off",
    "SET enable_hashjoin = off",
    "SET enable_mergejoin = off",
    "SET enable_material = off",
    "SET enable_bitmapscan = off",
    "SET jit = off",
)


NOT_WAITING_FOR_DISK: Final = "SET synchronous_commit = off"
"""Rows and checkpoint are lost together when the database crashes, and made again from the ledger."""


LEASE: Final = "projector"
"""Who holds it is the active runner."""


class Runner:
    """Follows the ledger until it is told to stop; survives a restart of the database."""

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[Any]],
        schema: str,
        projections: Sequence[Projection],
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._connect = connect
        self._schema = schema
        self._projections = projections
        self._clock_us = clock_us
        self._stopping = threading.Event()
        self._pace = Pace()
        self._is_lost = False

    def stop(self) -> None:
        """End `run` after the batch in hand."""
        self._stopping.set()

    def run(self) -> None:
        """Follow the ledger; returns after `stop`."""
        while not self._stopping.is_set():
            try:
                with self._connect() as connection:
                    self._follow(connection)
            except (*STORE_FAULTS, StoreUnavailable) as error:
                if not self._is_lost:  # one line for an outage, however many tries
                    logger.warning("the projector lost the store, trying again: %s", first_line(error))
                self._is_lost = True
                self._stopping.wait(RECONNECT_S)
            except (ProjectionMoved, LeaseLost) as error:
                logger.warning("%s", error)
                self._stopping.wait(STANDBY_S)

    def _follow(self, connection: psycopg.Connection[Any]) -> None:
        for statement in (*INDEXES_ONLY, NOT_WAITING_FOR_DISK):
            connection.execute(statement)
        lease = Lease(connection, LEASE)
        if not self._become_active(lease):
            return
        try:
            self._take_in_all(connection, lease)
        finally:
            lease.release()

    def _take_in_all(self, connection: psycopg.Connection[Any], lease: Lease) -> None:
        """Follow the ledger while the lease lasts. Raises LeaseLost."""
        connection.execute(f"LISTEN {CHANNEL}_{self._schema}")
        positions = checkpoints.checkpoints(connection, self._projections)
        if self._is_lost:
            logger.warning("the projector has found the store again")
            self._is_lost = False
        self._look_back(connection)
        views = [projection(connection, self._schema) for projection in self._projections]
        while not self._stopping.is_set():
            lease.renew()
            before = min(positions.values())
            if not self.step(connection, views, positions):
                for _ in connection.notifies(timeout=POLL_S, stop_after=1):
                    pass
                # A rebuild up to a position puts checkpoints back, and then nothing new may come for long.
                positions.update(checkpoints.positions_of(connection, self._projections))
            elif BUSY_EVENTS_MIN <= min(positions.values()) - before < self._pace.size:
                self._stopping.wait(GATHER_S)

    def _become_active(self, lease: Lease) -> bool:
        """Wait for the runner's lease; False when told to stop meanwhile."""
        while not self._stopping.is_set():
            if lease.take():
                return True
            self._stopping.wait(STANDBY_S)
        return False

    def _look_back(self, connection: psycopg.Connection[Any]) -> None:
        """Try what another version parked, and say when a rebuild is due."""
        for each in self._projections:
            taken, left = unparking.retry_parked(
                connection, self._schema, each, self._clock_us(), only_of_other_versions=True
            )
            if taken or left:
                logger.info(
                    "projection %s: %s parked events taken in, %s failed again", each.name, taken, left
                )
            row = connection.execute(
                "SELECT fold_version, position FROM projections WHERE name = %s", (each.name,)
            ).fetchone()
            if row is not None and row[0] != each.version and row[1]:
                logger.warning(
                    "projection %s was made by version %s of its rules and this is version %s:"
                    " a rebuild is due (streamledger rebuild)",
                    each.name,
                    row[0],
                    each.version,
                )

    def step(
        self, connection: psycopg.Connection[Any], views: Sequence[ProjectionView], positions: dict[str, int]
    ) -> bool:
        """Let the views that lag most take in the next batch; False when there is nothing to take in.

        `positions` is moved along.
        """
        began_s = time.monotonic()
        after, lagging = checkpoints.laggards(positions, views)
        rows = reader.read_rows_after(connection, after, self._pace.size)
        if not rows:
            return False
        events, unreadable = events_and_errors(rows)
        until = rows[-1][0]
        checkpoints.project(
            connection,
            lagging,
            events,
            after=after,
            until=until,
            now_us=self._clock_us(),
            schema=self._schema,
            unreadable=unreadable,
        )
        positions.update({each.name: until for each in lagging})
        self._pace.note(len(rows), time.monotonic() - began_s)
        tell_planner(connection, after, until)
        return True


def catch_up(
    connection: psycopg.Connection[Any],
    schema: str,
    projections: Sequence[Projection],
    now_us: int = 0,
) -> int:
    """Let all projections take in everything that is in the ledger now; returns the position."""
    runner = Runner(lambda: connection, schema, projections, lambda: now_us)
    positions = checkpoints.checkpoints(connection, projections)
    views = [projection(connection, schema) for projection in projections]
    while runner.step(connection, views, positions):
        pass
    return min(positions.values())
