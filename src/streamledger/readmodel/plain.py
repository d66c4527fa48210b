"""The lane of plain media: what nearly all of history is, folded without a struct for each step.

All else of a stream is folded first, by the ordinary rules; then its plain media are laid beside its
sessions in the order of time. Only those go here that were never delivered before. The rows are those of
the ordinary rules: the property tests hold both against each other.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from streamledger.domain import attribution
from streamledger.domain.attribution import PLAIN, Confidence, Item
from streamledger.domain.notification import Kind
from streamledger.domain.session import OPEN_END_MS, Span
from streamledger.domain.succession import same_place
from streamledger.readmodel import batch
from streamledger.readmodel.facts import PlainMedia
from streamledger.readmodel.rows import SessionRow, StreamRow, TimelineRow, copy_field, copy_line
from streamledger.readmodel.workspace import Workspace


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
    workspace: Workspace, stream_id: str, lane: Iterable[PlainMedia], spans: Sequence[Span]
) -> list[str]:
    """The timeline rows of a stream's plain media; counts them in the stream's and sessions' rows.

    `spans` are those of all sessions of the stream, by their beginnings.
    """
    ordered = sorted(lane, key=_at_ms)
    stream = _stream(workspace, stream_id, ordered)
    lines: list[str] = []
    sure: dict[str, list[PlainMedia]] = {}
    for media, near, only in _beside(ordered, spans):
        if only is not None:
            sure.setdefault(only, []).append(media)
            continue
        for row in _judged(media, near):
            lines.append(copy_line(row))
            if row.sequence:
                _add(workspace.sessions[stream_id, row.sequence], [media])
            else:
                stream.unattributed += 1
    for sequence, found in sure.items():
        lines += _sure_lines(sequence, found)
        _add(workspace.sessions[stream_id, sequence], found)
    return lines


def _beside(
    ordered: Iterable[PlainMedia], spans: Sequence[Span]
) -> Iterator[tuple[PlainMedia, list[Span], str | None]]:
    """Media and sessions along the time axis: each with the spans near it, and the one it surely lies in."""
    near: list[Span] = []
    reaches: list[_Reach] = []
    place = 0
    comes_ms, gone_ms = (spans[0].from_ms if spans else OPEN_END_MS), OPEN_END_MS
    for media in ordered:
        at_ms, until_ms = media.at_ms, media.until_ms
        if comes_ms <= until_ms + batch.WINDOW_MARGIN_MS or gone_ms < at_ms - batch.WINDOW_MARGIN_MS:
            while place < len(spans) and spans[place].from_ms <= until_ms + batch.WINDOW_MARGIN_MS:
                near.append(spans[place])
                place += 1
            near = attribution.still_of_use(near, at_ms - batch.WINDOW_MARGIN_MS)
            reaches = [_reach_of(span) for span in near]
            comes_ms = spans[place].from_ms if place < len(spans) else OPEN_END_MS
            gone_ms = min((span.until_ms for span in near if not span.open), default=OPEN_END_MS)
        only = None
        for each in reaches:
            if each.from_ms <= until_ms and at_ms <= each.until_ms:
                if only is not None:
                    only = None
                    break
                only = each
        if (
            only is not None
            and only.sure_from_ms <= at_ms
            and until_ms <= only.sure_until_ms
            and same_place(media.app, media.appname, only.span)
        ):
            yield media, near, only.span.sequence
        else:
            yield media, near, None


def _at_ms(media: PlainMedia) -> int:
    return media.at_ms


def _add(session: SessionRow, found: Sequence[PlainMedia]) -> None:
    recordings = [media for media in found if media.kind == _RECORDING]
    session.screenshots += len(found) - len(recordings)
    session.recordings += len(recordings)
    session.recording_s += sum(media.duration_s or 0 for media in recordings)
    session.recording_bytes += sum(media.file_bytes or 0 for media in recordings)


def _stream(workspace: Workspace, stream_id: str, lane: Sequence[PlainMedia]) -> StreamRow:
    received = [media.delivery.received_at_us for media in lane]
    first_us, last_us = min(received), max(received)
    stream = workspace.streams.get(stream_id)
    if stream is None:
        stream = StreamRow(stream_id=stream_id, first_seen_us=first_us, last_seen_us=last_us)
        workspace.streams[stream_id] = stream
    stream.first_seen_us = min(stream.first_seen_us, first_us)
    stream.last_seen_us = max(stream.last_seen_us, last_us)
    stream.latest_ms = max(stream.latest_ms, *(media.until_ms for media in lane))
    stream.position = max(stream.position, *(media.position for media in lane))
    recordings = sum(media.kind == _RECORDING for media in lane)
    stream.recordings += recordings
    stream.screenshots += len(lane) - recordings
    return stream


_RECORDING: Final = Kind.RECORDING.value


_TOLD: Final = (
    *("stream_id", "kind", "key", "sequence", "at_ms", "until_ms", "position", "received_ms"),
    *("duration_s", "bytes"),
)
_FORM: Final[dict[str, Any]] = dict.fromkeys(_TOLD, "%s")
_SURE: Final = copy_line(
    TimelineRow(deliveries=1, confidence=Confidence.CERTAIN.value, because=",".join(PLAIN), **_FORM)
)
"""The line of media that surely lie in one push, to be filled in by %."""
_NULL: Final = copy_field(None)


def _sure_lines(sequence: str, found: Iterable[PlainMedia]) -> list[str]:
    return [
        _SURE
        % (
            media.stream_id,
            media.kind,
            media.key,
            sequence,
            media.at_ms,
            media.until_ms,
            media.position,
            media.delivery.received_at_us // 1000,
            _NULL if media.duration_s is None else media.duration_s,
            _NULL if media.file_bytes is None else media.file_bytes,
        )
        for media in found
    ]


def _judged(media: PlainMedia, spans: Sequence[Span]) -> list[TimelineRow]:
    """By the ordinary rules: a row for each push that it belongs to, or one that belongs to none."""
    item = Item(
        at_ms=media.at_ms,
        until_ms=media.until_ms,
        app=media.app,
        appname=media.appname,
        stream_param=media.stream_param or None,
    )
    alone = TimelineRow(
        stream_id=media.stream_id,
        kind=media.kind,
        key=media.key,
        sequence="",
        at_ms=media.at_ms,
        until_ms=media.until_ms,
        position=media.position,
        received_ms=media.delivery.received_at_us // 1000,
        deliveries=1,
        duration_s=media.duration_s,
        bytes=media.file_bytes,
    )
    return [
        msgspec.structs.replace(
            alone,
            sequence=attributed.sequence,
            confidence=attributed.confidence.value,
            because=",".join(attributed.because),
            alternatives=attributed.alternatives or None,
        )
        for attributed in attribution.decide(item, spans)
    ] or [alone]
