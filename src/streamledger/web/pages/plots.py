"""Small plots: one bar a minute; pure."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from streamledger.domain.delivery_answers import AuditDay
from streamledger.domain.kinds import Group, kinds_in
from streamledger.readmodel.projections.tallies import MINUTE_MS

BAR_WIDTH: Final = 4
BAR_GAP: Final = 1
HEIGHT: Final = 32

GROUPS: Final = {
    "pushes": kinds_in(Group.PUSHES),
    "recordings": kinds_in(Group.RECORDINGS),
    "screenshots": kinds_in(Group.SCREENSHOTS),
    "errors": kinds_in(Group.ERRORS, Group.OTHERS),
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


class StackedBar(msgspec.Struct, frozen=True, kw_only=True):
    """What was believed in a time at the ground, what was set aside above it."""

    x: float
    width: float
    at_ms: int
    label: str
    count: int
    aside: int
    kept_y: float
    kept_height: float
    aside_y: float
    aside_height: float


STACKED_WIDTH: Final = 1000
STACKED_TOP: Final = 20
STACKED_GROUND: Final = 110


def days_of(days: Sequence[AuditDay]) -> list[StackedBar]:
    """A bar a day."""
    pairs = [
        (day.received - aside, aside)
        for day in days
        for aside in (max(0, day.received - (day.believed - day.released)),)
    ]
    return _stacked(pairs, [(0, day.day[5:]) for day in days], share=0.6)


def minutes_of(believed: Sequence[int], aside: Sequence[int], from_ms: int) -> list[StackedBar]:
    """A bar a minute."""
    times = [from_ms + place * MINUTE_MS for place in range(len(believed))]
    return _stacked(list(zip(believed, aside, strict=True)), [(ms, "") for ms in times], share=0.8)


def _stacked(
    pairs: Sequence[tuple[int, int]], named: Sequence[tuple[int, str]], share: float
) -> list[StackedBar]:
    """Bars to one scale; a count above nothing is never invisible."""
    most = max((kept + aside for kept, aside in pairs), default=0)
    step = STACKED_WIDTH / max(1, len(pairs))

    def height(count: int) -> float:
        return round(max(2.0, count / most * (STACKED_GROUND - STACKED_TOP)), 1) if count else 0.0

    bars = []
    for place, ((kept, aside), (at_ms, label)) in enumerate(zip(pairs, named, strict=True)):
        kept_height, aside_height = height(kept), height(aside)
        bars.append(
            StackedBar(
                x=round(place * step + step * (1 - share) / 2, 1),
                width=round(step * share, 1),
                at_ms=at_ms,
                label=label,
                count=kept + aside,
                aside=aside,
                kept_y=round(STACKED_GROUND - kept_height, 1),
                kept_height=kept_height,
                aside_y=round(STACKED_GROUND - kept_height - aside_height, 1),
                aside_height=aside_height,
            )
        )
    return bars
