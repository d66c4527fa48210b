"""What projections take in: the ledger's events, read, most of them in a shorter form."""

from collections.abc import Iterable
from typing import Final

import msgspec

from streamledger.domain.events import RECORDING_CREATED, SCREENSHOT_CREATED, Delivery, originator_of
from streamledger.domain.notification import Kind, Notification
from streamledger.tencent.fields import key_of
from streamledger.tencent.reader import read_from, read_with_t
from streamledger.tencent.usual import (
    Usual,
    content_ms_of,
    is_plain_recording,
    is_plain_screenshot,
    read_usual,
)

_SCREENSHOT: Final = Kind.SCREENSHOT.value
_RECORDING: Final = Kind.RECORDING.value
_MEDIA_NAMES: Final = (SCREENSHOT_CREATED, RECORDING_CREATED)


class Fact(msgspec.Struct, frozen=True):
    """One event of the ledger, read."""

    position: int
    delivery: Delivery
    notification: Notification
    t: str | None
    """As in the envelope."""


def fact_of(position: int, delivery: Delivery) -> Fact:
    """A delivery of the ledger, read. Raises MalformedBody when it cannot be."""
    return Fact(position, delivery, *read_with_t(delivery.body))


class PlainMedia(msgspec.Struct, gc=False):
    """A screenshot or a recording of which every field can be taken as it was sent, under its own stream.

    Of a hundred events some ninety are such. `readmodel.plain` says what becomes of them."""

    position: int
    delivery: Delivery
    event_type: int
    kind: str
    stream_id: str
    key: str
    at_ms: int
    until_ms: int
    """When its content ended: not before it began, and of a screenshot the same."""
    app: str | None
    appname: str | None
    stream_param: str | None
    t: int | None
    duration_s: int | None = None
    file_bytes: int | None = None


Event = Fact | PlainMedia


def as_fact(event: Event) -> Fact:
    """The event in the long form."""
    return event if isinstance(event, Fact) else fact_of(event.position, event.delivery)


def kind_of(event: Event) -> str:
    """What the event tells, as the values of Kind are."""
    return event.kind if isinstance(event, PlainMedia) else event.notification.kind.value


def stream_of(event: Event) -> str | None:
    """The stream that its body names."""
    return event.notification.stream_id if isinstance(event, Fact) else event.stream_id


def is_stray(event: Event, originator: str) -> bool:
    """Whether its body names another stream than the one that it is stored under."""
    if isinstance(event, PlainMedia):
        return event.stream_id != originator
    notification = event.notification
    return (
        notification.stream_id != originator
        and originator_of(notification.stream_id, notification.event_type) != originator
    )


def read_event(position: int, name: str, originator: str, delivery: Delivery) -> Event:
    """A delivery of the ledger, in the short form if it fits. Raises MalformedBody when it cannot be read."""
    if name not in _MEDIA_NAMES:
        return fact_of(position, delivery)
    usual = read_usual(delivery.body)
    if usual is not None:
        media = plain_of(position, originator, delivery, usual)
        if media is not None:
            return media
    return Fact(position, delivery, *read_from(usual, delivery.body))


class History(msgspec.Struct, frozen=True):
    """Some streams' events, each once: plain media in the lane, all others as facts."""

    facts: Iterable[Fact]
    """In the order of their positions."""
    lane: dict[str, list[PlainMedia]]
    """By stream, in no order."""

    def without_lane(self) -> "History":
        """The same with everything as facts."""
        facts = [as_fact(media) for found in self.lane.values() for media in found]
        return History(sorted([*self.facts, *facts], key=_position), {})


def _position(fact: Fact) -> int:
    return fact.position


def plain_of(position: int, originator: str, delivery: Delivery, usual: Usual) -> PlainMedia | None:
    """The media in this delivery if they can go in the lane; whether they came once the caller sees."""
    if delivery.release is not None or usual.stream_id != originator:
        return None
    if usual.event_type == 200:
        created = usual.create_time
        if created is None or not is_plain_screenshot(usual, delivery.body):
            return None
        kind, identity = _SCREENSHOT, usual.pic_url
        at_ms = until_ms = created * 1000
        duration_s = file_bytes = None
    elif usual.event_type == 100 and is_plain_recording(usual, delivery.body):
        kind, identity = _RECORDING, usual.file_id
        at_ms, until_ms = content_ms_of(usual)
        duration_s, file_bytes = usual.duration, usual.file_size
        if until_ms < at_ms:
            return None
    else:
        return None
    assert identity is not None  # noqa: S101  # plain media have one
    key = key_of(identity)
    if "\\" in originator or "\\" in key:  # it would have to be escaped in a line of COPY
        return None
    return PlainMedia(
        position,
        delivery,
        usual.event_type,
        kind,
        originator,
        key,
        at_ms,
        until_ms,
        usual.app,
        usual.appname,
        usual.stream_param,
        usual.t,
        duration_s,
        file_bytes,
    )


_InLane = dict[str, PlainMedia | None]
# By key; None where the notification came more than once.


class Sorting:
    """Sorts events into the lane and beside it; what came more than once goes beside it, all of it."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._facts: list[Fact] = []
        self._lanes: dict[str, dict[str, _InLane]] = {_SCREENSHOT: {}, _RECORDING: {}}
        """By kind and stream."""
        for event in events:
            self.put(event)

    def put(self, event: Event) -> None:
        """The next event, each stream in the order of positions."""
        if isinstance(event, PlainMedia):
            lane = self._lanes[event.kind]
            found = lane.get(event.stream_id)
            if found is None:
                found = lane[event.stream_id] = {}
            if found.setdefault(event.key, event) is not event:
                self._out_of_lane(found, event.key)
                self._facts.append(as_fact(event))
        else:
            self._facts.append(event)
            notification = event.notification
            if notification.stream_id is not None:
                self.has_come(notification.stream_id, notification.kind.value, notification.key)

    def has_come(self, stream_id: str, kind: str, key: str) -> None:
        """Another delivery of this identity is elsewhere, so that it is not for the lane."""
        lane = self._lanes.get(kind)
        if lane is not None:
            self._out_of_lane(lane.setdefault(stream_id, {}), key)

    def _out_of_lane(self, found: _InLane, key: str) -> None:
        first = found.get(key)
        if first is not None:
            self._facts.append(as_fact(first))
        found[key] = None

    def keys(self) -> set[tuple[str, str, str]]:
        """Of all that was put in and names a stream: stream_id, kind and key."""
        keys = {
            (fact.notification.stream_id, fact.notification.kind.value, fact.notification.key)
            for fact in self._facts
            if fact.notification.stream_id is not None
        }
        for kind, lane in self._lanes.items():
            for stream_id, found in lane.items():
                keys.update((stream_id, kind, key) for key in found)
        return keys

    def facts(self) -> list[Fact]:
        """What is beside the lane, in the order of positions."""
        return sorted(self._facts, key=_position)

    def lane(self) -> dict[str, list[PlainMedia]]:
        """What is in the lane, by stream."""
        found: dict[str, list[PlainMedia]] = {}
        for lane in self._lanes.values():
            for stream_id, media in lane.items():
                alone = [each for each in media.values() if each is not None]
                if alone:
                    found.setdefault(stream_id, []).extend(alone)
        return found

    def sorted(self) -> History:
        """All that was put in."""
        return History(self.facts(), self.lane())
