"""The table of kinds: what is told apart, by which event types, and all that follows from it elsewhere.

Feed, SQL, plots, retries and docs derive from it; docs/adding-an-event-type.md walks through a new row.
"""

from enum import StrEnum
from typing import Final

import msgspec

from streamledger.domain.notification import Kind

REPLY_TIMEOUT_S: Final = 20
"""Without a reply for this long, or with a status other than 200, the sender tries again (267/38080)."""

NOTIFICATION_RECEIVED: Final = "notification-received.v1"
"""The stored name of every event type that has none of its own."""


class Group(StrEnum):
    """Kinds that are drawn together."""

    PUSHES = "pushes"
    RECORDINGS = "recordings"
    SCREENSHOTS = "screenshots"
    ERRORS = "errors"
    OTHERS = "others"


class RetrySchedule(msgspec.Struct, frozen=True):
    """How often, and how far apart, an unacknowledged delivery is tried again."""

    era: str
    """"2016", "seed" (the early protocol document) or "today"."""
    interval_s: int
    retries: int
    """Tries after the first."""
    reply_timeout_s: int = REPLY_TIMEOUT_S
    """How long a try may last before it counts as failed; the next one is counted from there."""


# Sources: an old page, the seed, 267/38080. No reply time-out is documented for 2016; with one of 20 s
# its grid would fit nearly everything.
_EARLY: Final = (
    RetrySchedule("2016", interval_s=3, retries=3, reply_timeout_s=0),
    RetrySchedule("seed", interval_s=60, retries=3),
)
_TODAY: Final = RetrySchedule("today", interval_s=60, retries=12)
_TODAY_SCREENSHOTS: Final = RetrySchedule("today", interval_s=120, retries=5)

PRESUMED_SCHEDULES: Final = (RetrySchedule("presumed", interval_s=60, retries=12),)
"""By which the others are judged until Tencent states theirs: today's of nearly every stated type."""


class EventType(msgspec.Struct, frozen=True):
    """One number of `event_type`: its name and where Tencent documents it."""

    number: int
    name: str
    page: str
    """Product and page of Tencent's documentation, such as 267/38081."""
    schedules: tuple[RetrySchedule, ...] = ()
    """Every documented one, oldest era first; empty when none is stated."""


class KindRow(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of notification and how it is treated."""

    kind: Kind
    event_types: tuple[EventType, ...]
    group: Group
    stored_name: str = NOTIFICATION_RECEIVED
    """Under which its events are kept, for ever."""
    carries_sequence: bool = False
    """Whether it names its push; it then counts for that one's session alone."""
    is_attributed: bool = False
    """Whether it is attributed to sessions by time: it tells of a push, and names none."""
    told: tuple[str, ...] = ()
    """Fields of its detail that a page shows in a few words: the first of them that is there."""


KINDS: Final = (
    KindRow(
        kind=Kind.PUSH_STARTED,
        event_types=(EventType(1, "push started", "267/38081", (*_EARLY, _TODAY)),),
        group=Group.PUSHES,
        stored_name="push-started.v1",
        carries_sequence=True,
    ),
    KindRow(
        kind=Kind.PUSH_STOPPED,
        event_types=(EventType(0, "push stopped", "267/38081", (*_EARLY, _TODAY)),),
        group=Group.PUSHES,
        stored_name="push-stopped.v1",
        carries_sequence=True,
    ),
    KindRow(
        kind=Kind.RECORDING,
        event_types=(EventType(100, "recording file", "267/38082", (*_EARLY, _TODAY)),),
        group=Group.RECORDINGS,
        stored_name="recording-created.v1",
        is_attributed=True,
    ),
    KindRow(
        kind=Kind.SCREENSHOT,
        event_types=(EventType(200, "screenshot", "267/38083", (*_EARLY, _TODAY_SCREENSHOTS)),),
        group=Group.SCREENSHOTS,
        stored_name="screenshot-created.v1",
        is_attributed=True,
    ),
    KindRow(
        kind=Kind.PUSH_ERROR,
        event_types=(EventType(321, "push error", "267/53310"),),
        group=Group.ERRORS,
        carries_sequence=True,
    ),
    KindRow(
        kind=Kind.RECORDING_STATUS,
        event_types=(EventType(332, "recording status", "267/58590"),),
        group=Group.OTHERS,
        is_attributed=True,
        told=("record_event", "description"),
    ),
    KindRow(
        kind=Kind.RECORDING_EXCEPTION,
        event_types=(EventType(341, "recording exception", "267/68622"),),
        group=Group.OTHERS,
        is_attributed=True,
        told=("exception_type", "description"),
    ),
    KindRow(
        kind=Kind.OTHER,
        event_types=(
            EventType(314, "relay", "267/42525"),
            EventType(315, "audio audit", "267/58643"),
            EventType(317, "image audit", "267/38084", (_TODAY,)),
            EventType(329, "StreamLive push", "1048/73133"),
            EventType(330, "StreamLive stop", "1048/73133"),
            EventType(338, "subtitles", "267/73170"),
            EventType(343, "picture quality", "267/73166"),
            EventType(344, "picture quality", "267/73167"),
            EventType(345, "picture quality", "267/73168"),
            EventType(347, "erase", "267/73169"),
            EventType(348, "summary", "267/74671"),
            EventType(349, "highlights", "267/74672"),
        ),
        group=Group.OTHERS,
        told=("event_type",),
    ),
)

ROW_BY_KIND: Final = {row.kind: row for row in KINDS}
ROW_BY_EVENT_TYPE: Final = {entry.number: row for row in KINDS for entry in row.event_types}
EVENT_TYPE_BY_NUMBER: Final = {entry.number: entry for row in KINDS for entry in row.event_types}

ATTRIBUTED_KINDS: Final = frozenset(row.kind for row in KINDS if row.is_attributed)
SEQUENCED_KINDS: Final = frozenset(row.kind for row in KINDS if row.carries_sequence)
STORED_NAMES: Final = frozenset(row.stored_name for row in KINDS)
KIND_BY_STORED_NAME: Final = {
    row.stored_name: row.kind for row in KINDS if row.stored_name != NOTIFICATION_RECEIVED
}
"""Of the stored names that tell the kind."""


def kind_of(event_type: int) -> Kind:
    """What a notification of this event type tells."""
    row = ROW_BY_EVENT_TYPE.get(event_type)
    return Kind.OTHER if row is None else row.kind


def schedules_of(event_type: int) -> tuple[RetrySchedule, ...]:
    """Every documented schedule of an event type, oldest era first; empty when none is stated."""
    found = EVENT_TYPE_BY_NUMBER.get(event_type)
    return () if found is None else found.schedules


def kinds_in(*groups: Group) -> tuple[Kind, ...]:
    """The kinds that are drawn in these groups."""
    return tuple(row.kind for row in KINDS if row.group in groups)
