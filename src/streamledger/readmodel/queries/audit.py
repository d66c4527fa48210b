"""The audit: what was received on each day, and the deliveries that an auditor should look at."""

import time
from collections.abc import Callable, Sequence
from itertools import starmap
from typing import Any, Final

import msgspec
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from streamledger.domain.delivery_answers import AuditDay, AuditReport, SetAsideDelivery, Suspicious
from streamledger.domain.errors import ParameterInvalid
from streamledger.domain.forensic_words import in_words
from streamledger.domain.instants import instant_ms
from streamledger.ledger.quarantine import REASONS
from streamledger.readmodel.fold.columns import columns_of, repeat_row
from streamledger.readmodel.fold.judging import MS_A_DAY
from streamledger.readmodel.fold.rows import RepeatRow, evidence_of
from streamledger.readmodel.queries import delivery_presenters as answering
from streamledger.readmodel.queries.delivery_presenters import QUARANTINE_COLUMNS, Quarantined
from streamledger.readmodel.queries.delivery_rows import delivered_at, known_of
from streamledger.readmodel.queries.fetching import fetch, one_generation
from streamledger.readmodel.queries.pacing import made_of
from streamledger.readmodel.queries.sessions import LIMIT_DEFAULT

DAYS_DEFAULT: Final = 7
DAYS_MAX: Final = 400
"""Of one report."""

CLASS_FIELDS: Final = {
    "retry": "repeated",
    "late_retry": "late_retries",
    "twin": "twins",
    "replay": "replayed",
    "conflict": "conflicts",
    "released": "released",
}
"""Classes of the ledger and their fields in AuditDay; a first delivery has none of its own."""

SIGNED_EARLY: Final = "signed_early"
"""Listed like a class, although it is a mark on deliveries of any class."""
LEDGER_CLASSES: Final = ("late_retry", "replay", "conflict", "released", SIGNED_EARLY)
SUSPICIOUS_CLASSES: Final = (*LEDGER_CLASSES, *REASONS)
"""What can be listed: classes of the ledger, and reasons of the quarantine, fields of AuditDay too."""
LISTED_BY_DEFAULT: Final = tuple(
    name for name in SUSPICIOUS_CLASSES if name not in ("released", SIGNED_EARLY)
)
"""Without those signed early: where a sender's signatures are valid for less than 600 s, all of them are."""

LEDGER_DAYS_SQL: Final = (
    "SELECT day, judged_as, deliveries FROM delivery_days"
    " WHERE day >= %(from_ms)s::int8 / 86400000 AND day < %(to_ms)s::int8 / 86400000"
)
_OF_STREAM: Final = (
    "WHERE stream_id = %(stream_id)s AND received_ms >= %(from_ms)s::int8 AND received_ms < %(to_ms)s::int8"
)
STREAM_DAYS_SQL: Final = (
    # First deliveries have a row in the timeline each, all others in `repeats`; released ones in both.
    f"SELECT received_ms / 86400000, 'first', count(*) FROM timeline {_OF_STREAM} AND part = 0 GROUP BY 1"  # noqa: S608  # constants
    f" UNION ALL SELECT received_ms / 86400000, 'first', -count(*) FROM repeats {_OF_STREAM}"
    " AND judged_as = 'released' AND position = first_position GROUP BY 1"
    f" UNION ALL SELECT received_ms / 86400000, judged_as, count(*) FROM repeats {_OF_STREAM}"
    " AND judged_as <> 'first' GROUP BY 1, 2"
)
EARLY_DAYS_SQL: Final = (
    "SELECT received_ms / 86400000, count(*) FROM repeats WHERE signed_early"
    " AND received_ms >= %(from_ms)s::int8 AND received_ms < %(to_ms)s::int8 {stream}"
    " GROUP BY 1"
)
QUARANTINE_DAYS_SQL: Final = (
    "SELECT received_at_us / 86400000000, reason, count(*) FROM quarantine"
    " WHERE received_at_us >= %(from_ms)s::int8 * 1000 AND received_at_us < %(to_ms)s::int8 * 1000 {stream}"
    " GROUP BY 1, 2"
)
IN_STREAM: Final = "AND stream_id = %(stream_id)s"


