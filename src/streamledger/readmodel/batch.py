"""What a batch of events changes in the rows of the sessions projection: pure, on a workspace.

Four steps, with loading in between: `take` folds each event into sessions and timeline rows;
`settle` tells open sessions which push follows them; `windows` tells which stretches of which streams
have to be judged again; `attribute` judges the media there. The result depends on the events up to
here, not on where batches were cut.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from streamledger.domain import attribution, succession
from streamledger.domain import session as fold
from streamledger.domain.attribution import Attribution, Item
from streamledger.domain.notification import Kind, Notification, Recording, RecordingStatus
from streamledger.domain.session import OPEN_END_MS, Span
from streamledger.readmodel.facts import Fact
from streamledger.readmodel.rows import COPIES_MAX, RIVALS_MAX, SessionRow, StreamRow, TimelineRow
from streamledger.readmodel.workspace import FactKey, SessionKey, Workspace

ATTRIBUTED_KINDS: Final = frozenset(
    {Kind.RECORDING, Kind.SCREENSHOT, Kind.RECORDING_STATUS, Kind.RECORDING_EXCEPTION}
)
"""Kinds that carry no sequence and find their session by time."""

WINDOW_MARGIN_MS: Final = 2 * attribution.SLACK_MS
"""How far around a changed end of a span media are judged again; more than any rule of attribution looks."""

NO_TIME: Final = "no_time"
"""Reason code of a row whose notification has no time that can be read: it stands at its receipt."""


class Window(msgspec.Struct, frozen=True):
    """A stretch of a stream's time axis in which attributions may have changed."""

    stream_id: str
    from_ms: int
    until_ms: int


def take(workspace: Workspace, facts: Iterable[Fact]) -> dict[FactKey, Item]:
    """Fold the facts into the workspace; returns the media that were new or changed, to be attributed.

    The workspace must hold the rows that exist for the facts' sessions, identities and streams.
    """
    items: dict[FactKey, Item] = {}
    for fact in facts:
        notification = fact.notification
        if notification.stream_id is None:
            continue
        key = (notification.stream_id, notification.kind.value, notification.key)
        stream = _stream(workspace, notification.stream_id, fact)
        is_new, counts = _enter(workspace, key, fact)
        if is_new:
            _count_kind(stream, notification.kind)
        if counts:
            stream.latest_ms = max(stream.latest_ms, _latest_ms(fact))
        if notification.sequence is not None and notification.kind not in ATTRIBUTED_KINDS:
            _fold(workspace, stream, fact, is_new_content=counts)
        elif notification.kind in ATTRIBUTED_KINDS:
            if is_new:
                stream.unattributed += 1
            rows = workspace.timeline[key].values()
            if is_new or (counts and next(iter(rows)).content == notification.content):
                items[key] = item_of(notification)
    return items


def _latest_ms(fact: Fact) -> int:
    """When what a notification tells of was over; its receipt when its time cannot be read."""
    at_ms = _at_ms(fact.notification)
    if at_ms is None:
        return fact.delivery.received_at_us // 1000
    return max(at_ms, fact.notification.until_ms or 0)


def item_of(notification: Notification) -> Item:
    """What attribution needs to know of a notification; without a readable time it fits nowhere."""
    at_ms = _at_ms(notification)
    if at_ms is None:
        at_ms = -OPEN_END_MS
    until_ms = notification.until_ms if notification.until_ms is not None else at_ms
    return Item(
        at_ms=at_ms,
        until_ms=max(at_ms, until_ms),
        app=notification.app,
        appname=notification.appname,
        stream_param=notification.stream_param,
    )


