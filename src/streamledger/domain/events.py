"""The domain events of the ledger: each authentic delivery, whole, under a stable name.

Names, once released, are for ever: `ledger.mapper` maps them to these structs, and
tests/golden holds one stored example of each.
"""

from typing import Any, Final

import msgspec

PUSH_STARTED: Final = "push-started.v1"
PUSH_STOPPED: Final = "push-stopped.v1"
RECORDING_CREATED: Final = "recording-created.v1"
SCREENSHOT_CREATED: Final = "screenshot-created.v1"
NOTIFICATION_RECEIVED: Final = "notification-received.v1"  # every event type not modelled yet

ADMIN_ACTED: Final = "admin-acted.v1"
"""What an administrator did. Its body is JSON of our own, no notification: projections pass it by."""
ADMIN_ORIGINATOR: Final = "~admin"
"""The event stream of what administrators did; no live stream can be named so (`originator_of`)."""

NAME_BY_EVENT_TYPE: Final = {
    1: PUSH_STARTED,
    0: PUSH_STOPPED,
    100: RECORDING_CREATED,
    200: SCREENSHOT_CREATED,
}


def event_name(event_type: int) -> str:
    """The stable name under which a notification of this event type is stored."""
    return NAME_BY_EVENT_TYPE.get(event_type, NOTIFICATION_RECEIVED)


def is_notification(name: str) -> bool:
    """Whether an event of this name holds a notification, and so may become a fact."""
    return name != ADMIN_ACTED


class Release(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An operator's decision to believe a quarantined delivery."""

    quarantine_id: str
    quarantine_reason: str
    by: str
    reason: str
    released_at_us: int


class Delivery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of one delivery: the bytes as received and what only that moment could tell.

    Everything else is derived from `body`, and can be derived anew when the readers improve.
    """

    body: bytes
    received_at_us: int
    """Microseconds since 1970-01-01 UTC, by this receiver's clock."""
    source_ip: str = ""
    key: str | None = None
    """Name of the callback key that verified the signature; None when no key was needed."""
    t_passed: bool = False
    """Whether `t` had passed at receipt (and was accepted within the configured grace)."""
    mended: tuple[str, ...] = ()
    """What the tolerant reader had to mend before the body could be read."""
    release: Release | None = None


class AdminAct(msgspec.Struct, frozen=True, kw_only=True):
    """What an administrator did; as JSON it is the body of an `admin-acted.v1` event."""

    action: str
    """quarantine-released, token-created or token-revoked"""
    by: str
    reason: str = ""
    subject: dict[str, Any] = {}
    """What it was done to, and what came of it. Never a secret."""


class LedgerEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery at its place in the ledger."""

    position: int
    originator_id: str
    originator_version: int
    name: str
    delivery_id: str
    delivery: Delivery


def originator_of(stream_id: str | None, event_type: int) -> str:
    """The ledger's event stream: the live stream's name, or one of its own kind without a stream.

    A name that begins with "~" gets a second one, so that no stream can pose as a kind.
    """
    if stream_id is None:
        return f"~event-type-{event_type}"
    return "~" + stream_id if stream_id.startswith("~") else stream_id
