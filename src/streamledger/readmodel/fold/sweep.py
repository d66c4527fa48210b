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


def lay(
    media: Iterable[Media], spans: Sequence[Placed], margin_ms: int = MARGIN_MS
) -> Iterator[tuple[Media, Beside]]:
    """Media in the order of time, each with the spans beside it; `spans` are in order of their beginnings."""
    ordered = sorted(media, key=attrgetter("began_ms"))
    if len(spans) <= FEW:
        beside = Beside(list(spans))
        for each in ordered:
            yield each, beside
        return
    beside = Beside([], [], {})
    place = 0
    comes_ms, gone_ms = spans[0].span.from_ms, OPEN_END_MS
    for each in ordered:
        if comes_ms <= each.until_ms + margin_ms or gone_ms < each.began_ms - margin_ms:
            near = beside.near
            while place < len(spans) and spans[place].span.from_ms <= each.until_ms + margin_ms:
                near.append(spans[place])
                place += 1
            beside = _without_gone(beside, each.began_ms - margin_ms)
            comes_ms = spans[place].span.from_ms if place < len(spans) else OPEN_END_MS
            gone_ms = min((each.span.until_ms for each in beside.near), default=OPEN_END_MS)
        yield each, beside


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


class Sure(msgspec.Struct, gc=False):
    """The one push in which a medium surely lies, and all like it that lie between these moments."""

    sequence: str
    like: PlainMedia
    beside: Beside
    from_ms: int
    until_ms: int

    def holds(self, media: PlainMedia, beside: Beside) -> bool:
        """Whether it says the same of another medium of the stream."""
        like = self.like
        return (
            self.from_ms <= media.began_ms
            and media.until_ms <= self.until_ms
            and beside is self.beside
            and media.stream_param == like.stream_param
            and media.app == like.app
            and media.appname == like.appname
        )


def surely_in(media: PlainMedia, beside: Beside) -> Sure | None:
    """The one push in which the medium surely lies, when no other comes near it."""
    began_ms, until_ms = media.began_ms, media.until_ms
    witness = witness_of(media.stream_param)
    only = None
    after_ms, before_ms = -OPEN_END_MS, OPEN_END_MS
    for each in beside.near:
        if until_ms < each.from_ms:
            before_ms = min(before_ms, each.from_ms)
            continue
        gone_ms = each.until_ms
        if began_ms > gone_ms and each.span.stream_param == witness:
            gone_ms = max(gone_ms, each.witness_until_ms)
        if began_ms > gone_ms:
            after_ms = max(after_ms, gone_ms)
        elif only is not None or began_ms > each.until_ms:
            return None
        else:
            only = each
    if (
        only is None
        or media.at_ms < only.sure_from_ms
        or until_ms > only.sure_until_ms
        or not same_place(media.app, media.appname, only.span)
        or differ(witness, only.span.stream_param)
        or witness in beside.by_witness
    ):
        return None
    from_ms, until_ms = max(only.sure_from_ms, after_ms + 1), min(only.sure_until_ms, before_ms - 1)
    return Sure(only.span.sequence, media, beside, from_ms, until_ms)


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
