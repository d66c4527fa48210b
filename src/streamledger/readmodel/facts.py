"""What projections take in: the ledger's events, read, most of them in a shorter form."""

from collections.abc import Iterable
from typing import Final

import msgspec

from streamledger.domain.events import SCREENSHOT_CREATED, Delivery, originator_of
from streamledger.domain.notification import Kind, Notification
from streamledger.tencent.fields import key_of
from streamledger.tencent.reader import read_from, read_with_t
from streamledger.tencent.usual import Usual, is_plain_screenshot, read_usual

_SCREENSHOT: Final = Kind.SCREENSHOT.value


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


class PlainScreenshot(msgspec.Struct, gc=False):
    """A screenshot of which every field can be taken as it was sent, under its own stream.

    Of a hundred events some eighty are such. `readmodel.plain` says what becomes of them."""

    position: int
    delivery: Delivery
    stream_id: str
    key: str
    at_ms: int
    app: str | None
    appname: str | None
    stream_param: str | None
    t: int | None


Event = Fact | PlainScreenshot


def as_fact(event: Event) -> Fact:
    """The event in the long form."""
    return event if isinstance(event, Fact) else fact_of(event.position, event.delivery)


def kind_of(event: Event) -> Kind:
    """What the event tells."""
    return event.notification.kind if isinstance(event, Fact) else Kind.SCREENSHOT


def stream_of(event: Event) -> str | None:
    """The stream that its body names."""
    return event.notification.stream_id if isinstance(event, Fact) else event.stream_id


def is_stray(event: Event, originator: str) -> bool:
    """Whether its body names another stream than the one that it is stored under."""
    if isinstance(event, PlainScreenshot):
        return event.stream_id != originator
    notification = event.notification
    return (
        notification.stream_id != originator
        and originator_of(notification.stream_id, notification.event_type) != originator
    )


def read_event(position: int, name: str, originator: str, delivery: Delivery) -> Event:
    """A delivery of the ledger, in the short form if it fits. Raises MalformedBody when it cannot be read."""
    if name != SCREENSHOT_CREATED:
        return fact_of(position, delivery)
    usual = read_usual(delivery.body)
    return (usual and plain_of(position, originator, delivery, usual)) or Fact(
        position, delivery, *read_from(usual, delivery.body)
    )


class History(msgspec.Struct, frozen=True):
    """Some streams' events, each once: plain screenshots in the lane, all others as facts."""

    facts: Iterable[Fact]
    """In the order of their positions."""
    shots: dict[str, list[PlainScreenshot]]
    """By stream, in no order."""

    def without_lane(self) -> "History":
        """The same with everything as facts."""
        facts = [as_fact(shot) for shots in self.shots.values() for shot in shots]
        return History(sorted([*self.facts, *facts], key=_position), {})


def _position(fact: Fact) -> int:
    return fact.position


def plain_of(position: int, originator: str, delivery: Delivery, usual: Usual) -> PlainScreenshot | None:
    """The screenshot in this delivery if it can go in the lane; whether it came once the caller sees."""
    if (
        delivery.release is not None
        or usual.stream_id != originator
        or usual.create_time is None
        or usual.pic_url is None
        or not is_plain_screenshot(usual)
    ):
        return None
    key = key_of(usual.pic_url)
    if "\\" in originator or "\\" in key:  # it would have to be escaped in a line of COPY
        return None
    return PlainScreenshot(
        position,
        delivery,
        originator,
        key,
        usual.create_time * 1000,
        usual.app,
        usual.appname,
        usual.stream_param,
        usual.t,
    )


class Sorting:
    """Sorts events into the lane and beside it; what came more than once goes beside it, all of it."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._facts: list[Fact] = []
        self._shots: dict[str, dict[str, PlainScreenshot | None]] = {}
        for event in events:
            self.put(event)

    def put(self, event: Event) -> None:
        """The next event, each stream in the order of positions."""
        if isinstance(event, PlainScreenshot):
            shots = self._shots.get(event.stream_id)
            if shots is None:
                shots = self._shots[event.stream_id] = {}
            if shots.setdefault(event.key, event) is not event:
                self._out_of_lane(shots, event.key)
                self._facts.append(as_fact(event))
        else:
            self._facts.append(event)
            notification = event.notification
            if notification.stream_id is not None:
                self.has_come(notification.stream_id, notification.kind.value, notification.key)

    def has_come(self, stream_id: str, kind: str, key: str) -> None:
        """Another delivery of this identity is elsewhere, so that it is not for the lane."""
        if kind == _SCREENSHOT:
            self._out_of_lane(self._shots.setdefault(stream_id, {}), key)

    def _out_of_lane(self, shots: dict[str, PlainScreenshot | None], key: str) -> None:
        first = shots.get(key)
        if first is not None:
            self._facts.append(as_fact(first))
        shots[key] = None

    def keys(self) -> set[tuple[str, str, str]]:
        """Of all that was put in and names a stream: stream_id, kind and key."""
        found = {
            (fact.notification.stream_id, fact.notification.kind.value, fact.notification.key)
            for fact in self._facts
            if fact.notification.stream_id is not None
        }
        for stream_id, shots in self._shots.items():
            found.update((stream_id, _SCREENSHOT, key) for key in shots)
        return found

    def facts(self) -> list[Fact]:
        """What is beside the lane, in the order of positions."""
        return sorted(self._facts, key=_position)

    def shots(self) -> list[PlainScreenshot]:
        """What is in the lane."""
        return [shot for found in self._shots.values() for shot in found.values() if shot is not None]

    def sorted(self) -> History:
        """All that was put in."""
        shots = {}
        for stream_id, found in self._shots.items():
            alone = [shot for shot in found.values() if shot is not None]
            if alone:
                shots[stream_id] = alone
        return History(self.facts(), shots)
