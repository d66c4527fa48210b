"""What projections take in: the ledger's events, read, most of them in a shorter form."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from streamledger.domain.attributed import writing_of
from streamledger.domain.events import Delivery
from streamledger.domain.kinds import ROW_BY_KIND
from streamledger.domain.notification import AHEAD_MS_MAX, Kind, Notification, believable
from streamledger.readmodel.fold.rows import BARE
from streamledger.readmodel.fold.witness import witness_of
from streamledger.tencent.bodies import Body, RecordingBody, ScreenshotBody
from streamledger.tencent.fields import key_of
from streamledger.tencent.reader import read_from, read_plain, read_with_t

_SCREENSHOT: Final = Kind.SCREENSHOT.value
_RECORDING: Final = Kind.RECORDING.value
MEDIA_NAMES: Final = frozenset(ROW_BY_KIND[kind].stored_name for kind in (Kind.RECORDING, Kind.SCREENSHOT))


class Fact(msgspec.Struct, frozen=True, gc=False):
    """One event of the ledger, read."""

    position: int
    delivery: Delivery
    notification: Notification
    t: str | None
    """As in the envelope."""


def fact_of(position: int, delivery: Delivery) -> Fact:
    """A delivery of the ledger, read. Raises MalformedBody when it cannot be."""
    return _believed(position, delivery, *read_with_t(delivery.body))


def _believed(position: int, delivery: Delivery, notification: Notification, t: str | None) -> Fact:
    # A time that cannot have been by its receipt counts as none; which content has it, every delivery says.
    return Fact(position, delivery, believable(notification, delivery.received_at_us // 1000), t)


class PlainMedia(msgspec.Struct, array_like=True, tag=0, gc=False):
    """A screenshot or a recording of which every field can be taken as it was sent, under its own stream.

    Of a hundred events some ninety are such. `fold.sweep` says what becomes of them."""

    position: int
    received_us: int
    kind: str
    stream_id: str
    key: str
    at_ms: int
    until_ms: int
    """When its content ended: not before it began, and of a screenshot the same."""
    began_ms: int
    """Where anything of it begins: of a recording its writing, if that is before its content."""
    app: str | None
    appname: str | None
    stream_param: str | None
    t: int | None
    writing_ms: int | None = None
    """When the writing of a recording began, as far as that says anything."""
    duration_ms: int | None = None
    file_bytes: int | None = None
    task: str | None = None
    delivery: Delivery | None = None
    """None of what was read before: the ledger has it."""


def began_before(media: PlainMedia) -> int | None:
    """When its writing began, where that is before its content: as rows have it."""
    return media.began_ms if media.began_ms < media.at_ms else None


def bare(media: PlainMedia) -> str | None:
    """What is noted of a recording without stream_param."""
    return BARE if media.kind == _RECORDING and not media.stream_param else None


Event = Fact | PlainMedia


def as_fact(event: Event) -> Fact:
    """The event in the long form."""
    return event if isinstance(event, Fact) else fact_of(event.position, delivery_of(event))


def delivery_of(event: Event) -> Delivery:
    """The delivery that brought the event, which must be at hand."""
    assert event.delivery is not None  # noqa: S101  # as said
    return event.delivery


def kind_of(event: Event) -> str:
    """What the event tells, as the values of Kind are."""
    return event.kind if isinstance(event, PlainMedia) else event.notification.kind.value


def stream_of(event: Event) -> str | None:
    """The stream that its body names."""
    return event.notification.stream_id if isinstance(event, Fact) else event.stream_id


def read_event(position: int, name: str, originator: str, delivery: Delivery) -> Event:
    """A delivery of the ledger, in the short form if it fits. Raises MalformedBody when it cannot be read."""
    if name not in MEDIA_NAMES:
        return fact_of(position, delivery)
    read = read_plain(delivery.body)
    if read is not None:
        media = plain_of(position, originator, delivery, read)
        if media is not None:
            return media
    return _believed(position, delivery, *read_from(read, delivery.body))


class History(msgspec.Struct, frozen=True):
    """Some streams' events, each once: plain media for the fast path, all others as facts."""

    facts: Iterable[Fact]
    """In the order of their positions."""
    plain: dict[str, list[PlainMedia]]
    """By stream, in no order."""

    def without_plain(self) -> "History":
        """The same with everything as facts."""
        facts = [as_fact(media) for found in self.plain.values() for media in found]
        return History(sorted([*self.facts, *facts], key=_position), {})


