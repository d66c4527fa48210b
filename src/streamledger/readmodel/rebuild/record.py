"""The table `rebuilds`: one row per rebuild, asked for, under way or ended, so that everybody can see it."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import msgspec
import psycopg

from streamledger.domain.errors import StreamledgerError
from streamledger.postgres import lease
from streamledger.postgres.connection import Database
from streamledger.postgres.errors import LeaseHeld

CHANNEL: Final = "rebuilds"
"""NOTIFY channel, with the schema's name behind it: a rebuild was asked for, moved on or ended."""

WRITE_EVERY_S: Final = 0.5
PACE_AFTER_S: Final = 0.2
"""For how long to have seen events done before a pace, and the time left, are told from them."""
LEASE: Final = "rebuild"
"""Held by the one rebuild, repair or verification."""


class RebuildUnderWay(StreamledgerError):
    """a rebuild of this ledger is under way already"""


class SwitchBlocked(StreamledgerError):
    """somebody reads the live tables for too long for the switch (a backup, an export?): nothing has changed,
    try again"""


class RebuildUnknown(StreamledgerError):
    """no rebuild has the id {id}"""

    exit_code = 4


class RebuildOver(StreamledgerError):
    """rebuild {id} is over: {state}"""


class Progress(msgspec.Struct, kw_only=True):
    """How far a rebuild has come. What is received meanwhile goes into the total as it is taken in."""

    phase: str = ""
    """folding, indexing, catching_up, switching; empty before and after."""
    events_done: int = 0
    events_total: int = 0
    events_per_s: float = 0.0
    """Of the fold, since its first events were done."""
    indexes_done: int = 0
    indexes_total: int = 0
    """Of the phase `indexing`."""
    indexes_left_s: float | None = None
    """Likewise, seconds until the indexes are there; None when nobody can say yet."""
    first_at_s: float | None = None
    """By the monotonic clock, when the first events were done: workers take a second to start, which says
    nothing about their pace."""
    events_first: int = 0
    position: int = 0
    """The last event that the totals count."""
    times: int = 1
    """How often they count each."""

    def begin(self, position: int, times: int) -> None:
        """Nothing is done yet of history up to a position."""
        self.position, self.times, self.events_total = position, times, position * times

    def reach(self, position: int) -> None:
        """What has come since is taken in up to this position, or was and is not any more."""
        more = (position - self.position) * self.times
        self.position = position
        self.events_total += more  # first: somebody may look on from another thread
        self.events_done += more

    def add(self, events: int, now_s: float) -> None:
        """So many more events were folded; tells the pace from them once it has been seen for long enough."""
        self.events_done += events
        if self.first_at_s is None:
            self.first_at_s, self.events_first = now_s, self.events_done
        elif now_s - self.first_at_s >= PACE_AFTER_S:
            self.events_per_s = max(0, self.events_done - self.events_first) / (now_s - self.first_at_s)

    @property
    def eta_s(self) -> float | None:
        """Seconds until the fold is through, or the indexes are there; None when nobody can say yet."""
        if self.phase == "indexing":
            return self.indexes_left_s
        if self.phase != "folding" or not self.events_per_s:
            return None
        return max(0, self.events_total - self.events_done) / self.events_per_s


NEXT_ID: Final = "coalesce(max(id), 0) + 1"
"""Of `rebuilds`: there are few, and a sequence would count on each node of a cluster by itself.

Rows stay, and only new ones are open. So of two who find that none is, and write theirs at once, both take
the same id: who comes second writes nothing, `ON CONFLICT (id) DO NOTHING`, and looks again.
"""
TRIES_MAX: Final = 10
"""How often to look again; each time somebody else has written a row meanwhile."""


class Record:
    """One rebuild's row, on a connection of its own."""

    def __init__(self, connection: psycopg.Connection[Any], schema: str, number: int) -> None:
        self._connection = connection
        self._schema = schema
        self.number = number
        self._written_s = 0.0
        self._cancel_asked = False

    def write(self, progress: Progress, *, now: bool = False) -> None:
        """Show how far it has come; not more often than `WRITE_EVERY_S` unless it matters now."""
        clock_s = time.monotonic()
        if not now and clock_s - self._written_s < WRITE_EVERY_S:
            return
        self._written_s = clock_s
        row = self._connection.execute(
            "UPDATE rebuilds SET phase = %s, events_done = %s, events_total = %s, events_per_s = %s,"
            " indexes_done = %s, indexes_total = %s, indexes_left_s = %s"
            " WHERE id = %s RETURNING cancel_asked",
            (
                progress.phase,
                progress.events_done,
                progress.events_total,
                round(progress.events_per_s, 1),
                progress.indexes_done,
                progress.indexes_total,
                progress.indexes_left_s,
                self.number,
            ),
        ).fetchone()
        self._cancel_asked = row is not None and bool(row[0])

    @property
    def cancel_asked(self) -> bool:
        """Whether somebody asked to cancel it, as of the last write."""
        return self._cancel_asked

    def mark_switched(
        self, connection: psycopg.Connection[Any], now_us: int, *, digests_equal: bool | None
    ) -> None:
        """Say in the switch's own transaction that it is done: whatever ends the process behind it."""
        connection.execute(
            "UPDATE rebuilds SET ended_at_us = %s, digests_equal = %s WHERE id = %s",
            (now_us, digests_equal, self.number),
        )

    @property
    def is_switched(self) -> bool:
        """Whether the switch was committed."""
        row = self._connection.execute(
            "SELECT ended_at_us IS NOT NULL FROM rebuilds WHERE id = %s", (self.number,)
        ).fetchone()
        return row is not None and bool(row[0])

    def end(
        self,
        state: str,
        now_us: int,
        held: lease.Lease,
        *,
        digests_equal: bool | None,
        error: str | None = None,
        differences: bytes | None = None,
    ) -> None:
        """Close the row and let the lease go, in one; `differences` is JSON."""
        with self._connection.transaction():
            self._connection.execute(
                "UPDATE rebuilds SET state = %s, phase = '', ended_at_us = %s, digests_equal = %s,"
                " error = %s, differences = %s::text::jsonb WHERE id = %s",
                (
                    state,
                    now_us,
                    digests_equal,
                    error,
                    None if differences is None else differences.decode(),
                    self.number,
                ),
            )
            held.let_go(self._connection)
            self._connection.execute("SELECT pg_notify(%s, '')", (f"{CHANNEL}_{self._schema}",))


