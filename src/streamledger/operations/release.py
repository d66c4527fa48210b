"""Release quarantined deliveries: an operator's decision to believe them, itself an event of the ledger.

The event keeps the time of receipt and the address; the quarantine keeps the evidence. Releasing twice
does nothing: the delivery id of the event follows from the quarantine's, and the row is marked in the
same transaction.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec
import psycopg

from streamledger.domain.errors import MalformedBody, StreamledgerError
from streamledger.domain.events import Delivery, Release, event_name, originator_of
from streamledger.ledger import append, mapper, quarantine
from streamledger.ledger.acts import COUNTER, Actor, act_event
from streamledger.ledger.append import NewEvent
from streamledger.ledger.quarantine import (
    Quarantined,
    QuarantinedUnknown,
    QuarantineFilter,
    released_delivery_id,
)
from streamledger.operations.believed import Believed, identity_of
from streamledger.operations.key_ring import KeyRing
from streamledger.tencent.envelope import read_envelope
from streamledger.tencent.judgement import Verdict, judge
from streamledger.tencent.signature import CallbackKey

PAGE_SIZE: Final = 200
"""Deliveries released in one transaction: the intake waits for the lock no longer than that takes."""

REASON_CHARACTERS_MAX: Final = 500
NOBODY: Final = (-(2**63), "00000000-0000-0000-0000-000000000000")


class ReleaseImpossible(StreamledgerError):
    """the quarantined delivery {id} cannot be released: {cause}"""


class KeyUnknown(StreamledgerError):
    """no callback key has the name {name}"""

    exit_code = 2


class ReleaseWish(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries to release; `wanted.released` is ignored, those released before are left alone."""

    wanted: QuarantineFilter
    verify_with: CallbackKey | None = None
    """Only what would have been believed (or set aside for the same reason) under this key at receipt."""
    first_only: bool = False
    """Only the first delivery of each notification, and none whose notification is in the ledger already."""
    limit: int | None = None
    """Deliveries released at most."""
    dry_run: bool = False
    grace_s: int = 0
    ahead_s_max: int = 900


class ReleaseReport(msgspec.Struct, kw_only=True):
    """What a release by filter did, or would do."""

    released: int = 0
    skipped: dict[str, int] = {}
    """By cause: unreadable, not_verified, repeated, believed_already, released_meanwhile."""
    first_position: int | None = None
    last_position: int | None = None
    dry_run: bool = False


def release_one(connection: psycopg.Connection[Any], schema: str, quarantine_id: str, actor: Actor) -> int:
    """Release one delivery; returns its position, that of the first release when it was released before.

    Raises QuarantinedUnknown, or ReleaseImpossible when its body cannot be read even now.
    """
    with connection.transaction(), connection.cursor() as cursor:
        append.take_lock(cursor, schema)
        rows = quarantine.lock_rows(cursor, [quarantine_id])
        if not rows:
            raise QuarantinedUnknown(id=quarantine_id)
        row = rows[0]
        if row.released_position is not None:
            return row.released_position
        try:
            event = event_of(row, actor)
        except MalformedBody as error:
            raise ReleaseImpossible(id=quarantine_id, cause=str(error)) from error
        subject = {"id": row.id, "reason": row.reason, "released": 1}
        return _append(connection, schema, [(row, event)], actor, subject)[0]


def release_by_filter(
    connection: psycopg.Connection[Any], schema: str, wish: ReleaseWish, actor: Actor
) -> ReleaseReport:
    """Release what the wish names, oldest first, in transactions of PAGE_SIZE; a repeated call goes on."""
    report = ReleaseReport(dry_run=wish.dry_run)
    wanted = msgspec.structs.replace(wish.wanted, released=False)
    believed = Believed(connection) if wish.first_only else None
    after = NOBODY
    while wish.limit is None or report.released < wish.limit:
        page = quarantine.select_after(connection, wanted, after, PAGE_SIZE)
        if not page:
            break
        after = (page[-1].received_at_us, page[-1].id)
        if wish.limit is not None:
            page = page[: wish.limit - report.released]
            after = (page[-1].received_at_us, page[-1].id)
        chosen = [row for row in page if _is_verified(row, wish, report)]
        if believed is not None:
            believed.read_tail()  # the most of it without the lock
        with connection.transaction(), connection.cursor() as cursor:
            append.take_lock(cursor, schema)
            rows = quarantine.lock_rows(cursor, [row.id for row in chosen])
            pairs = _choose(rows, believed, actor, report)
            if wish.dry_run or not pairs:
                report.released += len(pairs)
                continue
            subject = {"filter": _shown(wish), "released": len(pairs)}
            positions = _append(connection, schema, pairs, actor, subject)
        report.released += len(pairs)
        report.first_position = report.first_position or positions[0]
        report.last_position = positions[-1]
    return report


