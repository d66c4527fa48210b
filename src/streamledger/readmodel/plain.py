"""The lane of plain screenshots: what nearly all of history is, folded without a struct for each step.

All else of a stream is folded first, by the ordinary rules; then its plain screenshots are laid beside its
sessions in the order of time. Only those go here that were never delivered before. The rows are those of
the ordinary rules: the property tests hold both against each other.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from streamledger.domain import attribution
from streamledger.domain.attribution import PLAIN, Confidence, Item
from streamledger.domain.notification import Kind
from streamledger.domain.session import OPEN_END_MS, Span
from streamledger.domain.succession import same_place
from streamledger.readmodel import batch
from streamledger.readmodel.facts import PlainScreenshot
from streamledger.readmodel.rows import StreamRow, TimelineRow, copy_line
from streamledger.readmodel.workspace import Workspace

_KIND: Final = Kind.SCREENSHOT.value


class _Reach(msgspec.Struct, frozen=True, gc=False):
    # A span, and where a moment must lie to be surely and only its own.
    span: Span
    from_ms: int
    until_ms: int
    sure_from_ms: int
    sure_until_ms: int


def _reach_of(span: Span) -> _Reach:
    sure_from_ms = span.from_ms if span.sure_from_ms is None else max(span.from_ms, span.sure_from_ms)
    sure_until_ms = span.until_ms if span.sure_until_ms is None else min(span.until_ms, span.sure_until_ms)
    return _Reach(
        span,
        span.from_ms - attribution.SLACK_MS,
        span.until_ms + attribution.SLACK_MS,
        sure_from_ms if span.from_certain else OPEN_END_MS,
        sure_until_ms,
    )


def timeline_lines(
    workspace: Workspace, stream_id: str, shots: Iterable[PlainScreenshot], spans: Sequence[Span]
) -> list[str]:
    """The timeline rows of a stream's plain screenshots; counts them in the stream's and sessions' rows.

    `spans` are those of all sessions of the stream, by their beginnings.
    """
    ordered = sorted(shots, key=_at_ms)
    stream = _stream(workspace, stream_id, ordered)
    counts: dict[str, int] = {}
    lines: list[str] = []
    append = lines.append
    near: list[Span] = []
    reaches: list[_Reach] = []
    place = 0
    comes_ms = spans[0].from_ms if spans else OPEN_END_MS
    gone_ms = OPEN_END_MS
    line_of = _PLAIN_LINE
    for shot in ordered:
        at_ms = shot.at_ms
        if comes_ms <= at_ms + batch.WINDOW_MARGIN_MS or gone_ms < at_ms - batch.WINDOW_MARGIN_MS:
            while place < len(spans) and spans[place].from_ms <= at_ms + batch.WINDOW_MARGIN_MS:
                near.append(spans[place])
                place += 1
            near = attribution.still_of_use(near, at_ms - batch.WINDOW_MARGIN_MS)
            reaches = [_reach_of(span) for span in near]
            comes_ms = spans[place].from_ms if place < len(spans) else OPEN_END_MS
            gone_ms = min((span.until_ms for span in near if not span.open), default=OPEN_END_MS)
        only = None
        for each in reaches:
            if each.from_ms <= at_ms <= each.until_ms:
                if only is not None:
                    only = None
                    break
                only = each
        received_ms = shot.delivery.received_at_us // 1000
        if (
            only is not None
            and only.sure_from_ms <= at_ms <= only.sure_until_ms
            and same_place(shot.app, shot.appname, only.span)
        ):
            sequence = only.span.sequence
            append(line_of % (stream_id, shot.key, sequence, at_ms, at_ms, shot.position, received_ms))
        else:
            row = _judged(shot, near)
            sequence = row.sequence
            append(copy_line(row))
        counts[sequence] = counts.get(sequence, 0) + 1
    stream.unattributed += counts.pop("", 0)
    for sequence, count in counts.items():
        workspace.sessions[stream_id, sequence].screenshots += count
    return lines


def _at_ms(shot: PlainScreenshot) -> int:
    return shot.at_ms


def _stream(workspace: Workspace, stream_id: str, ordered: Sequence[PlainScreenshot]) -> StreamRow:
    received = [shot.delivery.received_at_us for shot in ordered]
    first_us, last_us = min(received), max(received)
    stream = workspace.streams.get(stream_id)
    if stream is None:
        stream = StreamRow(stream_id=stream_id, first_seen_us=first_us, last_seen_us=last_us)
        workspace.streams[stream_id] = stream
    stream.first_seen_us = min(stream.first_seen_us, first_us)
    stream.last_seen_us = max(stream.last_seen_us, last_us)
    stream.latest_ms = max(stream.latest_ms, ordered[-1].at_ms)
    stream.position = max(stream.position, *(shot.position for shot in ordered))
    stream.screenshots += len(ordered)
    return stream


def _row(**facts: Any) -> TimelineRow:
    return TimelineRow(kind=_KIND, deliveries=1, **facts)


_PLAIN_LINE: Final = copy_line(
    _row(
        confidence=Confidence.CERTAIN.value,
        because=",".join(PLAIN),
        **dict.fromkeys(
            ("stream_id", "key", "sequence", "at_ms", "until_ms", "position", "received_ms"), "%s"
        ),
    )
)
"""The line of a screenshot that surely lies in one push, to be filled in by %."""


def _judged(shot: PlainScreenshot, spans: Sequence[Span]) -> TimelineRow:
    item = Item(
        at_ms=shot.at_ms,
        until_ms=shot.at_ms,
        app=shot.app,
        appname=shot.appname,
        stream_param=shot.stream_param or None,
    )
    row = _row(
        stream_id=shot.stream_id,
        key=shot.key,
        sequence="",
        at_ms=shot.at_ms,
        until_ms=shot.at_ms,
        position=shot.position,
        received_ms=shot.delivery.received_at_us // 1000,
    )
    for attributed in attribution.decide(item, spans):  # a moment belongs to one push, or to none
        row.sequence = attributed.sequence
        row.confidence = attributed.confidence.value
        row.because = ",".join(attributed.because)
        row.alternatives = attributed.alternatives or None
    return row
