"""What came in lately, believed or set aside, in one list: each with how it was answered."""

from collections import Counter
from collections.abc import Sequence
from heapq import merge
from typing import Any, Final

import msgspec
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from streamledger.domain.delivery_answers import DeliveryAnswer
from streamledger.domain.events import LedgerEvent
from streamledger.domain.forensics import Evidence
from streamledger.domain.instants import instant_us, parse_instant_ms
from streamledger.readmodel.projections.tallies import MINUTE_MS
from streamledger.readmodel.queries.cursors import decode_cursor, encode_cursor
from streamledger.readmodel.queries.deliveries import DeliveryQueries, Received, received_by
from streamledger.readmodel.queries.fetching import fetch, given
from streamledger.readmodel.queries.ledger_scan import DeliveryFilter
from streamledger.readmodel.queries.shown_events import events_at

SEARCHED_MAX: Final = 1000
"""Deliveries that one page of the list looks through: it must be quick whatever is asked for."""
ASIDE_COUNTED_MAX: Final = 5000
"""Quarantined deliveries of the last hour that its plot counts: an outage may have left more."""
MINUTES: Final = 60
ANSWERED: Final = {
    "expired": 200,
    "too_far_ahead": 200,
    "bad_signature": 403,
    "unsigned": 403,
    "malformed": 400,
}
"""The status with which a delivery was answered that was set aside, by reason; what is believed is a 200."""
_LISTING: Final = "arrivals-aside"
_ASIDE_SQL: Final = (
    # The newest are found by their receipt; what else is asked for is looked for among so many of them.
    "SELECT id::text, reason, received_at_us, source_ip, key, event_type, stream_id, sequence, bytes,"
    " released_position FROM (SELECT * FROM quarantine WHERE {conditions}"
    " ORDER BY received_at_us DESC, id DESC LIMIT %(searched)s) AS looked"
    " WHERE (%(source_ip)s::text IS NULL OR source_ip = %(source_ip)s)"
    " AND (%(sequence)s::text IS NULL OR sequence = %(sequence)s)"
    " AND (%(event_type)s::int8 IS NULL OR event_type = %(event_type)s)"
    " ORDER BY received_at_us DESC, id DESC LIMIT %(limit)s"
)
_ASIDE_LOOKED_SQL: Final = (
    # The last of those that were looked through, where there may be more.
    "SELECT received_at_us, id::text FROM quarantine WHERE {conditions}"
    " ORDER BY received_at_us DESC, id DESC OFFSET %(searched)s - 1 LIMIT 1"
)
_ASIDE: Final = {
    "class_": "reason = %(class_)s",
    "stream_id": "stream_id = %(stream_id)s",
    "from_ms": "received_at_us >= %(from_ms)s::int8 * 1000",
    "to_ms": "received_at_us < %(to_ms)s::int8 * 1000",
}
_MINUTES_SQL: Final = (
    "SELECT minute_ms, sum(deliveries)::int8 FROM minutes WHERE minute_ms >= %(from_ms)s::int8 GROUP BY 1"
)
_MINUTES_ASIDE_SQL: Final = (
    "SELECT received_at_us / 60000000 * 60000, reason, count(*) FROM (SELECT received_at_us, reason"
    " FROM quarantine WHERE received_at_us >= %(from_ms)s::int8 * 1000"
    " ORDER BY received_at_us DESC LIMIT %(most)s) AS latest GROUP BY 1, 2"
)


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery as it came: believed, with its position, or set aside, with its id."""

    received_at: str
    class_: str = msgspec.field(name="class")
    """Of one that was believed its class, of one set aside the reason."""
    verdict: str
    """believed or set_aside"""
    answered: int | None
    """The HTTP status that it was answered with; null of what an import brought."""
    event_type: int | None
    stream_id: str | None
    sequence: str | None
    source_ip: str
    key: str | None
    position: int | None = None
    quarantine_id: str | None = None
    released_position: int | None = None
    try_: int | None = msgspec.field(name="try", default=None)
    first_position: int | None = None
    by: str | None = None
    """How it was believed: key, path_token, unchecked, release or import."""
    late: str | None = None
    bytes: int | None = None
    evidence: Evidence = Evidence()


class ArrivalFilter(DeliveryFilter, frozen=True, kw_only=True):
    """Which arrivals are wanted; `class_` may be a reason of those set aside."""

    verdict: str | None = None
    """believed, set_aside, or None for both"""


class Arrivals(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the list."""

    items: list[Arrival]
    next_cursor: str | None
    searched: int | None = None
    """How many were looked through, where more may fit than were found."""
    more_aside: bool = False
    """Whether more were set aside in the time of this page than it shows."""


class LastHour(msgspec.Struct, frozen=True, kw_only=True):
    """The last hour by minute, oldest first."""

    from_ms: int
    believed: list[int]
    aside: list[int]
    reasons: dict[str, int]
    at_least: bool
    """Whether more were set aside than are counted."""


