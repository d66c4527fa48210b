"""The lane of plain screenshots: what nearly all of history is, folded without a struct for each step.

A screenshot is plain when the quick reading takes every field as it was sent, it was delivered once, and
under its own stream. All else of a stream is folded first, by the ordinary rules; then its plain
screenshots are laid beside its sessions in the order of time. The rows are those of the ordinary rules:
the property tests hold both against each other, and a lane that fails is left, not trusted.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from streamledger.domain import attribution
from streamledger.domain.attribution import PLAIN, Confidence, Item
from streamledger.domain.events import SCREENSHOT_CREATED, Delivery
from streamledger.domain.notification import Kind
from streamledger.domain.session import OPEN_END_MS, Span
from streamledger.domain.succession import same_place
from streamledger.readmodel import batch
from streamledger.readmodel.projection import Fact, fact_of
from streamledger.readmodel.rows import StreamRow, TimelineRow, copy_line
from streamledger.readmodel.workspace import Workspace
from streamledger.tencent.fields import key_of
from streamledger.tencent.usual import content_of, is_plain_screenshot, read_usual

_KIND: Final = Kind.SCREENSHOT.value


class PlainScreenshot(msgspec.Struct, gc=False):
    """What the lane needs to know of one, and the delivery, to read it again by the ordinary rules."""

    position: int
    delivery: Delivery
    stream_id: str
    key: str
    at_ms: int
    app: str
    appname: str
    stream_param: str | None
    content: str
    t: int | None


class Lines(msgspec.Struct, frozen=True):
    """Rows of one table that are lines of COPY's text format already."""

    table: str
    lines: list[str]


class History(msgspec.Struct, frozen=True):
    """Some streams' events, each once: plain screenshots in the lane, all others as facts."""

    facts: Iterable[Fact]
    """In the order of their positions."""
    shots: dict[str, list[PlainScreenshot]]
    """By stream, in no order."""

    def without_lane(self) -> "History":
        """The same with everything as facts."""
        facts = [fact_of(shot.position, shot.delivery) for shots in self.shots.values() for shot in shots]
        return History(sorted([*self.facts, *facts], key=_position), {})


def _position(fact: Fact) -> int:
    return fact.position


def read_plain(position: int, name: str, originator: str, delivery: Delivery) -> PlainScreenshot | None:
    """The screenshot in this delivery if it can go in the lane; whether it came once the caller sees."""
    # A backslash would have to be escaped in a line, and in JSON it stands for what may have to be.
    if name != SCREENSHOT_CREATED or delivery.release is not None or b"\\" in delivery.body:
        return None
    usual = read_usual(delivery.body)
    if (
        usual is None
        or usual.stream_id != originator
        or usual.create_time is None
        or usual.pic_url is None
        or not is_plain_screenshot(usual)
    ):
        return None
    return PlainScreenshot(
        position,
        delivery,
        originator,
        key_of(usual.pic_url),
        usual.create_time * 1000,
        usual.app,
        usual.appname,
        usual.stream_param,
        content_of(usual),
        usual.t,
    )


class Sorting:
    """Sorts events into the lane and beside it; a second delivery takes the first out of the lane again."""

    def __init__(self) -> None:
        self._facts: list[Fact] = []
        self._shots: dict[str, dict[str, PlainScreenshot | None]] = {}

    def put_plain(self, shot: PlainScreenshot) -> None:
        """One that may be plain."""
        shots = self._shots.get(shot.stream_id)
        if shots is None:
            shots = self._shots[shot.stream_id] = {}
        if shot.key not in shots:
            shots[shot.key] = shot
        else:
            self._out_of_lane(shots, shot.key)
            self._facts.append(fact_of(shot.position, shot.delivery))

    def put(self, fact: Fact) -> None:
        """Any other."""
        self._facts.append(fact)
        notification = fact.notification
        if notification.kind is Kind.SCREENSHOT and notification.stream_id is not None:
            self._out_of_lane(self._shots.setdefault(notification.stream_id, {}), notification.key)

    def _out_of_lane(self, shots: dict[str, PlainScreenshot | None], key: str) -> None:
        first = shots.get(key)
        if first is not None:
            self._facts.append(fact_of(first.position, first.delivery))
        shots[key] = None

    def sorted(self) -> History:
        """All that was put in."""
        shots = {
            stream_id: [shot for shot in found.values() if shot is not None]
            for stream_id, found in self._shots.items()
        }
        return History(
            sorted(self._facts, key=_position), {name: each for name, each in shots.items() if each}
        )


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
    near: list[_Reach] = []
    place = 0
    comes_ms = spans[0].from_ms if spans else OPEN_END_MS
    gone_ms = OPEN_END_MS
    line_of = _PLAIN_LINE
    for shot in ordered:
        at_ms = shot.at_ms
        if comes_ms <= at_ms + batch.WINDOW_MARGIN_MS or gone_ms < at_ms - batch.WINDOW_MARGIN_MS:
            near = [
                each
                for each in near
                if each.span.until_ms >= at_ms - batch.WINDOW_MARGIN_MS or each.span.open
            ]
            while place < len(spans) and spans[place].from_ms <= at_ms + batch.WINDOW_MARGIN_MS:
                near.append(_reach_of(spans[place]))
                place += 1
            comes_ms = spans[place].from_ms if place < len(spans) else OPEN_END_MS
            gone_ms = min((each.span.until_ms for each in near if not each.span.open), default=OPEN_END_MS)
        only = None
        for each in near:
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
            append(
                line_of
                % (stream_id, shot.key, sequence, at_ms, at_ms, shot.position, received_ms, shot.content)
            )
        else:
            row = _judged(shot, [each.span for each in near])
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
            ("stream_id", "key", "sequence", "at_ms", "until_ms", "position", "received_ms", "content"), "%s"
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
        content=shot.content,
    )
    for attributed in attribution.decide(item, spans):  # a moment belongs to one push, or to none
        row.sequence = attributed.sequence
        row.confidence = attributed.confidence.value
        row.because = ",".join(attributed.because)
        row.alternatives = attributed.alternatives or None
    return row
