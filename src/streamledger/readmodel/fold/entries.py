"""A delivery entered into its stream's timeline: what its row says, and which of several contents counts."""

from collections.abc import Sequence
from typing import Final

from streamledger.domain.attributed import writing_of
from streamledger.domain.kinds import ATTRIBUTED_KINDS
from streamledger.domain.notification import Kind, Notification, Recording, RecordingStatus
from streamledger.domain.session import Claim
from streamledger.readmodel.fold.facts import Fact, PlainMedia, bare, began_before
from streamledger.readmodel.fold.rows import BARE, COPIES_MAX, RIVALS_MAX, TimelineRow
from streamledger.readmodel.fold.sweep import at_ms_of
from streamledger.readmodel.fold.witness import witness_of

NO_TIME: Final = "no_time"
"""Reason code of a row whose notification has no time that can be read: it stands at its receipt."""


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
        received_ms=fact.delivery.received_at_us // 1000,
        deliveries=1,
    )
    _describe(row, notification)
    return row


def enter_again(rows: Sequence[TimelineRow], fact: Fact) -> tuple[bool, bool]:
    """Enter one more delivery: whether its content is new, and whether it is the one that counts now.

    The rows must hold the content that counts. `rows` are those of one notification.
    """
    first, notification = rows[0], fact.notification
    rivals = first.rivals or ()
    is_new = notification.content != first.content and all(
        content != notification.content for content, _ in rivals
    )
    is_push = notification.kind in (Kind.PUSH_STARTED, Kind.PUSH_STOPPED)
    cannot_be = (
        notification.content == first.content and at_ms_of(notification) is None and first.because != NO_TIME
    )
    counts = not is_push and (cannot_be or (is_new and _counts_more(notification, first)))
    for row in rows:
        row.deliveries += 1
        row.copies = (*(row.copies or ()), fact.position)[:COPIES_MAX]
        if counts:
            if is_new:
                row.rivals = _rivals(rivals, (row.content or "", row.position))
                row.content, row.position = notification.content, fact.position
            _describe(row, notification)
        elif is_new:
            row.rivals = _rivals(rivals, (notification.content, fact.position))
    return is_new, counts


def follow(row: TimelineRow, claim: Claim) -> None:
    """Let the row of a start or a stop tell of the content that counts for its session."""
    if row.content is not None and row.content != claim.content:
        others = [each for each in row.rivals or () if each[0] != claim.content]
        row.rivals = _rivals(others, (row.content, row.position))
        row.content, row.position = claim.content, claim.position
    row.because = NO_TIME if claim.at_ms is None else None
    row.at_ms = row.until_ms = row.received_ms if claim.at_ms is None else claim.at_ms


def _rivals(rivals: Sequence[tuple[str, int]], more: tuple[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted({*rivals, more})[:RIVALS_MAX])


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
    at_ms = at_ms_of(notification)
    if at_ms is None or row.because == NO_TIME:
        return (at_ms is None, notification.content) < (row.because == NO_TIME, row.content or "")
    until_ms = max(at_ms, notification.until_ms or 0)
    return (-until_ms, notification.content) < (-row.until_ms, row.content or "")


def latest_ms_of(fact: Fact) -> int:
    """When what a notification tells of was over; its receipt when its time cannot be read."""
    at_ms = at_ms_of(fact.notification)
    if at_ms is None:
        return fact.delivery.received_at_us // 1000
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
