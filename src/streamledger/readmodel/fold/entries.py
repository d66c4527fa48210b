"""A delivery entered into its stream's timeline: what its row says, and which of several contents counts."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from streamledger.domain.attributed import writing_of
from streamledger.domain.kinds import ATTRIBUTED_KINDS
from streamledger.domain.notification import TIME_FIELD, Kind, Notification, Recording, RecordingStatus
from streamledger.domain.session import Claim
from streamledger.readmodel.fold.facts import Fact, PlainMedia, bare, began_before
from streamledger.readmodel.fold.rows import BARE, COPIES_MAX, RIVALS_MAX, TimelineRow
from streamledger.readmodel.fold.sweep import at_ms_of
from streamledger.readmodel.fold.witness import witness_of

NO_TIME: Final = "no_time"
"""Reason code of a row whose notification has no time that can be read: it stands at its receipt."""

ReadFacts = Callable[[Sequence[int]], Iterable[Fact]]
Told = tuple[str, int]
"""A content, and the position of a delivery of it."""


def first_entry(fact: Fact) -> TimelineRow:
    """The row of a notification that was not delivered before, attributed to nothing yet."""
    notification = fact.notification
    sequence = notification.sequence if notification.kind not in ATTRIBUTED_KINDS else None
    row = TimelineRow(
        stream_id=notification.stream_id or "",
        kind=notification.kind.value,
        key=notification.key,
        sequence=sequence or "",
        at_ms=0,
        until_ms=0,
        position=fact.position,
        received_ms=_received_ms(fact),
        deliveries=1,
    )
    _describe(row, notification)
    return row


def enter_again(rows: Sequence[TimelineRow], fact: Fact, read: ReadFacts) -> tuple[bool, Notification | None]:
    """Enter one more delivery: whether its content is new, and what counts now, if it is not what did.

    The rows are those of one notification, and hold the content that counts. `read` reads the ledger.
    """
    first, notification = rows[0], fact.notification
    rivals = first.rivals or ()
    contents = [content for content, _ in rivals]
    is_new = notification.content not in (first.content, *contents)
    is_earlier = _received_ms(fact) < first.received_ms
    counts = None
    is_push = notification.kind in (Kind.PUSH_STARTED, Kind.PUSH_STOPPED)  # its session decides
    if not is_push:
        if is_new and _counts_more(notification, first):
            counts = fact
        elif notification.content == first.content and _says_less(notification, first):
            others = [position for content, position in rivals if content != first.content]
            counts = _most([fact, *read(others)] if others else [fact])
    told = (notification.content, fact.position)
    if counts is not None:
        told_now = (counts.notification.content, counts.position)
        rivals = _rivals({*rivals, told, (first.content or "", first.position)} - {told_now})
    elif is_new or is_earlier or (not is_push and _may_be_less(notification, contents)):
        rivals = _rivals({*rivals, told})
    for row in rows:
        row.deliveries += 1
        row.copies = (*(row.copies or ()), fact.position)[:COPIES_MAX]
        row.rivals = rivals or None
        row.received_ms = min(row.received_ms, _received_ms(fact))
        if counts is not None:
            row.content, row.position = counts.notification.content, counts.position
            _describe(row, counts.notification)
        elif row.because == NO_TIME:
            row.at_ms = row.until_ms = row.received_ms
    return is_new, None if counts is None else counts.notification


def follow(row: TimelineRow, claim: Claim) -> None:
    """Let the row of a start or a stop tell of the content that counts for its session."""
    if row.content is not None and row.content != claim.content:
        others = [each for each in row.rivals or () if each[0] != claim.content]
        row.rivals = _rivals({*others, (row.content, row.position)})
        row.content, row.position = claim.content, claim.position
    row.because = NO_TIME if claim.at_ms is None else None
    row.at_ms = row.until_ms = row.received_ms if claim.at_ms is None else claim.at_ms


def _rivals(found: Iterable[Told]) -> tuple[Told, ...]:
    return tuple(sorted(found)[:RIVALS_MAX])


def _describe(row: TimelineRow, notification: Notification) -> None:
    """Write into a row what the content that counts says; without a time it stands at its receipt."""
    at_ms = at_ms_of(notification)
    if at_ms is None:
        at_ms, row.because = row.received_ms, NO_TIME
    elif row.because == NO_TIME:
        row.because = None
    row.at_ms = at_ms
    row.until_ms = max(at_ms, notification.until_ms if notification.until_ms is not None else at_ms)
    if isinstance(notification.detail, Recording):
        _describe_recording(row, notification.detail)
        row.note = None if notification.stream_param else BARE
    elif isinstance(notification.detail, RecordingStatus):
        row.note = notification.detail.record_event
        row.task = witness_of(notification.detail.task_id or notification.detail.session_id)


def _describe_recording(row: TimelineRow, detail: Recording) -> None:
    row.duration_ms = detail.duration_ms or (row.until_ms - row.at_ms)
    row.bytes = detail.file_bytes
    began_ms = writing_of(row.at_ms, detail.writing_started_ms)
    row.began_ms = began_ms if began_ms is not None and began_ms < row.at_ms else None
    row.task = witness_of(detail.task_id)


def _counts_more(notification: Notification, row: TimelineRow) -> bool:
    """Which of two contents of one identity counts: the latest; of a start or a stop its session decides.

    One without a readable time counts least; ties by content.
    """
    end_ms = None if row.because == NO_TIME else row.until_ms
    return _order(notification) < (end_ms is None, -(end_ms or 0), row.content or "")


def _order(notification: Notification) -> tuple[bool, int, str]:
    end_ms = _end_ms(notification)
    return end_ms is None, -(end_ms or 0), notification.content


def _end_ms(notification: Notification) -> int | None:
    at_ms = at_ms_of(notification)
    return None if at_ms is None else max(at_ms, notification.until_ms or 0)


def _says_less(notification: Notification, row: TimelineRow) -> bool:
    """Whether a copy came so early that a time which the row tells cannot have been.

    The earliest receipt of a content is what tells (`domain.notification.believable`).
    """
    end_ms = _end_ms(notification)
    return row.because != NO_TIME and (end_ms is None or end_ms < row.until_ms)


def _received_ms(fact: Fact) -> int:
    return fact.delivery.received_at_us // 1000


def _may_be_less(notification: Notification, contents: Sequence[str]) -> bool:
    """Whether the same may be true of a content that does not count.

    One may be told three times: whole, without its end, and without any time.
    """
    versions = contents.count(notification.content)
    unreadable = TIME_FIELD.get(notification.kind) in notification.unreadable
    return unreadable and 0 < versions < (3 if at_ms_of(notification) is None else 2)


def _most(facts: Iterable[Fact]) -> Fact:
    """Which of several contents counts, each by the delivery of it that says least."""
    least: dict[str, Fact] = {}
    for fact in facts:
        content = fact.notification.content
        known = least.get(content)
        if known is None or _order(known.notification) < _order(fact.notification):
            least[content] = fact
    return min(least.values(), key=lambda fact: _order(fact.notification))


def latest_ms_of(fact: Fact) -> int:
    """When what a notification tells of was over; its receipt when its time cannot be read."""
    at_ms = at_ms_of(fact.notification)
    if at_ms is None:
        return _received_ms(fact)
    return max(at_ms, fact.notification.until_ms or 0)


def entry_of_plain(media: PlainMedia) -> TimelineRow:
    """The row of a plain medium that was delivered once, in no session."""
    return TimelineRow(
        stream_id=media.stream_id,
        kind=media.kind,
        key=media.key,
        sequence="",
        at_ms=media.at_ms,
        until_ms=media.until_ms,
        position=media.position,
        received_ms=media.received_us // 1000,
        deliveries=1,
        duration_ms=media.duration_ms,
        bytes=media.file_bytes,
        began_ms=began_before(media),
        task=media.task,
        note=bare(media),
    )


def as_stored(rows: list[TimelineRow]) -> list[TimelineRow]:
    """Rows without the content that was looked up for comparison: of one delivery none is kept."""
    for row in rows:
        if row.deliveries == 1:
            row.content = None
    return rows


def no_time_of(row: TimelineRow) -> str | None:
    """The reason code of a row without a time, where it is one."""
    return NO_TIME if row.because == NO_TIME else None
