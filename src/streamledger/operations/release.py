"""Release quarantined deliveries: an operator's decision to believe them, itself an event of the ledger.

The event keeps the time of receipt and the address; the quarantine keeps the evidence. Releasing twice
does nothing: the delivery id of the event follows from the quarantine's, and the row is marked in the
same transaction.
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import psycopg

from streamledger.domain.errors import MalformedBody, ParameterInvalid, StoreUnavailable, StreamledgerError
from streamledger.domain.events import Belief, Delivery, DeliveryEvent, Release, originator_of
from streamledger.ledger import append, quarantine, quarantining, reader
from streamledger.ledger.acts import Actor
from streamledger.ledger.application import Ledger
from streamledger.ledger.mapper import event_class
from streamledger.ledger.quarantine import (
    Quarantined,
    QuarantinedUnknown,
    QuarantineFilter,
    released_delivery_id,
)
from streamledger.operations.believed import Believed, identity_of
from streamledger.operations.key_ring import KeyRing
from streamledger.postgres.connection import STORE_FAULTS
from streamledger.postgres.errors import first_line
from streamledger.readmodel.queries.fetching import can_be_held
from streamledger.tencent.envelope import read_envelope
from streamledger.tencent.judgement import Judgement, Verdict, judge
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
    """What a release did, or would do."""

    released: int = 0
    skipped: dict[str, int] = {}
    """By cause: unreadable, not_verified, key_not_valid_then, repeated, believed_already, released_before."""
    first_position: int | None = None
    last_position: int | None = None
    dry_run: bool = False


def release_one(
    connection: psycopg.Connection[Any],
    ledger: Ledger,
    quarantine_id: str,
    actor: Actor,
    *,
    dry_run: bool = False,
) -> ReleaseReport:
    """Release one delivery; one that was released before is left alone, its position is told.

    Raises QuarantinedUnknown, ParameterInvalid, or ReleaseImpossible when its body cannot be read even now.
    """
    try:
        uuid.UUID(quarantine_id)
    except ValueError as error:
        raise ParameterInvalid(name="id", expected="a UUID", got=repr(quarantine_id[:64])) from error
    report = ReleaseReport(dry_run=dry_run)
    with connection.transaction(), connection.cursor() as cursor:
        quarantining.hold(cursor)
        append.take_head(cursor)
        rows = quarantine.lock_rows(cursor, [quarantine_id])
        if not rows:
            raise QuarantinedUnknown(id=quarantine_id)
        row = rows[0]
        position = row.released_position or _released_elsewhere(cursor, rows).get(row.id)
        if position is not None:
            _skip(report, "released_before")
            report.first_position = report.last_position = position
            if row.released_position is None and not dry_run:
                quarantine.mark_released(cursor, rows, [position], actor)
            return report
        try:
            event = event_of(row, actor)
        except MalformedBody as error:
            raise ReleaseImpossible(id=quarantine_id, cause=str(error)) from error
        report.released = 1
        if not dry_run:
            subject = {"id": row.id, "reason": row.reason, "released": 1}
            report.first_position = ledger.release(connection, [(row, event)], actor, subject)[0]
            report.last_position = report.first_position
    return report


def release_by_filter(
    connection: psycopg.Connection[Any], ledger: Ledger, wish: ReleaseWish, actor: Actor
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
        chosen = _verified(page, wish, report)
        if not chosen:
            continue  # a page of strangers' forgeries need not hold up the intake
        if believed is not None:
            believed.read_tail()  # the most of it without the lock
        with connection.transaction(), connection.cursor() as cursor:
            quarantining.hold(cursor)
            append.take_head(cursor)
            rows = quarantine.lock_rows(cursor, list(chosen))
            known = _released_elsewhere(cursor, rows)
            if known and not wish.dry_run:
                imported = [row for row in rows if row.id in known]
                quarantine.mark_released(cursor, imported, [known[row.id] for row in imported], actor)
            unknown = [row for row in rows if row.id not in known]
            pairs = _choose(unknown, chosen, believed, actor, report)
            if known:
                report.skipped["released_before"] = report.skipped.get("released_before", 0) + len(known)
            if wish.dry_run or not pairs:
                report.released += len(pairs)
                continue
            subject = {"filter": _shown(wish), "released": len(pairs)}
            positions = ledger.release(connection, pairs, actor, subject)
        report.released += len(pairs)
        report.first_position = report.first_position or positions[0]
        report.last_position = positions[-1]
    return report


def event_of(row: Quarantined, actor: Actor, judgement: Judgement | None = None) -> DeliveryEvent:
    """The event that believing a quarantined delivery appends; `judgement` is a later one than at receipt.

    Raises MalformedBody.
    """
    envelope = read_envelope(row.body)
    t_passed = row.reason == Verdict.EXPIRED if judgement is None else judgement.t_passed
    release = Release(
        quarantine_id=row.id,
        quarantine_reason=row.reason,
        by=actor.by,
        reason=actor.reason,
        released_at_us=actor.at_us,
    )
    delivery = Delivery(
        body=row.body,
        received_at_us=row.received_at_us,
        source_ip=row.source_ip,
        believed=Belief(
            "release",
            row.key if judgement is None else judgement.key,
            late="expired" if t_passed else None,
            release=release,
        ),
        mended=envelope.mended,
        headers=row.headers,
    )
    return event_class(envelope.event_type)(
        originator_id=originator_of(envelope.stream_id, envelope.event_type),
        delivery_id=released_delivery_id(row.id),
        delivery=delivery,
    )


class Releases:
    """Releases on connections of their own, one a call; for an edge that has settings and a key ring."""

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[Any]],
        ledger: Ledger,
        ring: KeyRing,
        *,
        grace_s: int,
        ahead_s_max: int,
    ) -> None:
        self._connect = connect
        self._ledger = ledger
        self._ring = ring
        self._grace_s = grace_s
        self._ahead_s_max = ahead_s_max

    def one(self, quarantine_id: str, actor: Actor, *, dry_run: bool = False) -> ReleaseReport:
        """As `release_one`. Raises StoreUnavailable."""
        with self._connected(actor, quarantine_id) as connection:
            return release_one(connection, self._ledger, quarantine_id, actor, dry_run=dry_run)

    def by_filter(self, wish: ReleaseWish, actor: Actor, *, verify_with: str | None = None) -> ReleaseReport:
        """As `release_by_filter`, by the rules of the settings; `verify_with` names a key of the ring.

        Raises KeyUnknown, StoreUnavailable, and ParameterInvalid for a filter that names nothing: what
        believes every forgery at once must be said.
        """
        wanted = wish.wanted
        if verify_with is None and wanted == QuarantineFilter(released=wanted.released):
            raise ParameterInvalid(
                name="filter", expected="a reason, a time, a stream or a key to verify with", got="nothing"
            )
        key = None
        if verify_with is not None and (key := self._ring.named(verify_with)) is None:
            raise KeyUnknown(name=repr(verify_with))
        wish = msgspec.structs.replace(
            wish, verify_with=key, grace_s=self._grace_s, ahead_s_max=self._ahead_s_max
        )
        with self._connected(actor, wanted.stream_id) as connection:
            return release_by_filter(connection, self._ledger, wish, actor)

    @contextmanager
    def _connected(self, actor: Actor, named: str | None) -> Iterator[psycopg.Connection[Any]]:
        for name, text in (("by", actor.by), ("reason", actor.reason), ("stream_id or id", named or "")):
            if not can_be_held(text):
                raise ParameterInvalid(
                    name=name, expected="text that PostgreSQL can hold", got=ascii(text[:64])
                )
        try:
            with self._connect() as connection:
                yield connection
        except STORE_FAULTS as error:
            raise StoreUnavailable(cause=first_line(error)) from error


def _verified(
    page: list[Quarantined], wish: ReleaseWish, report: ReleaseReport
) -> dict[str, Judgement | None]:
    """Ids of a page's rows that the wish's key verifies, with the judgement; without a key all, with none."""
    if wish.verify_with is None:
        return {row.id: None for row in page}
    found: dict[str, Judgement | None] = {}
    for row in page:
        judgement = _judged_anew(row, wish.verify_with, wish, report)
        if judgement is not None:
            found[row.id] = judgement
    return found


def _judged_anew(
    row: Quarantined, key: CallbackKey, wish: ReleaseWish, report: ReleaseReport
) -> Judgement | None:
    """Judged as at receipt, had that key been the only one: believed, or set aside for the same reason."""
    try:
        envelope = read_envelope(row.body)
    except MalformedBody:
        _skip(report, "unreadable")
        return None
    judgement = judge(
        envelope, [key], row.received_at_us / 1e6, wish.grace_s, wish.ahead_s_max, path_token_matched=False
    )
    same = judgement.verdict.value == row.reason and judgement.key is not None
    if judgement.verdict is Verdict.BELIEVED or same:
        return judgement
    has_signed = (
        envelope.t is not None and envelope.sign is not None and key.has_signed(envelope.t, envelope.sign)
    )
    outside = has_signed and not key.is_valid_at(row.received_at_us / 1e6)
    _skip(report, "key_not_valid_then" if outside else "not_verified")
    return None


def _choose(
    rows: list[Quarantined],
    judgements: dict[str, Judgement | None],
    believed: Believed | None,
    actor: Actor,
    report: ReleaseReport,
) -> list[tuple[Quarantined, DeliveryEvent]]:
    readable: list[tuple[Quarantined, DeliveryEvent]] = []
    for row in rows:
        if row.released_at_us is not None:
            _skip(report, "released_before")  # by somebody else, since the page was read
            continue
        try:
            readable.append((row, event_of(row, actor, judgements[row.id])))
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


def _released_elsewhere(cursor: psycopg.Cursor[Any], rows: list[Quarantined]) -> dict[str, int]:
    """Positions of the releases of unreleased rows: an import into a restored store brings them in."""
    by_event = {released_delivery_id(row.id): row.id for row in rows if row.released_at_us is None}
    known = reader.positions_of(cursor, list(by_event))
    return {by_event[delivery_id]: position for delivery_id, position in known.items() if delivery_id}


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