def event_of(row: Quarantined, actor: Actor, key: str | None = None) -> NewEvent:
    """The event that believing a quarantined delivery appends. Raises MalformedBody."""
    envelope = read_envelope(row.body)
    delivery = Delivery(
        body=row.body,
        received_at_us=row.received_at_us,
        source_ip=row.source_ip,
        key=key or row.key,
        t_passed=row.reason == Verdict.EXPIRED,
        mended=envelope.mended,
        release=Release(
            quarantine_id=row.id,
            quarantine_reason=row.reason,
            by=actor.by,
            reason=actor.reason,
            released_at_us=actor.at_us,
        ),
    )
    return NewEvent(
        originator_of(envelope.stream_id, envelope.event_type),
        event_name(envelope.event_type),
        mapper.encode(delivery),
        released_delivery_id(row.id),
    )


class Releases:
    """Releases on connections of their own, one a call; for an edge that has settings and a key ring."""

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[Any]],
        schema: str,
        ring: KeyRing,
        *,
        grace_s: int,
        ahead_s_max: int,
    ) -> None:
        self._connect = connect
        self._schema = schema
        self._ring = ring
        self._grace_s = grace_s
        self._ahead_s_max = ahead_s_max

    def one(self, quarantine_id: str, actor: Actor) -> int:
        """As `release_one`."""
        with self._connect() as connection:
            return release_one(connection, self._schema, quarantine_id, actor)

    def by_filter(
        self,
        wanted: QuarantineFilter,
        actor: Actor,
        *,
        verify_with: str | None = None,
        first_only: bool = False,
        limit: int | None = None,
        dry_run: bool = False,
    ) -> ReleaseReport:
        """As `release_by_filter`; `verify_with` names a key of the ring. Raises KeyUnknown."""
        key = None
        if verify_with is not None and (key := self._ring.named(verify_with)) is None:
            raise KeyUnknown(name=repr(verify_with))
        wish = ReleaseWish(
            wanted=wanted,
            verify_with=key,
            first_only=first_only,
            limit=limit,
            dry_run=dry_run,
            grace_s=self._grace_s,
            ahead_s_max=self._ahead_s_max,
        )
        with self._connect() as connection:
            return release_by_filter(connection, self._schema, wish, actor)


def _is_verified(row: Quarantined, wish: ReleaseWish, report: ReleaseReport) -> bool:
    """Judged as at receipt, had that key been the only one: believed, or set aside for the same reason."""
    if wish.verify_with is None:
        return True
    try:
        envelope = read_envelope(row.body)
    except MalformedBody:
        _skip(report, "unreadable")
        return False
    judgement = judge(
        envelope,
        [wish.verify_with],
        row.received_at_us / 1e6,
        wish.grace_s,
        wish.ahead_s_max,
        path_token_matched=False,
    )
    same = judgement.verdict.value == row.reason and judgement.key is not None
    if judgement.verdict is Verdict.BELIEVED or same:
        return True
    _skip(report, "not_verified")
    return False


def _choose(
    rows: list[Quarantined], believed: Believed | None, actor: Actor, report: ReleaseReport
) -> list[tuple[Quarantined, NewEvent]]:
    readable: list[tuple[Quarantined, NewEvent]] = []
    for row in rows:
        if row.released_at_us is not None:
            _skip(report, "released_meanwhile")
            continue
        try:
            readable.append((row, event_of(row, actor)))
        except MalformedBody:
            _skip(report, "unreadable")
    if believed is None:
        return readable
    identities = [identity_of(row.body) for row, _ in readable]
    in_ledger = believed.among(identities)
    chosen = []
    for (row, event), identity in zip(readable, identities, strict=True):
        if identity in in_ledger:
            _skip(report, "believed_already")
        elif not believed.choose(identity):
            _skip(report, "repeated")
        else:
            chosen.append((row, event))
    return chosen


def _append(
    connection: psycopg.Connection[Any],
    schema: str,
    pairs: list[tuple[Quarantined, NewEvent]],
    actor: Actor,
    subject: dict[str, object],
) -> list[int]:
    """Append the events and the act, count, and mark the rows; returns the positions of the events."""
    events = [event for _, event in pairs]
    act = act_event("quarantine-released", actor, subject)
    counts = {"released": len(events), COUNTER: 1}
    positions = append.append_events(connection, schema, [*events, act], counts)[: len(events)]
    with connection.cursor() as cursor:
        quarantine.mark_released(cursor, [row for row, _ in pairs], positions, actor)
    return positions


def _skip(report: ReleaseReport, cause: str) -> None:
    report.skipped[cause] = report.skipped.get(cause, 0) + 1


def _shown(wish: ReleaseWish) -> dict[str, object]:
    shown: dict[str, object] = {
        name: value
        for name, value in msgspec.structs.asdict(wish.wanted).items()
        if value is not None and name != "released"
    }
    if wish.verify_with is not None:
        shown["verify_with"] = wish.verify_with.name
    if wish.first_only:
        shown["first_only"] = True
    return shown
