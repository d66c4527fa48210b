"""Stable names to domain events and back: what is stored is read by every later version.

The name carries its version. When a struct changes so that old states no longer decode, a new name
is released and an upcaster from the old one is added; stored rows are never rewritten.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from streamledger.domain.errors import StreamledgerError
from streamledger.domain.events import (
    ADMIN_ACTED,
    NOTIFICATION_RECEIVED,
    PUSH_STARTED,
    PUSH_STOPPED,
    RECORDING_CREATED,
    SCREENSHOT_CREATED,
    Delivery,
)

CURRENT_NAMES: Final = frozenset(
    {PUSH_STARTED, PUSH_STOPPED, RECORDING_CREATED, SCREENSHOT_CREATED, NOTIFICATION_RECEIVED, ADMIN_ACTED}
)

Upcaster = Callable[[dict[str, Any]], tuple[str, dict[str, Any]]]
"""From the fields stored under an old name to the next name and its fields."""

UPCASTERS: Final[dict[str, Upcaster]] = {}


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
