"""Stable names to domain events and back: what is stored is read by every later version.

The name carries its version. When a struct changes so that old states no longer decode, a new name
is released and an upcaster from the old one is added; stored rows are never rewritten.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec
from eventsourcing.persistence import Mapper, StoredEvent

from streamledger.domain.errors import StreamledgerError
from streamledger.domain.events import (
    ADMIN_ACTED,
    PUSH_STARTED,
    PUSH_STOPPED,
    RECORDING_CREATED,
    SCREENSHOT_CREATED,
    AdminActed,
    Delivery,
    DeliveryEvent,
    ForeignEvent,
    NotificationReceived,
    PushStarted,
    PushStopped,
    RecordingCreated,
    ScreenshotCreated,
    event_name,
)
from streamledger.domain.kinds import NOTIFICATION_RECEIVED, STORED_NAMES

_CLASS_BY_NAME: Final[dict[str, type[DeliveryEvent]]] = {
    PUSH_STARTED: PushStarted,
    PUSH_STOPPED: PushStopped,
    RECORDING_CREATED: RecordingCreated,
    SCREENSHOT_CREATED: ScreenshotCreated,
    NOTIFICATION_RECEIVED: NotificationReceived,
    ADMIN_ACTED: AdminActed,
}


def _class_of(name: str) -> type[DeliveryEvent]:
    """A class for a stored name that a row of the table of kinds has brought."""
    words = name.partition(".")[0].split("-")
    made: Any = msgspec.defstruct(
        "".join(map(str.capitalize, words)), [], bases=(DeliveryEvent,), frozen=True, kw_only=True
    )
    return cast("type[DeliveryEvent]", made)


CLASS_BY_NAME: Final[dict[str, type[DeliveryEvent]]] = {
    **{name: _class_of(name) for name in sorted(STORED_NAMES - _CLASS_BY_NAME.keys())},
    **_CLASS_BY_NAME,
}
"""Stored names and the classes of their events: the only place that knows both."""
NAME_BY_CLASS: Final = {found: name for name, found in CLASS_BY_NAME.items()}
CURRENT_NAMES: Final = frozenset(CLASS_BY_NAME)

Upcaster = Callable[[Any], tuple[str, Any]]
"""From what is stored under an old name, decoded but not read yet, to the next name and what it stores."""

UPCASTERS: Final[dict[str, Upcaster]] = {}


def event_class(event_type: int) -> type[DeliveryEvent]:
    """The class of the event that a notification of this event type becomes."""
    return CLASS_BY_NAME[event_name(event_type)]


class EventNameUnknown(StreamledgerError):
    """the ledger holds an event named {name}, which this version does not know; upgrade streamledger"""


class EventUnreadable(StreamledgerError):
    """the ledger's event {name} cannot be decoded: {cause}"""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Delivery)


def encode(delivery: Delivery) -> bytes:
    """The state as stored."""
    return _encoder.encode(delivery)


def decode(name: str, state: bytes) -> tuple[str, Delivery]:
    """The current name and the delivery of a stored event, upcast where it is an old one."""
    try:
        if name in CURRENT_NAMES:
            return name, _decoder.decode(state)
        if name not in UPCASTERS:
            raise EventNameUnknown(name=name)
        fields = msgspec.msgpack.decode(state)
        while name not in CURRENT_NAMES:
            name, fields = UPCASTERS[name](fields)
        return name, msgspec.convert(fields, Delivery)
    except msgspec.MsgspecError as error:
        raise EventUnreadable(name=name, cause=error) from error


@dataclass(frozen=True)
class StoredDelivery(StoredEvent):
    """The library's stored event with the delivery's own id, by which it is stored exactly once."""

    delivery_id: uuid.UUID | None = None


class StableNameMapper(Mapper[Any]):
    """Maps stable names instead of Python paths, so that a rename in the code orphans no row."""

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        """A row of the table from an event."""
        if isinstance(domain_event, ForeignEvent):
            name, state = domain_event.name, domain_event.state
        else:
            name, state = NAME_BY_CLASS[type(domain_event)], _encoder.encode(domain_event.delivery)
        return StoredDelivery(
            domain_event.originator_id,
            domain_event.originator_version,
            name,
            state,
            domain_event.delivery_id,
        )

    def to_domain_event(self, stored_event: StoredEvent) -> DeliveryEvent:
        """An event from a row of the table. Raises EventNameUnknown or EventUnreadable."""
        name, delivery = decode(stored_event.topic, bytes(stored_event.state))
        return CLASS_BY_NAME[name](
            originator_id=str(stored_event.originator_id),
            originator_version=stored_event.originator_version,
            delivery=delivery,
        )
