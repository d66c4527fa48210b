"""The projection's process: follows the ledger, one active runner at a time, others stand by."""

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import psycopg

from streamledger.domain.errors import StoreUnavailable
from streamledger.ledger import reader
from streamledger.ledger.append import CHANNEL
from streamledger.readmodel import projection, unparking
from streamledger.readmodel.pace import Pace
from streamledger.readmodel.projection import Projection, ProjectionMoved

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


def runner_lock_key(schema: str) -> int:
    """The session-level advisory lock of the active runner, as a signed 64-bit number."""
    digest = hashlib.blake2b(f"streamledger runner {schema}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


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

    def stop(self) -> None:
        """End `run` after the batch in hand."""
        self._stopping.set()

    def run(self) -> None:
        """Follow the ledger; returns after `stop`."""
        while not self._stopping.is_set():
            try:
                with self._connect() as connection:
                    self._follow(connection)
            except (psycopg.OperationalError, psycopg.InterfaceError, StoreUnavailable) as error:
                logger.warning(
                    "the projector lost the store, trying again: %s", str(error).partition("\n")[0]
                )
                self._stopping.wait(RECONNECT_S)
            except ProjectionMoved as error:
                logger.warning("%s", error)
                self._stopping.wait(STANDBY_S)

    def _follow(self, connection: psycopg.Connection[Any]) -> None:
        for statement in (*INDEXES_ONLY, NOT_WAITING_FOR_DISK):
            connection.execute(statement)
        if not self._become_active(connection):
            return
        connection.execute(f"LISTEN {CHANNEL}_{self._schema}")
        positions = projection.checkpoints(connection, self._projections)
        self._look_back(connection)
        while not self._stopping.is_set():
            before = min(positions.values())
            if not self.step(connection, positions):
                for _ in connection.notifies(timeout=POLL_S, stop_after=1):
                    pass
                # A rebuild up to a position puts checkpoints back, and then nothing new may come for long.
                positions.update(projection.positions_of(connection, self._projections))
            elif BUSY_EVENTS_MIN <= min(positions.values()) - before < self._pace.size:
                self._stopping.wait(GATHER_S)

    def _become_active(self, connection: psycopg.Connection[Any]) -> bool:
        """Wait for the runner's lock, which goes with the connection; False when told to stop meanwhile."""
        while not self._stopping.is_set():
            row = connection.execute(
                "SELECT pg_try_advisory_lock(%s)", (runner_lock_key(self._schema),)
            ).fetchone()
            if row is not None and row[0]:
                return True
            self._stopping.wait(STANDBY_S)
        return False

    def _look_back(self, connection: psycopg.Connection[Any]) -> None:
        """Try what another version parked, and say when a rebuild is due."""
        for each in self._projections:
            taken, left = unparking.retry_parked(
                connection, each, self._clock_us(), only_of_other_versions=True
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

    def step(self, connection: psycopg.Connection[Any], positions: dict[str, int]) -> bool:
        """Let the projections that lag most take in the next batch; False when there is nothing to take in.

        `positions` is moved along.
        """
        began_s = time.monotonic()
        after, lagging = projection.laggards(positions, self._projections)
        rows = reader.read_rows_after(connection, after, self._pace.size)
        if not rows:
            return False
        events, undecoded = reader.events_and_errors(rows)
        position = projection.project(
            connection,
            lagging,
            events,
            after=after,
            now_us=self._clock_us(),
            schema=self._schema,
            undecoded=undecoded,
        )
        positions.update({each.name: position for each in lagging})
        self._pace.note(len(rows), time.monotonic() - began_s)
        return True


def catch_up(
    connection: psycopg.Connection[Any],
    schema: str,
    projections: Sequence[Projection],
    now_us: int = 0,
) -> int:
    """Let all projections take in everything that is in the ledger now; returns the position."""
    runner = Runner(lambda: connection, schema, projections, lambda: now_us)
    positions = projection.checkpoints(connection, projections)
    while runner.step(connection, positions):
        pass
    return min(positions.values())
