"""The domain events of the ledger: each authentic delivery, whole, one class for each stable name.

What is stored of an event is its `Delivery`; originator, version and delivery id are columns beside it.
Names, once released, are for ever: `ledger.mapper` maps them to these classes, and tests/golden holds one
stored example of each.
"""

import uuid
from typing import Any, Final, Literal

import msgspec

from streamledger.domain.kinds import NOTIFICATION_RECEIVED, ROW_BY_EVENT_TYPE, ROW_BY_KIND
from streamledger.domain.notification import Kind

PUSH_STARTED: Final = ROW_BY_KIND[Kind.PUSH_STARTED].stored_name
PUSH_STOPPED: Final = ROW_BY_KIND[Kind.PUSH_STOPPED].stored_name
RECORDING_CREATED: Final = ROW_BY_KIND[Kind.RECORDING].stored_name
SCREENSHOT_CREATED: Final = ROW_BY_KIND[Kind.SCREENSHOT].stored_name

ADMIN_ACTED: Final = "admin-acted.v1"
"""What an administrator did. Its body is JSON of our own, no notification: projections pass it by."""
ADMIN_ORIGINATOR: Final = "~admin"
"""The event stream of what administrators did; no live stream can be named so (`originator_of`)."""


def event_name(event_type: int) -> str:
    """The stable name under which a notification of this event type is stored."""
    row = ROW_BY_EVENT_TYPE.get(event_type)
    return NOTIFICATION_RECEIVED if row is None else row.stored_name


def is_notification(name: str) -> bool:
    """Whether an event of this name holds a notification, and so may become a fact."""
    return name != ADMIN_ACTED


class Release(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """An operator's decision to believe a quarantined delivery."""

    quarantine_id: str
    quarantine_reason: str
    by: str
    reason: str
    released_at_us: int


By = Literal["key", "path_token", "unchecked", "release", "import"]
"""What a delivery was believed by: a key that signed it; the secret path, in place of a signature; nothing,
because no key was configured; an operator who released it; an import, whose file said so."""

Late = Literal["grace", "away", "expired"]
"""Why it was believed although its `t` had passed: within the configured grace; because the receiver had been
away; because it was released."""


class Belief(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How a delivery was believed: only the moment of its receipt could tell. Stored as an array."""

    by: By = "unchecked"
    key: str | None = None
    """Name of the callback key that verified the signature, of a released one too."""
    late: Late | None = None
    release: Release | None = None
    import_position: int | None = None
    """Position of the act of the import that brought it here; None when it was received here."""
    key_said: str | None = None
    """The key that the imported file named, where no key known here verifies the signature."""


UNCHECKED: Final = Belief()


class RequestHeaders(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True, gc=False):
    """The headers of a request that tell something about its sender, as sent; "" where there was none."""

    user_agent: str = ""
    forwarded: str = ""
    x_forwarded_for: str = ""


NO_HEADERS: Final = RequestHeaders()


class Delivery(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What is kept of one delivery: the bytes as received and what only that moment could tell.

    Everything else is derived from `body`, and can be derived anew when the readers improve. Stored as an
    array, so the order of the fields is for ever; a new one is added at the end, with a default.
    """

    body: bytes
    received_at_us: int
    """Microseconds since 1970-01-01 UTC, by this receiver's clock."""
    source_ip: str = ""
    believed: Belief = UNCHECKED
    mended: tuple[str, ...] = ()
    """What the tolerant reader had to mend before the body could be read."""
    headers: RequestHeaders = NO_HEADERS

    @property
    def key(self) -> str | None:
        """Name of the callback key that verified the signature; None when no key did."""
        return self.believed.key

    @property
    def t_passed(self) -> bool:
        """Whether `t` had passed at receipt."""
        return self.believed.late is not None

    @property
    def release(self) -> Release | None:
        """The decision to believe it, of a delivery that was in the quarantine."""
        return self.believed.release


class AdminAct(msgspec.Struct, frozen=True, kw_only=True):
    """What an administrator did; as JSON it is the body of an `admin-acted.v1` event."""

    action: str
    """quarantine-released, token-created, token-revoked, import-begun or import-ended"""
    by: str
    reason: str = ""
    subject: dict[str, Any] = {}
    """What it was done to, and what came of it. Never a secret."""


class DeliveryEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A domain event: a delivery in the event stream of what it reports about."""

    originator_id: str
    originator_version: int = 0
    """Place in that stream, from 1; 0 until the append has given it one."""
    delivery_id: uuid.UUID | None = None
    """Given at receipt; None in what the library reads, which knows no such column."""
    delivery: Delivery

    def mutate(self, history: "StreamHistory | None") -> "StreamHistory":
        """The stream's history with this event added: what the library's repository folds."""
        before = history.events if history is not None else ()
        return StreamHistory(self.originator_id, self.originator_version, (*before, self))


class PushStarted(DeliveryEvent, frozen=True):
    """A push has begun (event type 1)."""


class PushStopped(DeliveryEvent, frozen=True):
    """A push has ended (event type 0)."""


class RecordingCreated(DeliveryEvent, frozen=True):
    """A file was recorded (event type 100)."""


class ScreenshotCreated(DeliveryEvent, frozen=True):
    """A screenshot was taken (event type 200)."""


class NotificationReceived(DeliveryEvent, frozen=True):
    """A notification of a type that is not modelled yet."""


class AdminActed(DeliveryEvent, frozen=True):
    """An administrator has acted; the body is the JSON of an `AdminAct`."""


class ForeignEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that this version cannot read, kept to the byte: name and state as stored."""

    originator_id: str
    originator_version: int = 0
    delivery_id: uuid.UUID | None = None
    name: str
    state: bytes


NewEvent = DeliveryEvent | ForeignEvent
"""What can be appended."""


class StreamHistory(msgspec.Struct, frozen=True):
    """One stream's events in their order, as an aggregate of the library."""

    id: str
    version: int
    events: tuple[DeliveryEvent, ...] = ()


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