def _stream(workspace: Workspace, stream_id: str, fact: Fact) -> StreamRow:
    received_us = fact.delivery.received_at_us
    stream = workspace.streams.get(stream_id)
    if stream is None:
        stream = StreamRow(stream_id=stream_id, first_seen_us=received_us, last_seen_us=received_us)
        workspace.streams[stream_id] = stream
    # Written out: min and max cost more than all else here, and every event comes by.
    if received_us < stream.first_seen_us:  # noqa: PLR1730  # as said
        stream.first_seen_us = received_us
    if received_us > stream.last_seen_us:  # noqa: PLR1730  # as said
        stream.last_seen_us = received_us
    if fact.position > stream.position:  # noqa: PLR1730  # as said
        stream.position = fact.position
    return stream


def _count_kind(stream: StreamRow, kind: Kind) -> None:
    if kind is Kind.RECORDING:
        stream.recordings += 1
    elif kind is Kind.SCREENSHOT:
        stream.screenshots += 1
    elif kind not in (Kind.PUSH_STARTED, Kind.PUSH_STOPPED):
        stream.others += 1


def _enter(workspace: Workspace, key: FactKey, fact: Fact) -> tuple[bool, bool]:
    """Enter a delivery into the timeline: whether its notification is new, and whether its content is."""
    notification = fact.notification
    received_ms = fact.delivery.received_at_us // 1000
    known = workspace.timeline.get(key)
    if not known:
        sequence = notification.sequence if notification.kind not in ATTRIBUTED_KINDS else None
        row = TimelineRow(
            stream_id=key[0],
            kind=key[1],
            key=key[2],
            sequence=sequence or "",
            at_ms=0,
            until_ms=0,
            position=fact.position,
            received_ms=received_ms,
            deliveries=1,
        )
        _describe(row, notification)
        workspace.timeline[key] = {row.sequence: row}
        workspace.contents[key] = notification.content
        return True, True
    first = next(iter(known.values()))
    if first.content is None:
        for row in known.values():
            row.content = workspace.contents[key]
    rivals = first.rivals or ()
    is_new_content = notification.content != first.content and all(
        content != notification.content for content, _ in rivals
    )
    for row in known.values():
        row.deliveries += 1
        row.copies = (*(row.copies or ()), fact.position)[:COPIES_MAX]
        if is_new_content:
            if _counts_more(notification, row):
                row.rivals = _rivals(rivals, (row.content or "", row.position))
                row.content, row.position = notification.content, fact.position
                _add_totals(workspace, row, -1)
                _describe(row, notification)
                _add_totals(workspace, row, +1)
            else:
                row.rivals = _rivals(rivals, (notification.content, fact.position))
    return False, is_new_content


