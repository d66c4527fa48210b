"""Media laid beside the sessions of their stream, in the order of time: who can hold which.

Of a hundred events some ninety are media that lie in one certain push. They take the short way here, to a
row without a struct for each step; all others are judged by the rules of `domain.attribution`.
"""

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Final, Protocol, TypeVar

import msgspec

from streamledger.domain.attributed import Attribution, Confidence, Item, differ, writing_of
from streamledger.domain.attribution import PLAIN
from streamledger.domain.by_time import LAST_OPEN_MAX
from streamledger.domain.notification import Notification, Recording
from streamledger.domain.session import OPEN_END_MS, Span
from streamledger.domain.succession import same_place
from streamledger.readmodel.fold.facts import PlainMedia
from streamledger.readmodel.fold.pushes import MARGIN_MS, Placed
from streamledger.readmodel.fold.rows import TimelineRow
from streamledger.readmodel.fold.witness import witness_of

FEW: Final = 4
"""So few spans are all looked at for each medium: to let them come and go would cost more."""


class Timed(Protocol):
    """What has its place on the time axis."""

    @property
    def began_ms(self) -> int:
        """Where anything of it begins: of a recording its writing, if that is before its content."""

    @property
    def until_ms(self) -> int:
        """Where it ends; of a moment the same."""


Media = TypeVar("Media", bound=Timed)
_BEGAN: Final = attrgetter("began_ms")


class Beside(msgspec.Struct, gc=False):
    """The spans that a medium has to do with."""

    near: list[Placed]
    last_open: Sequence[Placed] = ()
    """The latest ones without a stop among those that are no longer near."""
    by_witness: dict[str, list[Placed]] = {}
    """Those no longer near that are still possible for media with their stream_param."""

    def candidates(self, item: Item, slack_ms: int) -> list[Span]:
        """For the rules of attribution: all that may hold a medium, or bear on who does.

        The latest open ones do so only where no other comes near.
        """
        found = self.near
        if self.last_open and not _comes_near(item, found, slack_ms):
            found = [*found, *self.last_open]
        if item.stream_param is not None and item.stream_param in self.by_witness:
            found = found + [each for each in self.by_witness[item.stream_param] if each not in found]
        return [each.span for each in found]


def _comes_near(item: Item, found: Sequence[Placed], slack_ms: int) -> bool:
    """Whether any of them, of just the item's place, comes near it; the latest is the likeliest."""
    from_ms, until_ms = item.at_ms - slack_ms, item.until_ms + slack_ms
    for each in reversed(found):
        span = each.span
        if (
            span.from_ms <= until_ms
            and from_ms <= span.until_ms
            and (item.app, item.appname) == (span.app, span.appname)
        ):
            return True
    return False


class Sweep:
    """The spans of a stream, in order of their beginnings, as they come and go while time goes on."""

    def __init__(self, spans: Sequence[Placed], margin_ms: int = MARGIN_MS) -> None:
        self._spans = spans
        self._margin_ms = margin_ms
        self._place = 0
        if len(spans) <= FEW:
            self._beside = Beside(list(spans))
            self._comes_ms = self._gone_ms = OPEN_END_MS
        else:
            self._beside = Beside([], [], {})
            self._comes_ms, self._gone_ms = spans[0].span.from_ms, OPEN_END_MS

    def beside(self, began_ms: int, until_ms: int) -> Beside:
        """The spans beside what lies there; it began no sooner than what was asked for before."""
        margin_ms = self._margin_ms
        if self._comes_ms <= until_ms + margin_ms or self._gone_ms < began_ms - margin_ms:
            self._move(began_ms - margin_ms, until_ms + margin_ms)
        return self._beside

    @property
    def stays_ms(self) -> int:
        """Up to here all that has ended is beside the same spans."""
        return min(self._comes_ms - self._margin_ms - 1, self._gone_ms + self._margin_ms)

    def _move(self, gone_ms: int, come_ms: int) -> None:
        near, spans = self._beside.near, self._spans
        while self._place < len(spans) and spans[self._place].span.from_ms <= come_ms:
            near.append(spans[self._place])
            self._place += 1
        self._beside = _without_gone(self._beside, gone_ms)
        self._comes_ms = spans[self._place].span.from_ms if self._place < len(spans) else OPEN_END_MS
        self._gone_ms = min((each.span.until_ms for each in self._beside.near), default=OPEN_END_MS)


def lay(
    media: Iterable[Media], spans: Sequence[Placed], margin_ms: int = MARGIN_MS
) -> Iterator[tuple[Media, Beside]]:
    """Media in the order of time, each with the spans beside it."""
    sweep = Sweep(spans, margin_ms)
    for each in sorted(media, key=_BEGAN):
        yield each, sweep.beside(each.began_ms, each.until_ms)


