"""A time axis for pictures: from milliseconds to places, and round instants to mark it with."""

from datetime import timedelta
from typing import Final

import msgspec

from streamledger.web.zones import zone

_S: Final = 1000
_MIN: Final = 60 * _S
_H: Final = 60 * _MIN
_DAY: Final = 24 * _H
STEPS_MS: Final = (
    *(_S * count for count in (1, 2, 5, 10, 15, 30)),
    *(_MIN * count for count in (1, 2, 5, 10, 15, 30)),
    *(_H * count for count in (1, 2, 3, 6, 12)),
    *(_DAY * count for count in (1, 2, 7, 14, 28, 91, 182, 364, 3640)),
)
TICKS_MAX: Final = 8
SPAN_MS_MIN: Final = 2000
"""A shorter span is drawn as if it were this long."""


class Tick(msgspec.Struct, frozen=True):
    """A mark on the axis."""

    x: float
    label: str


class Axis(msgspec.Struct, frozen=True):
    """An interval of time on a part of a picture."""

    from_ms: int
    until_ms: int
    left: float
    right: float

    def x(self, ms: int) -> float:
        """The place of an instant; those beyond the ends are put on them."""
        inside = min(max(ms, self.from_ms), self.until_ms)
        share = (inside - self.from_ms) / (self.until_ms - self.from_ms)
        return round(self.left + share * (self.right - self.left), 1)

    def ticks(self) -> list[Tick]:
        """Round instants, at most eight; the date where a day begins, and on the first when days pass."""
        span_ms = self.until_ms - self.from_ms
        step_ms = next((step for step in STEPS_MS if span_ms / step <= TICKS_MAX), STEPS_MS[-1])
        here = zone()
        ahead_ms = here.offset(self.from_ms) // timedelta(milliseconds=1)
        first_ms = -(-(self.from_ms + ahead_ms) // step_ms) * step_ms - ahead_ms
        several_days = here.text(self.from_ms)[:10] != here.text(self.until_ms)[:10]
        found: list[Tick] = []
        day_shown = None
        for ms in range(first_ms, self.until_ms + 1, step_ms):
            text = here.text(ms)
            clock = text[11:19] if step_ms < _MIN else text[11:16]
            if step_ms >= _DAY:
                label = text[:10] if span_ms > 300 * _DAY else text[5:10]
            elif several_days and text[:10] != day_shown:
                label = f"{text[5:10]} {clock}"
            else:
                label = clock
            day_shown = text[:10]
            found.append(Tick(self.x(ms), label))
        return found[: TICKS_MAX + 1]


def axis_over(from_ms: int, until_ms: int, left: float, right: float) -> Axis:
    """An axis over a span, with a little room on both sides."""
    span_ms = max(until_ms - from_ms, SPAN_MS_MIN)
    room_ms = span_ms // 50
    return Axis(from_ms - room_ms, from_ms + span_ms + room_ms, left, right)
