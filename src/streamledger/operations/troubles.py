"""What is not as it should be although deliveries are stored: lag, parked events, a clock that is off."""

from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg

from streamledger.domain.errors import MalformedBody
from streamledger.ledger import reader
from streamledger.ledger.quarantining import SIGNED_REASONS
from streamledger.operations.agreement import disagreement
from streamledger.postgres.disk_space import MEBIBYTE, free_bytes, level_of
from streamledger.readmodel.projections.checkpoints import positions_of
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.tencent.clock import Signing, judge_clock
from streamledger.tencent.envelope import read_envelope

LAG_S_MAX: Final = 30
"""How long an event may wait to be taken in by the read model."""
CLOCK_WINDOW_S: Final = 600
LOOKED_AT_MAX: Final = 100
"""Of the latest deliveries, believed and set aside ones each."""

_LATEST_SQL: Final = f"SELECT {reader.COLUMNS} FROM ledger_events ORDER BY notification_id DESC LIMIT %b"  # noqa: S608  # constant columns
_SET_ASIDE_SQL: Final = (
    "SELECT received_at_us, body FROM quarantine WHERE reason = ANY(%b) AND received_at_us BETWEEN %b AND %b"
    " ORDER BY received_at_us DESC LIMIT %b"
)


class Trouble(msgspec.Struct, frozen=True):
    """One thing that is not as it should be; `what` is projector, parked, clock, disk, settings or task."""

    what: str
    detail: str


def stored_troubles(connection: psycopg.Connection[Any], now_us: int) -> list[Trouble]:
    """What the store tells."""
    found = (
        _lag(connection, now_us),
        parked_trouble(connection),
        clock_trouble(connection, now_us),
        settings_trouble(connection),
    )
    return [each for each in found if each is not None]


def last_received_us(connection: psycopg.Connection[Any]) -> int:
    """When the latest delivery of the ledger was received; 0 while there is none."""
    rows = connection.execute(_LATEST_SQL, (1,), binary=True).fetchall()
    return max((event.delivery.received_at_us for event in reader.events_and_errors(rows)[0]), default=0)


def settings_trouble(connection: psycopg.Connection[Any]) -> Trouble | None:
    """Nodes that go by different settings."""
    found = disagreement(connection)
    return None if found is None else Trouble("settings", found)


def disk_trouble(data_dir: Path | None) -> Trouble | None:
    """An embedded store whose disk is nearly full."""
    if data_dir is None or level_of(data_dir) != "nearly full":
        return None
    free = (free_bytes(data_dir) or 0) // MEBIBYTE
    return Trouble("disk", f"the disk of the store is nearly full: {free} MiB free")


def _lag(connection: psycopg.Connection[Any], now_us: int) -> Trouble | None:
    head = connection.execute(reader.HEAD_SQL).fetchone()
    found = positions_of(connection, PROJECTIONS)
    position = min(found.get(projection.name, 0) for projection in PROJECTIONS)
    if head is None or position >= head[0]:
        return None
    events, _ = reader.events_and_errors(reader.read_rows_after(connection, position, 1))
    age_s = (now_us - events[0].delivery.received_at_us) // 1_000_000 if events else 0
    if age_s <= LAG_S_MAX:
        return None
    behind = f"{head[0] - position} events and {age_s} s"
    return Trouble("projector", f"the read model is {behind} behind the ledger")


def parked_trouble(connection: psycopg.Connection[Any]) -> Trouble | None:
    """Poison events that wait for a better version."""
    row = connection.execute("SELECT count(*) FROM parked").fetchone()
    if row is None or not row[0]:
        return None
    return Trouble("parked", f"{row[0]} events are parked: the read model could not take them in")


def clock_trouble(connection: psycopg.Connection[Any], now_us: int) -> Trouble | None:
    """A clock that stands beside the sender's, as the deliveries of the last minutes tell."""
    since_us = now_us - CLOCK_WINDOW_S * 1_000_000
    rows = connection.execute(_LATEST_SQL, (LOOKED_AT_MAX,), binary=True).fetchall()
    events = reader.events_and_errors(rows)[0]
    if len(events) == LOOKED_AT_MAX:
        # Where so many came within a second they share few signatures, and what was set aside in minutes
        # has one each: both must be of the same time, or the few late ones outvote them.
        since_us = max(since_us, min(event.delivery.received_at_us for event in events))
    found = [
        (event.delivery.received_at_us, event.delivery.body)
        for event in events
        # What the clock called later than now was received before it was put back.
        if event.delivery.believed.by == "key" and since_us <= event.delivery.received_at_us <= now_us
    ]
    found += connection.execute(
        _SET_ASIDE_SQL, (sorted(SIGNED_REASONS), since_us, now_us, LOOKED_AT_MAX)
    ).fetchall()
    found.sort(reverse=True)
    signings = [_signing(received_at_us, bytes(body)) for received_at_us, body in found]
    off = judge_clock(each for each in signings if each is not None)
    return None if off is None else Trouble("clock", str(off))


def _signing(received_at_us: int, body: bytes) -> Signing | None:
    try:
        envelope = read_envelope(body)
    except MalformedBody:
        return None
    if envelope.t is None or envelope.sign is None:
        return None
    return Signing(envelope.t, envelope.sign, received_at_us / 1e6)