def _rivals(rivals: Sequence[tuple[str, int]], more: tuple[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted({*rivals, more})[:RIVALS_MAX])


def _at_ms(notification: Notification) -> int | None:
    """When the fact happened; a recording of which only the end can be read stands there, as a moment."""
    return notification.at_ms if notification.at_ms is not None else notification.until_ms


def _describe(row: TimelineRow, notification: Notification) -> None:
    """Write into a row what the content that counts says; without a time it stands at its receipt."""
    at_ms = _at_ms(notification)
    if at_ms is None:
        at_ms, row.because = row.received_ms, NO_TIME
    elif row.because == NO_TIME:
        row.because = None
    row.at_ms = at_ms
    row.until_ms = max(at_ms, notification.until_ms if notification.until_ms is not None else at_ms)
    if isinstance(notification.detail, Recording):
        row.duration_s = notification.detail.duration_s
        row.bytes = notification.detail.file_bytes
    elif isinstance(notification.detail, RecordingStatus):
        row.note = notification.detail.record_event


def _counts_more(notification: Notification, row: TimelineRow) -> bool:
    """Which of two contents of one identity counts: the earliest start, the latest of everything else.

    One without a readable time counts least, as in the fold; ties by content.
    """
    at_ms = _at_ms(notification)
    if at_ms is None or row.because == NO_TIME:
        return (at_ms is None, notification.content) < (row.because == NO_TIME, row.content or "")
    if notification.kind is Kind.PUSH_STARTED:
        return (at_ms, notification.content) < (row.at_ms, row.content or "")
    until_ms = max(at_ms, notification.until_ms or 0)
    return (-until_ms, notification.content) < (-row.until_ms, row.content or "")


def _fold(workspace: Workspace, stream: StreamRow, fact: Fact, *, is_new_content: bool) -> None:
    sequence = fact.notification.sequence
    assert sequence is not None  # noqa: S101  # the caller asked
    is_new = (stream.stream_id, sequence) not in workspace.sessions
    row = workspace.session(stream.stream_id, sequence)
    stream.sessions += is_new
    was_open = not is_new and not row.ended
    row.deliveries += 1
    row.position = max(row.position, fact.position)
    if is_new_content:
        row.fold = fold.take(row.fold, fact.notification, fact.position)
    row.ended = bool(row.fold.stops)
    stream.open_sessions += (not row.ended) - was_open


class Follower(msgspec.Struct, frozen=True):
    """An open session that looks for the push that follows it."""

    stream_id: str
    sequence: str
    from_ms: int
    app: str | None
    appname: str | None


def moved_starts(workspace: Workspace, touched: Iterable[SessionKey]) -> list[Window]:
    """Where starts came, went or changed place: open sessions before them may have a new follower."""
    found = []
    for key in touched:
        row = workspace.sessions.get(key)
        if row is None:
            continue
        before, after = _start_of(workspace.session_before(key)), _start_of(row)
        if before != after:
            times = [start[0] for start in (before, after) if start is not None]
            found.append(Window(key[0], min(times), max(times)))
    return found


def _start_of(row: SessionRow | None) -> tuple[int, str | None, str | None] | None:
    """The start of a push, where it is known, and its place."""
    if row is None:
        return None
    began_ms, _ = fold.started_ms(row.fold)
    claim = fold.leading_claim(row.fold)
    return None if began_ms is None or claim is None else (began_ms, claim.app, claim.appname)


def seekers(workspace: Workspace, keys: Iterable[SessionKey]) -> list[Follower]:
    """Those of these sessions that have no stop: they need to know which push follows."""
    found = []
    for key in keys:
        row = workspace.sessions.get(key)
        if row is not None:
            span = fold.span(row.fold)
            if span.open:
                found.append(Follower(*key, span.from_ms, span.app, span.appname))
    return found


def settle(
    workspace: Workspace,
    keys: Collection[SessionKey],
    touched: Iterable[SessionKey],
    followers: Mapping[SessionKey, int],
) -> None:
    """Write into the rows of these sessions what their folds, and the pushes that follow them, say.

    `followers` gives the start of the next push among all sessions but the touched ones.
    """
    by_stream: dict[str, list[fold.SessionState]] = {}
    for key in touched:
        if key in workspace.sessions:
            by_stream.setdefault(key[0], []).append(workspace.sessions[key].fold)
    starts = {stream_id: succession.Starts(states) for stream_id, states in by_stream.items()}
    none = succession.Starts(())
    for key in keys:
        row = workspace.sessions.get(key)
        if row is None:
            continue
        newer_ms = starts.get(key[0], none).after(fold.span(row.fold))
        row.newer_ms = OPEN_END_MS if row.ended else min(newer_ms, followers.get(key, OPEN_END_MS))
        span = fold.span(row.fold, row.newer_ms)
        row.sort_ms = fold.sort_ms(row.fold)
        row.span_from_ms, row.span_until_ms = span.from_ms, span.until_ms
        row.start_known = fold.started_ms(row.fold)[0] is not None
        row.app, row.appname = span.app, span.appname


def windows(workspace: Workspace, sessions: Iterable[SessionKey]) -> list[Window]:
    """Where media must be judged again because a session's span changed."""
    found = []
    for key in sessions:
        row = workspace.sessions.get(key)
        if row is None:
            continue
        before, after = workspace.span_before(key), fold.span(row.fold, row.newer_ms)
        if before == after:
            continue
        edges, to_the_end = _edges(before, after)
        if edges:
            until_ms = OPEN_END_MS if to_the_end else max(edges) + WINDOW_MARGIN_MS
            found.append(Window(key[0], max(0, min(edges) - WINDOW_MARGIN_MS), min(OPEN_END_MS, until_ms)))
    return found


def _edges(before: Span | None, after: Span) -> tuple[list[int], bool]:
    """The ends of a span that moved, and whether everything behind them may have changed too.

    An open session may be the latest one, to which media fall that no other is near (`last_open`).
    """
    spans = [span for span in (before, after) if span is not None and span.until_ms >= span.from_ms]
    is_open = any(span.open for span in spans)
    if before is None or len(spans) < 2 or _bearing(before) != _bearing(after):
        return [edge for span in spans for edge in (span.from_ms, span.until_ms)], is_open
    names = ("until_ms", "sure_from_ms", "sure_until_ms")
    moved = [name for name in names if getattr(before, name) != getattr(after, name)]
    edges = [getattr(span, name) for span in spans for name in moved]
    return edges, is_open and before.open != after.open


def _bearing(span: Span) -> tuple[object, ...]:
    """What of a span bears on all its media; its beginning, as of rivals the first to begin is named."""
    return span.from_ms, span.from_certain, span.app, span.appname, span.stream_param


def attribute(
    workspace: Workspace,
    items: Mapping[FactKey, Item],
    spans: Mapping[str, Sequence[Span]],
    slack_ms: int = attribution.SLACK_MS,
) -> None:
    """Judge each item anew against its stream's spans, and move its rows and the sessions' totals."""
    for key, item in items.items():
        rows = workspace.timeline[key]
        decided = attribution.decide(item, spans.get(key[0], ()), slack_ms)
        _move(workspace, key, rows, decided)


def _move(
    workspace: Workspace, key: FactKey, rows: dict[str, TimelineRow], decided: Sequence[Attribution]
) -> None:
    stream = workspace.streams[key[0]]
    pattern = next(iter(rows.values()))
    if len(rows) == len(decided) == 1:
        _move_one(workspace, stream, pattern, decided[0])
        workspace.timeline[key] = {pattern.sequence: pattern}
        return
    for row in rows.values():
        _add_totals(workspace, row, -1)
        stream.unattributed -= not row.sequence
    moved: dict[str, TimelineRow] = {}
    if not decided:
        stream.unattributed += 1
        moved[""] = msgspec.structs.replace(
            pattern,
            sequence="",
            confidence=None,
            because=NO_TIME if pattern.because == NO_TIME else None,
            alternatives=None,
        )
    for attributed in decided:
        row = msgspec.structs.replace(
            pattern,
            sequence=attributed.sequence,
            confidence=attributed.confidence.value,
            because=",".join(attributed.because),
            alternatives=attributed.alternatives or None,
        )
        moved[attributed.sequence] = row
        _add_totals(workspace, row, +1)
    workspace.timeline[key] = moved


def _move_one(workspace: Workspace, stream: StreamRow, row: TimelineRow, attributed: Attribution) -> None:
    """The same for the one row of nearly all media; the workspace remembers rows as they were by copies."""
    if row.sequence:
        _add_totals(workspace, row, -1)
    else:
        stream.unattributed -= 1
    row.sequence = attributed.sequence
    row.confidence = str(attributed.confidence)
    row.because = ",".join(attributed.because)
    row.alternatives = attributed.alternatives or None
    _add_totals(workspace, row, +1)


def _add_totals(workspace: Workspace, row: TimelineRow, sign: int) -> None:
    """Add what a timeline row says to the totals of its session, or take it away."""
    if not row.sequence or row.kind not in ATTRIBUTED_KINDS:
        return
    session = workspace.sessions[row.stream_id, row.sequence]
    if row.kind == Kind.SCREENSHOT:
        session.screenshots += sign
    elif row.kind == Kind.RECORDING:
        session.recordings += sign
        session.recording_s += sign * (row.duration_s or 0)
        session.recording_bytes += sign * (row.bytes or 0)
