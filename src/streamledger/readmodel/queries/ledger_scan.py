"""Deliveries looked for in the ledger itself, newest first: first ones have no row in the read model.

A stream's are found by its own index, those of a sender or a time by the positions that `senders` names. What
one page looks through is bounded; the next goes on from there.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec
from psycopg import AsyncConnection

from streamledger.domain.events import LedgerEvent, event_name, is_notification, originator_of
from streamledger.ledger import reader
from streamledger.readmodel.fold.rows import RepeatRow
from streamledger.readmodel.queries.fetching import fetch, given
from streamledger.readmodel.queries.shown_events import READ_BYTES_MAX, bounded_sql

CHUNK_EVENTS: Final = 500
SCANNED_MAX: Final = 20_000
"""Events that one page looks through."""
RANGES_MAX: Final = 2000
"""Minutes of a sender that one page looks at."""
POSITION_MAX: Final = 2**63 - 1

_STREAM_SQL: Final = bounded_sql(
    "originator_id = %(stream_id)s AND originator_version < %(version)s AND notification_id < %(before)s",
    "originator_version DESC",
)
_RANGE_SQL: Final = bounded_sql(
    "notification_id < %(before)s AND notification_id >= %(first)s"
    " AND (%(source)s::bytea IS NULL OR position(%(source)s::bytea IN state) > 0)"
    " AND (%(key)s::bytea IS NULL OR position(%(key)s::bytea IN state) > 0)",
    "notification_id DESC",
)
_RANGES_SQL: Final = (
    "SELECT first_position, last_position FROM senders WHERE {conditions} AND first_position < %(before)s"
    " ORDER BY last_position DESC LIMIT %(ranges)s"
)

_SENDERS: Final = {
    "source_ip": "source_ip = %(source_ip)s",
    "key": "callback_key = %(key)s",
    "from_ms": "minute_ms >= %(from_ms)s::int8 / 60000 * 60000",
    "to_ms": "minute_ms < %(to_ms)s::int8",
}

_packed: Final = msgspec.msgpack.Encoder().encode


class DeliveryFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries to list; times are those of receipt, in milliseconds, `to_ms` is not included."""

    class_: str | None = None
    """One of `DeliveryClass`."""
    stream_id: str | None = None
    sequence: str | None = None
    key: str | None = None
    """Name of the callback key that verified them."""
    source_ip: str | None = None
    event_type: int | None = None
    from_ms: int | None = None
    to_ms: int | None = None

    def may_fit(self, event: LedgerEvent) -> bool:
        """Whether an event can be among them, as far as its envelope says."""
        received_ms = event.delivery.received_at_us // 1000
        return (
            is_notification(event.name)
            and (self.event_type is None or event.name == event_name(self.event_type))
            and (self.key is None or event.delivery.key == self.key)
            and (self.source_ip is None or event.delivery.source_ip == self.source_ip)
            and (self.from_ms is None or received_ms >= self.from_ms)
            and (self.to_ms is None or received_ms < self.to_ms)
        )

    def fits(self, row: RepeatRow) -> bool:
        """Whether a delivery is among them."""
        return (
            (self.class_ is None or row.judged_as == self.class_)
            and (self.stream_id is None or row.stream_id == self.stream_id)
            and (self.sequence is None or row.sequence == self.sequence)
            and (self.key is None or row.callback_key == self.key)
            and (self.source_ip is None or row.source_ip == self.source_ip)
            and (self.event_type is None or row.event_type == self.event_type)
            and (self.from_ms is None or row.received_ms >= self.from_ms)
            and (self.to_ms is None or row.received_ms < self.to_ms)
        )


class Scanned(msgspec.Struct, frozen=True):
    """Some events that fit, newest first, and where the search is by now."""

    events: list[LedgerEvent]
    position: int
    """Everything from here on has been looked through."""
    version: int
    """Of a stream: likewise."""


async def scan(
    connection: AsyncConnection,
    wanted: DeliveryFilter,
    before: int,
    version: int = POSITION_MAX,
    *,
    first_chunk: int = CHUNK_EVENTS,
    searched_max: int = SCANNED_MAX,
) -> AsyncIterator[Scanned]:
    """Chunks of what fits before a position; ends when nothing is left, or enough was looked through.

    The first chunk is as small as what is wanted, since most often all of it fits; later ones are larger.
    """
    chunk = min(first_chunk, CHUNK_EVENTS)
    ranges = [(0, POSITION_MAX)]
    if wanted.stream_id is None:
        ranges = await _ranges(connection, wanted, before)
    looked = 0
    for first, last in ranges:
        before = min(before, last + 1)
        while before > first and looked < searched_max:
            rows = await _chunk(connection, wanted, first, before, version, chunk)
            # What cannot be decoded is parked, and told by the projection's status.
            events = [event for event in reader.events_and_errors(rows)[0] if wanted.may_fit(event)]
            ended = len(rows) < chunk and sum(len(row[4]) for row in rows) < READ_BYTES_MAX
            if ended:
                before, version = first, 0
            else:
                before, version = rows[-1][0], rows[-1][2]
            looked += len(rows)
            chunk = min(2 * chunk, CHUNK_EVENTS)
            yield Scanned(events, before, version)
            if ended:
                break
        if looked >= searched_max:
            return


async def _chunk(
    connection: AsyncConnection, wanted: DeliveryFilter, first: int, before: int, version: int, limit: int
) -> list[reader.Row]:
    facts: dict[str, Any] = {"before": before, "first": first, "limit": limit}
    if wanted.stream_id is not None:
        facts |= {"stream_id": originator_of(wanted.stream_id, 0), "version": version}
        return await fetch(connection, _STREAM_SQL, facts)
    # As texts stand in a stored state: what fits in passing is looked at again once it is read.
    facts |= {
        "source": None if wanted.source_ip is None else _packed(wanted.source_ip),
        "key": None if wanted.key is None else _packed(wanted.key),
    }
    return await fetch(connection, _RANGE_SQL, facts)


async def _ranges(connection: AsyncConnection, wanted: DeliveryFilter, before: int) -> list[tuple[int, int]]:
    """Where to look, the newest first: all of the ledger, or where a time or a sender has its positions."""
    conditions = given(_SENDERS, msgspec.structs.asdict(wanted))
    if not conditions:
        return [(0, POSITION_MAX)]
    facts = {**msgspec.structs.asdict(wanted), "before": before, "ranges": RANGES_MAX}
    found = await fetch(connection, _RANGES_SQL.format(conditions=" AND ".join(conditions)), facts)
    return _merged(found)


def _merged(ranges: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """The same ranges without overlaps, the last first."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(((each[0], each[1]) for each in ranges), key=lambda each: -each[1]):
        if merged and last >= merged[-1][0] - 1:
            merged[-1] = (min(first, merged[-1][0]), merged[-1][1])
        else:
            merged.append((first, last))
    return merged
