"""Small plots: one bar a minute; pure."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

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