class ArrivalQueries:
    """Reading queries about what came in."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection]) -> None:
        self._pool = pool

    async def last_hour(self, now_ms: int) -> LastHour:
        """How many came in each minute."""
        from_ms = now_ms // MINUTE_MS * MINUTE_MS - (MINUTES - 1) * MINUTE_MS
        facts = {"from_ms": from_ms, "most": ASIDE_COUNTED_MAX}
        async with self._pool.connection() as connection:
            rows = await fetch(connection, _MINUTES_SQL, facts)
            aside_rows = await fetch(connection, _MINUTES_ASIDE_SQL, facts)
        believed, aside, reasons = [0] * MINUTES, [0] * MINUTES, Counter[str]()
        for minute_ms, count in rows:
            if 0 <= (place := (minute_ms - from_ms) // MINUTE_MS) < MINUTES:
                believed[place] += count
        for minute_ms, reason, count in aside_rows:
            aside[min((minute_ms - from_ms) // MINUTE_MS, MINUTES - 1)] += count
            reasons[reason] += count
        return LastHour(
            from_ms=from_ms,
            believed=believed,
            aside=aside,
            reasons=dict(reasons.most_common()),
            at_least=sum(aside) >= ASIDE_COUNTED_MAX,
        )

    async def latest(self, wanted: ArrivalFilter, limit: int, cursor: str | None = None) -> Arrivals:
        """The newest first. Raises CursorInvalid.

        Believed ones by position; beside them what was set aside in the time of the page.
        """
        is_reason = wanted.class_ in ANSWERED
        if wanted.verdict == "set_aside" or is_reason:
            return await self._set_aside(wanted, limit, cursor)
        page, received = await DeliveryQueries(self._pool).as_received(wanted, limit, cursor, SEARCHED_MAX)
        rare = [each.position for each in page.items if each.position not in received]
        if rare:  # found by their rows alone
            async with self._pool.connection() as connection:
                events = await events_at(connection, rare)
            received |= received_by(each for each in events.values() if isinstance(each, LedgerEvent))
        believed = [_believed(each, received.get(each.position)) for each in page.items]
        more_aside = False
        if wanted.verdict is None and wanted.class_ is None:
            aside = await self._beside(wanted, believed, limit, cursor=cursor, ended=page.next_cursor is None)
            more_aside = len(aside) > limit
            believed = merged(believed, aside[:limit])
        return Arrivals(
            items=believed,
            next_cursor=page.next_cursor,
            searched=SEARCHED_MAX if page.next_cursor and len(page.items) < limit else None,
            more_aside=more_aside,
        )

    async def _beside(
        self,
        wanted: ArrivalFilter,
        believed: Sequence[Arrival],
        limit: int,
        *,
        cursor: str | None,
        ended: bool,
    ) -> list[Arrival]:
        """What was set aside from the last of a page of believed ones to its first, or to now."""
        from_ms, to_ms = wanted.from_ms, wanted.to_ms
        if believed:
            times = [parse_instant_ms(each.received_at) for each in believed]
            if not ended:
                from_ms = max(from_ms or 0, times[-1])
            if cursor is not None:
                to_ms = min(to_ms or times[0], times[0])
        elif cursor is not None:
            return []
        narrowed = msgspec.structs.replace(wanted, from_ms=from_ms, to_ms=to_ms)
        return [_aside(row) for row in await self._aside_rows(narrowed, limit + 1, {}, [])]

    async def _set_aside(self, wanted: ArrivalFilter, limit: int, cursor: str | None) -> Arrivals:
        facts: dict[str, Any] = {}
        conditions = []
        if cursor is not None:
            after_us, after_id = decode_cursor(_LISTING, cursor, (int, str))
            conditions.append("(received_at_us, id) < (%(after_us)s::int8, %(after_id)s::uuid)")
            facts = {"after_us": after_us, "after_id": after_id}
        found = await self._aside_rows(wanted, limit + 1, facts, conditions)
        items = list(map(_aside, found[:limit]))
        if len(found) > limit:
            last = found[limit - 1]
            return Arrivals(items=items, next_cursor=encode_cursor(_LISTING, [last[2], last[0]]))
        looked = await self._aside_rows(wanted, limit, facts, conditions, _ASIDE_LOOKED_SQL)
        if not looked:
            return Arrivals(items=items, next_cursor=None)
        return Arrivals(
            items=items, next_cursor=encode_cursor(_LISTING, list(looked[0])), searched=SEARCHED_MAX
        )

    async def _aside_rows(
        self,
        wanted: ArrivalFilter,
        limit: int,
        facts: dict[str, Any],
        conditions: list[str],
        template: str = _ASIDE_SQL,
    ) -> list[tuple[Any, ...]]:
        asked = msgspec.structs.asdict(wanted)
        facts = {**facts, **asked, "limit": limit, "searched": SEARCHED_MAX}
        conditions = [*conditions, "true", *given(_ASIDE, asked)]
        sql = template.format(conditions=" AND ".join(conditions))
        async with self._pool.connection() as connection:
            return await fetch(connection, sql, facts, prepare=False)


def merged(believed: Sequence[Arrival], aside: Sequence[Arrival]) -> list[Arrival]:
    """Both lists in one: each keeps its order, and of the two next ones the later comes first."""
    return list(merge(aside, believed, key=lambda each: parse_instant_ms(each.received_at), reverse=True))


def _believed(answer: DeliveryAnswer, received: Received | None) -> Arrival:
    by = received.by if received else None
    return Arrival(
        received_at=answer.received_at,
        class_=answer.class_,
        verdict="believed",
        # What was released had been answered when it was set aside.
        answered=None if by in ("import", "release") else 200,
        event_type=answer.event_type,
        stream_id=answer.stream_id,
        sequence=answer.sequence,
        source_ip=answer.source_ip,
        key=answer.key,
        position=answer.position,
        try_=answer.try_,
        first_position=answer.first_position,
        by=by,
        late=received.late if received else None,
        bytes=received.bytes if received else None,
        evidence=answer.evidence,
    )


def _aside(row: Sequence[Any]) -> Arrival:
    quarantine_id, reason, received_at_us, source_ip, key, event_type, stream_id, sequence, size, position = (
        row
    )
    return Arrival(
        received_at=instant_us(received_at_us),
        class_=reason,
        verdict="set_aside",
        answered=ANSWERED[reason],
        event_type=event_type,
        stream_id=stream_id,
        sequence=sequence,
        source_ip=source_ip,
        key=key,
        quarantine_id=quarantine_id,
        released_position=position,
        bytes=size,
    )
