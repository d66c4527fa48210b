"""A session as a picture: its push, recordings, screenshots, errors and deliveries on one time axis; pure."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec

from streamledger.domain.answers import Session, TimelineEntry
from streamledger.domain.instants import parse_instant_ms
from streamledger.domain.kinds import ROW_BY_KIND, Group
from streamledger.domain.notification import Kind
from streamledger.readmodel.moments.growth import EntryDelivery
from streamledger.web.pages.axis import Axis, Tick, axis_over
from streamledger.web.pages.band import span_of
from streamledger.web.pages.formats import web_address

WIDTH: Final = 1000
LEFT: Final = 148
RIGHT: Final = 984
TOP: Final = 26
LANE_HEIGHT: Final = 30
DELAY_HEIGHT: Final = 84
FORMATS_MAX: Final = 6
"""Recording formats with a lane of their own; the others share the last."""
LATE_MS: Final = 60_000
"""A delivery later than this is marked: the sender's first retry comes after 60 s (267/38080)."""
GUIDES_S: Final = ((1, "1 s"), (10, "10 s"), (60, "1 min"), (600, "10 min"), (3600, "1 h"), (86400, "1 d"))


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the picture: `name` is a key of the catalogue, `fact` what is set into its words."""

    name: str
    fact: str
    y: float
    height: float


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A recording, from the start to the end of its content."""

    entry: TimelineEntry
    x: float
    y: float
    width: float


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A moment: a screenshot, an error, something else."""

    entry: TimelineEntry
    x: float
    y: float
    image: str | None = None


class Dot(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery, by the time of its fact and its delay after it."""

    entry: TimelineEntry
    position: int
    class_: str
    delay_ms: int
    manner: str
    """first, repeated, late or odd"""
    x: float
    y: float