@contextmanager
def only_one(database: Database) -> Iterator[lease.Lease]:
    """Nobody else rebuilds while this lasts. Raises RebuildUnderWay."""
    with ExitStack() as stack:
        try:
            taken = stack.enter_context(lease.held(database, LEASE))
        except LeaseHeld:
            raise RebuildUnderWay from None
        yield taken


def close_abandoned(connection: psycopg.Connection[Any], now_us: int) -> None:
    """Close the rows of rebuilds whose process is gone; only for the holder of the lease.

    One that was gone only when it had switched is done.
    """
    connection.execute(
        "UPDATE rebuilds SET state = 'done', phase = '' WHERE state = 'running' AND ended_at_us IS NOT NULL"
    )
    connection.execute(
        "UPDATE rebuilds SET state = 'failed', phase = '', ended_at_us = %s,"
        " error = 'its process ended before it did' WHERE state = 'running'",
        (now_us,),
    )


def is_any_running(connection: psycopg.Connection[Any]) -> bool:
    """Whether any rebuild says that it is under way; its process may be gone."""
    return connection.execute("SELECT FROM rebuilds WHERE state = 'running' LIMIT 1").fetchone() is not None


def begin(
    connection: psycopg.Connection[Any],
    schema: str,
    *,
    purpose: str,
    projections: list[str],
    asked_by: str,
    now_us: int,
    asked: int | None = None,
    to_position: int | None = None,
) -> Record:
    """Take a row, a new one or the one that was asked for; only for the holder of the lease.

    So rows that are still running belong to processes that are gone.
    """
    close_abandoned(connection, now_us)
    row = None
    if asked is None:
        for _ in range(TRIES_MAX):
            row = connection.execute(
                "INSERT INTO rebuilds"  # noqa: S608  # constant
                " (id, state, purpose, projections, asked_by, asked_at_us, started_at_us, to_position)"
                f" SELECT {NEXT_ID}, 'running', %s, %s, %s, %s, %s, %s FROM rebuilds"
                " ON CONFLICT (id) DO NOTHING RETURNING id",
                (purpose, projections, asked_by, now_us, now_us, to_position),
            ).fetchone()
            if row is not None:
                break
        else:
            raise RebuildUnderWay
    else:
        row = connection.execute(
            "UPDATE rebuilds SET state = 'running', started_at_us = %s"
            " WHERE id = %s AND state = 'asked' RETURNING id",
            (now_us, asked),
        ).fetchone()
    if row is None:  # cancelled before it began
        raise RebuildUnknown(id=asked)
    return Record(connection, schema, row[0])


def ask(
    connection: psycopg.Connection[Any], schema: str, *, projections: list[str], asked_by: str, now_us: int
) -> int:
    """Ask the running server for a rebuild; returns its id, or that of one that waits and does as much.

    Unlike `RebuildQueries.ask` it queues behind what else is asked for: nobody is there to try it again.
    """
    with connection.transaction():
        connection.execute("LOCK TABLE rebuilds IN SHARE ROW EXCLUSIVE MODE")
        row = connection.execute(
            "SELECT id FROM rebuilds WHERE state = 'asked' AND purpose = 'rebuild'"
            " AND projections @> %s::text[] ORDER BY id LIMIT 1",
            (projections,),
        ).fetchone()
        if row is None:
            row = connection.execute(
                "INSERT INTO rebuilds (id, state, purpose, projections, asked_by, asked_at_us)"  # noqa: S608  # constant
                f" SELECT {NEXT_ID}, 'asked', 'rebuild', %s, %s, %s FROM rebuilds RETURNING id",
                (projections, asked_by, now_us),
            ).fetchone()
        connection.execute("SELECT pg_notify(%s, '')", (f"{CHANNEL}_{schema}",))
    assert row is not None  # noqa: S101  # INSERT ... RETURNING
    return int(row[0])
