"""A stream's history as a picture: sessions as bars on a time axis, overlapping ones in lanes; pure."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from streamledger.domain.answers import Session
from streamledger.domain.instants import parse_instant_ms
from streamledger.web.pages.axis import Axis, Tick, axis_over

WIDTH: Final = 1000
LEFT: Final = 72
RIGHT: Final = 992
TOP: Final = 24
LANE_HEIGHT: Final = 22
BAR_HEIGHT: Final = 14
BAR_WIDTH_MIN: Final = 3.0
LANES_MAX: Final = 12
"""Sessions that would need a further lane share the last one."""


class BandBar(msgspec.Struct, frozen=True, kw_only=True):
    """A session's bar."""

    session: Session
    lane: int
    x: float
    y: float
    width: float


class Interval(msgspec.Struct, frozen=True):
    """An interval: of an overlap, or of a gap between sessions."""

    x: float
    width: float
    from_ms: int
    until_ms: int


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """The picture; `height` follows from how many lanes there are."""

    from_ms: int
    until_ms: int
    width: int
    height: int
    ticks: list[Tick]
    bars: list[BandBar]
    lanes: int
    overlaps: list[Interval]
    """Where more than one session was on the air."""
    gaps: list[Interval]
    """Between the first start and the last end, where none was."""


def band_of(sessions: Sequence[Session], now_ms: int) -> Band | None:
    """The band of these sessions; None when no time of any is known."""
    spans = [(*span, session) for session in sessions if (span := span_of(session, now_ms)) is not None]
    if not spans:
        return None
    spans.sort(key=lambda each: (each[0], each[1], each[2].sequence))
    from_ms = min(begin for begin, _, _ in spans)
    until_ms = max(end for _, end, _ in spans)
    axis = axis_over(from_ms, until_ms, LEFT, RIGHT)
    bars = _in_lanes(spans, axis)
    lanes = max(bar.lane for bar in bars) + 1
    return Band(
        from_ms=from_ms,
        until_ms=until_ms,
        width=WIDTH,
        height=TOP + lanes * LANE_HEIGHT + 4,
        ticks=axis.ticks(),
        bars=bars,
        lanes=lanes,
        overlaps=_intervals(spans, axis, lambda on_air: on_air > 1),
        gaps=_intervals(spans, axis, lambda on_air: on_air == 0),
    )


def span_of(session: Session, now_ms: int) -> tuple[int, int] | None:
    """From start to stop, or now while there is none; what is unknown is taken from what is known."""
    begin_ms = None if session.started_at is None else parse_instant_ms(session.started_at)
    end_ms = None if session.ended_at is None else parse_instant_ms(session.ended_at)
    if begin_ms is None and end_ms is None:
        return None
    if begin_ms is None:
        assert end_ms is not None  # noqa: S101  # one of both is known
        return end_ms, end_ms
    if end_ms is None:
        end_ms = begin_ms if session.state == "ended" else now_ms
    return min(begin_ms, end_ms), max(begin_ms, end_ms)


def _intervals(
    spans: Sequence[tuple[int, int, Session]], axis: Axis, wanted: Callable[[int], bool]
) -> list[Interval]:
    """Where as many sessions are on the air at once as is wanted, from the first start to the last end."""
    changes = sorted([(begin, 1) for begin, _, _ in spans] + [(end, -1) for _, end, _ in spans])
    found: list[Interval] = []
    on_air = 0
    for (ms, change), (next_ms, _) in pairwise(changes):
        on_air += change
        if next_ms <= ms or not wanted(on_air):
            continue
        from_ms = ms
        if found and found[-1].until_ms == ms:
            from_ms = found.pop().from_ms
        x = axis.x(from_ms)
        found.append(Interval(x, round(max(0.5, axis.x(next_ms) - x), 1), from_ms, next_ms))
    return found


def _in_lanes(spans: Sequence[tuple[int, int, Session]], axis: Axis) -> list[BandBar]:
    """Each session into the first lane that is free at its start."""
    free_at_ms: list[int] = []
    bars = []
    for begin_ms, end_ms, session in spans:
        lane = next((place for place, free in enumerate(free_at_ms) if free <= begin_ms), len(free_at_ms))
        if lane == len(free_at_ms) and lane < LANES_MAX:
            free_at_ms.append(0)
        lane = min(lane, LANES_MAX - 1)
        free_at_ms[lane] = max(end_ms, begin_ms + 1)
        x = axis.x(begin_ms)
        bars.append(
            BandBar(
                session=session,
                lane=lane,
                x=x,
                y=TOP + lane * LANE_HEIGHT + (LANE_HEIGHT - BAR_HEIGHT) / 2,
                width=round(max(BAR_WIDTH_MIN, axis.x(end_ms) - x), 1),
            )
        )
    return bars