def lay_plain(
    media: Iterable[PlainMedia], spans: Sequence[Placed]
) -> Iterator[tuple[Sequence[PlainMedia], str | None, Beside]]:
    """Likewise, those together that surely lie in one push, with its sequence; all others one by one."""
    ordered = sorted(media, key=_BEGAN)
    sweep = Sweep(spans)
    first, count = 0, len(ordered)
    while first < count:
        each = ordered[first]
        beside = sweep.beside(each.began_ms, each.until_ms)
        sure = surely_in(each, beside)
        last = first + 1
        if sure is not None:
            until_ms = min(sure.until_ms, sweep.stays_ms)
            stream_param, app, appname = each.stream_param, each.app, each.appname
            while (
                last < count
                and (other := ordered[last]).until_ms <= until_ms
                and other.stream_param == stream_param
                and other.app == app
                and other.appname == appname
            ):
                last += 1
        yield ordered[first:last], None if sure is None else sure.sequence, beside
        first = last


def _without_gone(beside: Beside, gone_ms: int) -> Beside:
    near, opened = [], list(beside.last_open)
    by_witness = beside.by_witness
    for each in beside.near:
        span = each.span
        if span.until_ms >= gone_ms:
            near.append(each)
        elif span.open:
            opened.append(each)
            if span.stream_param is not None and span.witness_until_ms >= gone_ms:
                kept = by_witness.setdefault(span.stream_param, [])
                kept[:] = [one for one in kept if one.span.witness_until_ms >= gone_ms] + [each]
    opened.sort(key=lambda each: (each.span.from_ms, each.span.sequence))
    return Beside(near, opened[-LAST_OPEN_MAX:], by_witness)


class Sure(msgspec.Struct, frozen=True, gc=False):
    """The one push in which a medium surely lies, and all like it that begin later and end by a moment."""

    sequence: str
    until_ms: int


def surely_in(media: PlainMedia, beside: Beside) -> Sure | None:
    """The one push in which the medium surely lies, when no other comes near it."""
    began_ms, until_ms = media.began_ms, media.until_ms
    witness = witness_of(media.stream_param)
    only = None
    comes_ms = OPEN_END_MS
    for each in beside.near:
        if until_ms < each.from_ms:
            comes_ms = min(comes_ms, each.from_ms)
        elif began_ms <= each.until_ms:
            if only is not None:
                return None
            only = each
        elif each.span.stream_param == witness and began_ms <= each.witness_until_ms:
            return None
    if (
        only is None
        or media.at_ms < only.sure_from_ms
        or until_ms > only.sure_until_ms
        or not same_place(media.app, media.appname, only.span)
        or differ(witness, only.span.stream_param)
        or witness in beside.by_witness
    ):
        return None
    if began_ms < only.sure_from_ms:  # by its writing: then what begins later may lie before it all the same
        return Sure(only.span.sequence, -OPEN_END_MS)
    return Sure(only.span.sequence, min(only.sure_until_ms, comes_ms - 1))


def item_of(notification: Notification) -> Item:
    """What attribution needs to know of a notification; without a readable time it fits nowhere."""
    at_ms = at_ms_of(notification)
    if at_ms is None:
        at_ms = -OPEN_END_MS
    until_ms = notification.until_ms if notification.until_ms is not None else at_ms
    detail = notification.detail
    return Item(
        at_ms=at_ms,
        until_ms=max(at_ms, until_ms),
        app=notification.app,
        appname=notification.appname,
        stream_param=witness_of(notification.stream_param),
        writing_ms=writing_of(at_ms, detail.writing_started_ms) if isinstance(detail, Recording) else None,
    )


def item_of_plain(media: PlainMedia) -> Item:
    """The same of a plain medium."""
    return Item(
        at_ms=media.at_ms,
        until_ms=media.until_ms,
        app=media.app,
        appname=media.appname,
        stream_param=witness_of(media.stream_param),
        writing_ms=media.writing_ms,
    )


def at_ms_of(notification: Notification) -> int | None:
    """When the fact happened; a recording of which only the end can be read stands there, as a moment."""
    return notification.at_ms if notification.at_ms is not None else notification.until_ms


def place(
    row: TimelineRow, decided: Sequence[Attribution], unattributed_because: str | None
) -> list[TimelineRow]:
    """The rows of a notification with these attributions; `row` is the pattern of what they share."""
    if not decided:
        return [
            msgspec.structs.replace(
                row,
                part=0,
                sequence="",
                confidence=None,
                because=unattributed_because,
                alternatives=None,
                alternatives_total=None,
            )
        ]
    return [msgspec.structs.replace(row, part=part, **_attributed(each)) for part, each in enumerate(decided)]


def _attributed(each: Attribution) -> dict[str, object]:
    is_plain = each.confidence is Confidence.CERTAIN and each.because == PLAIN
    return {
        "sequence": each.sequence,
        # What nearly all media are is not written out.
        "confidence": None if is_plain else each.confidence.value,
        "because": None if is_plain else ",".join(each.because),
        "alternatives": each.alternatives or None,
        "alternatives_total": each.alternatives_total
        if each.alternatives_total > len(each.alternatives)
        else None,
    }
