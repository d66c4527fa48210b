"""What attribution speaks of: items, decisions with their reasons, and intervals on a stream's time axis."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

from streamledger.domain.session import Span

SLACK_MS: Final = 5000
"""Times of media are "not exact to the second" (267/38082): how far beside a push its media may lie."""


ALTERNATIVES_MAX: Final = 16
"""Sessions that were considered and not chosen which an attribution names; how many there were it counts."""


WRITING_MS_MAX: Final = 12 * 3600 * 1000
"""A file whose writing began longer than this before its content says nothing by that."""


class Confidence(StrEnum):
    """How sure an attribution is."""

    CERTAIN = "certain"
    PROBABLE = "probable"
    AMBIGUOUS = "ambiguous"


REASONS: Final = {
    "inside": "its time lies inside the push",
    "near": "its time lies outside the push, within the slack of a few seconds",
    "sticks_out": "part of it lies outside the push",
    "no_time": "its time cannot be read, so it belongs nowhere",
    "start_unknown": "the start of the push is not known",
    "stop_missing": "the push has no stop, and a newer push began before this",
    "only_candidate": "no other push of the stream comes near",
    "fits_best": "other pushes of the stream come near, and fit less well",
    "stream_param": "its stream_param equals that of this push and of no other candidate",
    "several": "it spans several pushes of the stream; this is one of them",
    "rivals": "several pushes of the stream ran at that time and nothing tells them apart",
    "other_param": "its stream_param differs from that of this push",
    "began_here": "its writing began while this push ran, and while no other candidate did",
    "began_elsewhere": "its writing began while another push ran",
    "address": "one of both names an address for its push domain, and their stream_param is the same",
    "last_open": "no push is known to have run at that time; this is the latest one without a stop",
}
"""What each reason code means, for people."""


class Item(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A recording (content interval) or a moment (until_ms == at_ms) that has to find its session."""

    at_ms: int
    until_ms: int
    app: str | None = None
    appname: str | None = None
    stream_param: str | None = None
    writing_ms: int | None = None
    """When the writing of a recording began, not too long before; earlier than content that was resumed."""

    @property
    def began_ms(self) -> int:
        """The earliest moment that says anything of where it belongs."""
        return self.at_ms if self.writing_ms is None else min(self.at_ms, self.writing_ms)


class Attribution(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One session an item belongs to; an item that spans several pushes has several."""

    sequence: str
    confidence: Confidence
    because: tuple[str, ...]
    alternatives: tuple[str, ...] = ()
    """Sequences of the sessions that were considered for the same part and not chosen, the first so many."""
    alternatives_total: int = 0
    """How many those are in all."""


Interval = tuple[int, int]


def writing_of(at_ms: int, writing_ms: int | None) -> int | None:
    """When writing began, as far as it says anything of content that begins at `at_ms`."""
    return None if writing_ms is None or at_ms - writing_ms > WRITING_MS_MAX else writing_ms


def core_of(item: Item, slack_ms: int = SLACK_MS) -> Interval:
    """What surely belongs to the item whatever its times are off by: without the slack at both ends.

    Of an item no longer than twice the slack, its middle.
    """
    if item.until_ms - item.at_ms > 2 * slack_ms:
        return item.at_ms + slack_ms, item.until_ms - slack_ms
    middle_ms = (item.at_ms + item.until_ms) // 2
    return middle_ms, middle_ms


def possible_of(span: Span) -> Interval:
    return span.from_ms, span.until_ms


def sure_of(span: Span) -> Interval:
    return (
        span.from_ms if span.sure_from_ms is None else span.sure_from_ms,
        span.until_ms if span.sure_until_ms is None else span.sure_until_ms,
    )


def meets(one: Interval, other: Interval) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def overlap_of(item: Item, interval: Interval) -> int:
    return min(item.until_ms, interval[1]) - max(item.at_ms, interval[0])


def witness_of(item: Item, candidates: Sequence[Span]) -> Span | None:
    """The one candidate whose stream_param equals the item's."""
    if not item.stream_param:
        return None
    witnesses = [span for span in candidates if span.stream_param == item.stream_param]
    return witnesses[0] if len(witnesses) == 1 else None


def alternatives_of(spans: Sequence[Span]) -> tuple[str, ...]:
    """Those of the pushes that an attribution names."""
    return tuple(sorted(span.sequence for span in spans)[:ALTERNATIVES_MAX])


def doubts_of(span: Span, *, unsure: bool) -> list[str]:
    doubts = [] if span.from_certain else ["start_unknown"]
    if unsure and span.open:
        doubts.append("stop_missing")
    return doubts


def order_of(span: Span) -> tuple[int, str]:
    """By their beginnings; of equal ones the name decides."""
    return span.from_ms, span.sequence


def differ(one: str | None, other: str | None) -> bool:
    """Whether two texts are known and not the same."""
    return bool(one) and bool(other) and one != other