class AuditScope(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries to audit: those received from `from_ms` on and before `to_ms`, in whole UTC days."""

    from_ms: int
    to_ms: int
    stream_id: str | None = None
    classes: Sequence[str] = LISTED_BY_DEFAULT

    @classmethod
    def of(
        cls,
        from_ms: int | None,
        to_ms: int | None,
        now_ms: int,
        *,
        stream_id: str | None = None,
        classes: Sequence[str] = LISTED_BY_DEFAULT,
    ) -> "AuditScope":
        """The scope between two times, of which either may be left open: up to now, and seven days of it."""
        end_ms = now_ms + 1 if to_ms is None else to_ms
        begin_ms = end_ms - 1 - (DAYS_DEFAULT - 1) * MS_A_DAY if from_ms is None else from_ms
        return cls(from_ms=begin_ms, to_ms=end_ms, stream_id=stream_id, classes=classes)

    def widened(self) -> "AuditScope":
        """The same over whole UTC days. Raises ParameterInvalid when they are none or too many."""
        first, end = self.from_ms // MS_A_DAY, -(-self.to_ms // MS_A_DAY)
        if not 0 < end - first <= DAYS_MAX:
            raise ParameterInvalid(
                name="from, to",
                expected=f"1 to {DAYS_MAX} days, the first before the last",
                got=f"{end - first}",
            )
        return msgspec.structs.replace(self, from_ms=first * MS_A_DAY, to_ms=end * MS_A_DAY)


class AuditQueries:
    """The audit, from the read model and the quarantine."""

    def __init__(
        self,
        pool: AsyncConnectionPool[AsyncConnection],
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._pool = pool
        self.now_ms = clock_ms
        """Up to when a report goes that names no end."""

    async def report(self, scope: AuditScope, limit: int = LIMIT_DEFAULT) -> AuditReport:
        """Days and suspicious deliveries of whole UTC days. Raises ParameterInvalid."""
        whole = scope.widened()
        tables = ("delivery_marks", "timeline", "repeats", "notifications", "delivery_days")
        async with one_generation(self._pool, *tables) as connection:
            days = await _days(connection, whole)
            suspicious = await _suspicious(connection, whole, limit + 1) if limit else []
        return AuditReport(
            from_=instant_ms(whole.from_ms),
            to=instant_ms(whole.to_ms),
            stream_id=scope.stream_id,
            days=days,
            suspicious=suspicious[:limit],
            more=len(suspicious) > limit,
        )


async def _days(connection: AsyncConnection, scope: AuditScope) -> list[AuditDay]:
    facts = {"from_ms": scope.from_ms, "to_ms": scope.to_ms, "stream_id": scope.stream_id}
    in_stream = scope.stream_id is not None
    ledger = await fetch(connection, STREAM_DAYS_SQL if in_stream else LEDGER_DAYS_SQL, facts)
    aside = await fetch(connection, QUARANTINE_DAYS_SQL.format(stream=IN_STREAM if in_stream else ""), facts)
    early = await fetch(connection, EARLY_DAYS_SQL.format(stream=IN_STREAM if in_stream else ""), facts)
    counts: dict[int, dict[str, int]] = {
        day: {} for day in range(scope.from_ms // MS_A_DAY, scope.to_ms // MS_A_DAY)
    }
    for day, judged_as, count in ledger:
        counted = counts[day]
        counted["believed"] = counted.get("believed", 0) + count
        if judged_as != "released":  # that one was received when it was set aside, and counts there
            counted["received"] = counted.get("received", 0) + count
        if judged_as in CLASS_FIELDS:
            counted[CLASS_FIELDS[judged_as]] = count
    for day, count in early:
        counts[day][SIGNED_EARLY] = count
    for day, reason, count in aside:
        counted = counts[day]
        counted["received"] = counted.get("received", 0) + count
        if reason in REASONS:
            counted[reason] = count
    return [
        AuditDay(day=instant_ms(day * MS_A_DAY)[:10], **counted) for day, counted in sorted(counts.items())
    ]


async def _suspicious(connection: AsyncConnection, scope: AuditScope, limit: int) -> list[Suspicious]:
    facts = {"from_ms": scope.from_ms, "to_ms": scope.to_ms, "stream_id": scope.stream_id, "limit": limit}
    in_stream = IN_STREAM if scope.stream_id is not None else ""
    found: list[tuple[int, str, RepeatRow | Quarantined]] = []
    for class_ in scope.classes:
        if class_ in LEDGER_CLASSES:
            rows = await fetch(connection, ledger_sql(class_, in_stream), facts)
            seen = {row.position for _, _, row in found if isinstance(row, RepeatRow)}
            found += [
                (row.received_ms, class_, row) for row in map(repeat_row, rows) if row.position not in seen
            ]
        else:
            ids = await fetch(connection, aside_sql(in_stream), {**facts, "reason": class_})
            found += [(row.received_at_us // 1000, class_, row) for row in starmap(Quarantined, ids)]
    found = sorted(found, key=lambda each: -each[0])[:limit]
    set_aside = [row for _, _, row in found if isinstance(row, Quarantined)]
    keys = await answering.keys_of(set_aside)
    known = await known_of(connection, list(set(keys.values())))
    positions = {row.first_position for _, _, row in found if isinstance(row, RepeatRow)}
    firsts = await delivered_at(connection, positions | {row.first_position for row in known.values()})

    def suspicious(each: tuple[int, str, RepeatRow | Quarantined]) -> Suspicious:
        _, class_, row = each
        if isinstance(row, RepeatRow):
            return _of_ledger(row, firsts.get(row.first_position))
        notification = known.get(keys[row.id]) if row.id in keys else None
        first = firsts.get(notification.first_position) if notification else None
        return _of_quarantine(class_, answering.set_aside(row, notification), first)

    return await made_of(found, suspicious)


def ledger_sql(class_: str, in_stream: str = "") -> str:
    """The latest deliveries of a class; the class is a constant, so that the partial index is recognised."""
    condition = SIGNED_EARLY if class_ == SIGNED_EARLY else f"judged_as = '{class_}'"
    return (
        f"SELECT {columns_of('repeats', 'd')} FROM repeats AS d WHERE {condition}"  # noqa: S608  # constant names, class of a fixed list
        f" AND received_ms >= %(from_ms)s::int8 AND received_ms < %(to_ms)s::int8 {in_stream}"
        " ORDER BY received_ms DESC, position DESC LIMIT %(limit)s"
    )


def aside_sql(in_stream: str = "") -> str:
    """The latest deliveries that were set aside for a reason."""
    return (
        f"SELECT {QUARANTINE_COLUMNS} FROM quarantine WHERE reason = %(reason)s"  # noqa: S608  # constant names
        " AND received_at_us >= %(from_ms)s::int8 * 1000 AND received_at_us < %(to_ms)s::int8 * 1000"
        f" {in_stream}"
        " ORDER BY received_at_us DESC, id DESC LIMIT %(limit)s"
    )


def _of_ledger(row: RepeatRow, first: RepeatRow | None) -> Suspicious:
    evidence = evidence_of(row)
    return Suspicious(
        class_=row.judged_as,
        position=row.position,
        received_at=instant_ms(row.received_ms),
        stream_id=row.stream_id or None,
        sequence=row.sequence or None,
        event_type=row.event_type,
        source_ip=row.source_ip,
        evidence=evidence,
        in_words=in_words(evidence, row.source_ip, row.first_position, first.source_ip if first else None),
        **_first(first),
    )


def _of_quarantine(class_: str, aside: SetAsideDelivery, first: RepeatRow | None) -> Suspicious:
    return Suspicious(
        class_=class_,
        quarantine_id=aside.id,
        received_at=aside.received_at,
        stream_id=aside.stream_id,
        sequence=aside.sequence,
        event_type=aside.event_type,
        source_ip=aside.source_ip,
        would_be=aside.class_,
        evidence=aside.evidence,
        in_words=aside.in_words,
        **_first(first),
    )


def _first(first: RepeatRow | None) -> dict[str, Any]:
    return {
        "first_position": first.position if first else None,
        "first_received_at": instant_ms(first.received_ms) if first else None,
        "first_source_ip": first.source_ip if first else None,
    }