def _position(fact: Fact) -> int:
    return fact.position


def plain_of(position: int, originator: str, delivery: Delivery, read: Body) -> PlainMedia | None:
    """The media in this delivery if they are plain; whether they came once the caller sees."""
    if delivery.believed.release is not None or read.stream_id != originator or read.sequence is not None:
        return None
    at_ms, until_ms = read.interval_ms()
    if at_ms is None:
        return None
    if type(read) is ScreenshotBody:
        kind, until_ms, began_ms = _SCREENSHOT, at_ms, at_ms
        writing_ms = duration_ms = file_bytes = task = None
    elif type(read) is RecordingBody:
        kind, writing_ms = _RECORDING, writing_of(at_ms, read.began_ms())
        began_ms = at_ms if writing_ms is None or writing_ms > at_ms else writing_ms
        duration_ms, file_bytes, task = read.lasted_ms(), read.file_size, witness_of(read.task_id)
    else:
        return None
    received_us = delivery.received_at_us
    if until_ms is None or until_ms < at_ms or until_ms > received_us // 1000 + AHEAD_MS_MAX:
        return None
    identity = read.identity()
    if identity is None:
        return None
    key = key_of(identity)
    if "\\" in originator or "\\" in key:  # it would have to be escaped in a line of COPY
        return None
    app, appname = read.place()
    return PlainMedia(
        position,
        received_us,
        kind,
        originator,
        key,
        at_ms,
        until_ms,
        began_ms,
        app,
        appname,
        read.stream_param or None,
        read.t,
        writing_ms,
        duration_ms,
        file_bytes,
        task,
        delivery,
    )


_OfStream = dict[str, PlainMedia | None]
# By key; None where the notification came more than once.


class Sorting:
    """Sorts plain media from all others; what came more than once is none, all of it."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._facts: list[Event] = []
        self._plain: dict[str, dict[str, _OfStream]] = {_SCREENSHOT: {}, _RECORDING: {}}
        """By kind and stream."""
        for event in events:
            self.put(event)

    def put(self, event: Event) -> None:
        """The next event, each stream in the order of positions."""
        if isinstance(event, PlainMedia):
            found = self._plain[event.kind].get(event.stream_id)
            if found is None:
                found = self._plain[event.kind][event.stream_id] = {}
            if found.setdefault(event.key, event) is not event:
                self._take_out(found, event.key)
                self._facts.append(event)
        else:
            self._facts.append(event)
            notification = event.notification
            if notification.stream_id is not None:
                self._has_come(notification.stream_id, notification.kind.value, notification.key)

    def _has_come(self, stream_id: str, kind: str, key: str) -> None:
        """Another delivery of this identity is elsewhere, so that it is not plain."""
        of_kind = self._plain.get(kind)
        if of_kind is not None:
            self._take_out(of_kind.setdefault(stream_id, {}), key)

    def _take_out(self, found: _OfStream, key: str) -> None:
        first = found.get(key)
        if first is not None:
            self._facts.append(first)
        found[key] = None

    def _whole(self, look_up: Callable[[Sequence[int]], Iterable[Fact]]) -> list[Fact]:
        """What is not plain, in the order of positions."""
        elsewhere = [each.position for each in self._facts if each.delivery is None]
        looked_up = {fact.position: fact for fact in look_up(sorted(elsewhere))} if elsewhere else {}
        facts = [looked_up.get(each.position) or as_fact(each) for each in self._facts]
        return sorted(facts, key=_position)

    def _alone(self) -> dict[str, list[PlainMedia]]:
        """Plain media that came once, by stream."""
        found: dict[str, list[PlainMedia]] = {}
        for of_kind in self._plain.values():
            for stream_id, media in of_kind.items():
                alone = [each for each in media.values() if each is not None]
                if alone:
                    found.setdefault(stream_id, []).extend(alone)
        return found

    def sorted(self, look_up: Callable[[Sequence[int]], Iterable[Fact]]) -> History:
        """All that was put in; `look_up` reads the events at some positions, of which not all is at hand."""
        return History(self._whole(look_up), self._alone())
