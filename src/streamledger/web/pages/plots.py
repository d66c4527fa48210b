"""Small plots: one bar a minute; pure."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from streamledger.domain.delivery_answers import AuditDay
from streamledger.domain.notification import Kind

BAR_WIDTH: Final = 4
BAR_GAP: Final = 1
HEIGHT: Final = 32

GROUPS: Final = {
    "pushes": (Kind.PUSH_STARTED, Kind.PUSH_STOPPED),
    "recordings": (Kind.RECORDING,),
    "screenshots": (Kind.SCREENSHOT,),
    "errors": (Kind.PUSH_ERROR, Kind.RECORDING_STATUS, Kind.RECORDING_EXCEPTION, Kind.OTHER),
}
"""Which kinds share a plot, by the plot's name in the catalogue."""


class Bar(msgspec.Struct, frozen=True):
    """A bar that stands on the ground of its plot."""

    x: int
    y: float
    height: float


class Plot(msgspec.Struct, frozen=True, kw_only=True):
    """One small plot: bars in a box of `width` by `height`."""

    name: str
    width: int
    height: int
    bars: list[Bar]
    total: int
    most: int

    @property
    def path(self) -> str:
        """All bars as one shape: four plots of sixty elements would be half of the first page's."""
        return "".join(f"M{bar.x} {HEIGHT}v{-bar.height:g}h{BAR_WIDTH}v{bar.height:g}z" for bar in self.bars)


def plots_of(minutes: Mapping[str, Sequence[int]], length: int) -> list[Plot]:
    """One plot a group, each to its own scale; `length` is how many minutes there are."""
    found = []
    for name, kinds in GROUPS.items():
        series = [minutes[kind.value] for kind in kinds if kind.value in minutes]
        values = [sum(column) for column in zip(*series, strict=True)] if series else [0] * length
        found.append(plot_of(name, values))
    return found


def plot_of(name: str, values: Sequence[int]) -> Plot:
    """A plot of counts; a count above nothing is never invisible."""
    most = max(values, default=0)
    bars = []
    for place, value in enumerate(values):
        if value:
            height = round(max(1.5, value / most * HEIGHT), 1)
            bars.append(Bar(place * (BAR_WIDTH + BAR_GAP), round(HEIGHT - height, 1), height))
    return Plot(
        name=name,
        width=len(values) * (BAR_WIDTH + BAR_GAP),
        height=HEIGHT,
        bars=bars,
        total=sum(values),
        most=most,
    )


class DayBar(msgspec.Struct, frozen=True, kw_only=True):
    """One day: what was believed at the ground, what was set aside above it."""

    x: float
    width: float
    label: str
    count: int
    aside: int
    kept_y: float
    kept_height: float
    aside_y: float
    aside_height: float


DAYS_WIDTH: Final = 1000
DAYS_HEIGHT: Final = 132
DAYS_TOP: Final = 20
DAYS_GROUND: Final = 110


def days_of(days: Sequence[AuditDay]) -> list[DayBar]:
    """A bar a day, to one scale; a count above nothing is never invisible."""
    most = max((day.received for day in days), default=0)
    step = DAYS_WIDTH / max(1, len(days))

    def height(count: int) -> float:
        return round(max(2.0, count / most * (DAYS_GROUND - DAYS_TOP)), 1) if count else 0.0

    bars = []
    for place, day in enumerate(days):
        aside = max(0, day.received - (day.believed - day.released))
        kept_height, aside_height = height(day.received - aside), height(aside)
        bars.append(
            DayBar(
                x=round(place * step + step * 0.2, 1),
                width=round(step * 0.6, 1),
                label=day.day[5:],
                count=day.received,
                aside=aside,
                kept_y=DAYS_GROUND - kept_height,
                kept_height=kept_height,
                aside_y=round(DAYS_GROUND - kept_height - aside_height, 1),
                aside_height=aside_height,
            )
        )
    return bars