class SessionPicture(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the template draws."""

    width: int
    height: float
    left: int
    right: int
    from_ms: int
    until_ms: int
    ticks: list[Tick]
    lanes: list[Lane]
    push: tuple[float, float, float] | None
    """x, y and width of the push's bar; None while neither start nor stop is known."""
    unsure: tuple[float, float] | None
    """x and width of the part of the bar in which the push may have been over; None for none."""
    now_x: float | None
    """Where now is, while the session is open."""
    blocks: list[Block]
    screenshots: list[Mark]
    errors: list[Mark]
    others: list[Mark]
    deliveries: list[Dot]
    guides: list[Tick]
    """Heights of round delays in the lane of the deliveries; `x` is the height."""


_ms_of = lru_cache(maxsize=4096)(parse_instant_ms)
"""Each instant of a picture is asked for several times, and by the pictures of every moment."""


def frame_of(session: Session, entries: Sequence[TimelineEntry], now_ms: int) -> tuple[int, int] | None:
    """The interval that the picture of these shows; None when nothing with a time is known."""
    edges = [*(span_of(session, now_ms) or ()), *(edge for entry in entries for edge in _edges(entry))]
    return (min(edges), max(edges)) if edges else None


def picture_of(
    session: Session,
    entries: Sequence[TimelineEntry],
    now_ms: int,
    delivered: Sequence[EntryDelivery] = (),
    frame: tuple[int, int] | None = None,
) -> SessionPicture | None:
    """The picture, or None when nothing with a time is known.

    `delivered` are all deliveries of the entries; `frame` is an interval that is shown whatever
    is known, so that pictures of several moments can be laid over each other.
    """
    span = span_of(session, now_ms)
    own = frame_of(session, entries, now_ms)
    if own is None:
        return None
    shown = [*own, *(frame or ())]
    axis = axis_over(min(shown), max(shown), LEFT, RIGHT)
    lanes: list[Lane] = []

    def lane(name: str, fact: str = "", height: float = LANE_HEIGHT) -> float:
        y = lanes[-1].y + lanes[-1].height if lanes else TOP
        lanes.append(Lane(name=name, fact=fact, y=y, height=height))
        return y

    push_y = lane("lane_push")
    push = (
        None
        if span is None
        else (axis.x(span[0]), push_y, round(max(3.0, axis.x(span[1]) - axis.x(span[0])), 1))
    )
    drawn: dict[Group, list[TimelineEntry]] = {group: [] for group in Group}
    for entry in entries:
        drawn[ROW_BY_KIND[Kind(entry.kind)].group].append(entry)
    blocks: list[Block] = []
    for file_format, recordings in _by_format(drawn[Group.RECORDINGS]).items():
        y = lane("lane_recording", file_format)
        blocks += [_block(entry, y, axis) for entry in recordings]
    screenshots = drawn[Group.SCREENSHOTS]
    screenshots_y = lane("lane_screenshots") if screenshots else 0
    errors = drawn[Group.ERRORS]
    errors_y = lane("lane_errors") if errors else 0
    rest = drawn[Group.OTHERS]
    rest_y = lane("lane_others") if rest else 0
    delay_y = lane("lane_deliveries", height=DELAY_HEIGHT)
    deliveries, guides = _deliveries(entries, delivered, axis, delay_y)
    return SessionPicture(
        width=WIDTH,
        height=delay_y + DELAY_HEIGHT + 4,
        left=LEFT,
        right=RIGHT,
        from_ms=min(shown),
        until_ms=max(shown),
        ticks=axis.ticks(),
        lanes=lanes,
        push=push,
        unsure=_unsure(session, entries, span, axis),
        now_x=None if session.state == "ended" else axis.x(now_ms),
        blocks=blocks,
        screenshots=[
            Mark(entry=entry, x=axis.x(_at(entry)), y=screenshots_y, image=image_of(entry))
            for entry in screenshots
        ],
        errors=[Mark(entry=entry, x=axis.x(_at(entry)), y=errors_y) for entry in errors],
        others=[Mark(entry=entry, x=axis.x(_at(entry)), y=rest_y) for entry in rest],
        deliveries=deliveries,
        guides=guides,
    )


def image_of(entry: TimelineEntry) -> str | None:
    """The address of a screenshot's image, if it has one that can be shown."""
    return web_address(entry.detail.get("pic_full_url")) or web_address(entry.detail.get("pic_url"))


def manner_of(entry: TimelineEntry) -> str:
    """How an entry was delivered: first, repeated, or late."""
    if entry.delay_ms > LATE_MS:
        return "late"
    return "repeated" if entry.deliveries > 1 else "first"


def _at(entry: TimelineEntry) -> int:
    return _ms_of(entry.at)


def _edges(entry: TimelineEntry) -> tuple[int, ...]:
    return (_at(entry),) if entry.until is None else (_at(entry), _ms_of(entry.until))


def _block(entry: TimelineEntry, y: float, axis: Axis) -> Block:
    edges = _edges(entry)
    x = axis.x(edges[0])
    return Block(entry=entry, x=x, y=y, width=round(max(3.0, axis.x(edges[-1]) - x), 1))


def _by_format(recordings: Sequence[TimelineEntry]) -> dict[str, list[TimelineEntry]]:
    lanes: dict[str, list[TimelineEntry]] = {}
    for entry in recordings:
        name = str(entry.detail.get("file_format") or "?").lower()[:12]
        if name not in lanes and len(lanes) >= FORMATS_MAX:
            name = next(reversed(lanes))
        lanes.setdefault(name, []).append(entry)
    return lanes


def _unsure(
    session: Session, entries: Sequence[TimelineEntry], span: tuple[int, int] | None, axis: Axis
) -> tuple[float, float] | None:
    """Of a suspect session, the interval since the last thing that is known of it."""
    if span is None or session.state != "suspect":
        return None
    last_ms = max([span[0], *(edge for entry in entries for edge in _edges(entry) if edge <= span[1])])
    x = axis.x(last_ms)
    return x, round(max(3.0, axis.x(span[1]) - x), 1)


def manner_of_delivery(class_: str, delay_ms: int) -> str:
    """How a delivery is marked: odd ones before late ones before repeated ones."""
    if class_ in ("replay", "conflict"):
        return "odd"
    if class_ in ("first", "released"):
        return "late" if delay_ms > LATE_MS else "first"
    return "late" if class_ == "late_retry" else "repeated"


def _deliveries(
    entries: Sequence[TimelineEntry], delivered: Sequence[EntryDelivery], axis: Axis, y: float
) -> tuple[list[Dot], list[Tick]]:
    """A dot for each delivery, by its delay on a scale that shows a second as well as an hour."""
    by_position = {entry.position: entry for entry in entries}
    found = [
        (entry, each.position, each.judged_as, each.received_ms - _edges(entry)[-1])
        for each in delivered
        if (entry := by_position.get(each.entry_position)) is not None
    ]
    # What the projection has not taken in yet is drawn as the timeline has it.
    judged = {each.entry_position for each in delivered}
    found += [
        (each, each.position, "first", each.delay_ms) for each in entries if each.position not in judged
    ]
    longest_s = max([60.0, *(delay_ms / 1000 for _, _, _, delay_ms in found)])
    ground, room = y + DELAY_HEIGHT - 10, DELAY_HEIGHT - 22

    def height(delay_s: float) -> float:
        return round(ground - math.log10(1 + max(0.0, delay_s)) / math.log10(1 + longest_s) * room, 1)

    dots = [
        Dot(
            entry=entry,
            position=position,
            class_=class_,
            delay_ms=delay_ms,
            manner=manner_of_delivery(class_, delay_ms),
            x=axis.x(_edges(entry)[-1]),
            y=height(delay_ms / 1000),
        )
        for entry, position, class_, delay_ms in found
    ]
    dots.sort(key=lambda dot: (dot.x, dot.position))
    return dots, [Tick(height(delay_s), label) for delay_s, label in GUIDES_S if delay_s <= longest_s]
