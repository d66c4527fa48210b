"""The event types and retry schedules that Tencent documents, as data; other types are kept, whole."""

from typing import Final

import msgspec

from streamledger.domain.notification import Kind

REPLY_TIMEOUT_S: Final = 20
"""Without a reply for this long, or with a status other than 200, the sender tries again (267/38080)."""


class EventType(msgspec.Struct, frozen=True):
    """One event type: its number, name, kind, documentation page, and whether it carries `sequence`."""

    event_type: int
    name: str
    kind: Kind
    page: str
    """Product and page of Tencent's documentation, such as 267/38081."""
    carries_sequence: bool = False


class RetrySchedule(msgspec.Struct, frozen=True):
    """How often, and how far apart, an unacknowledged delivery of these types is tried again."""

    era: str
    """"2016", "seed" (the early protocol document) or "today"."""
    event_types: frozenset[int]
    interval_s: int
    retries: int
    """Tries after the first."""
    reply_timeout_s: int = REPLY_TIMEOUT_S
    """How long a try may last before it counts as failed; the next one is counted from there."""


EVENT_TYPES: Final = (
    EventType(0, "push stopped", Kind.PUSH_STOPPED, "267/38081", carries_sequence=True),
    EventType(1, "push started", Kind.PUSH_STARTED, "267/38081", carries_sequence=True),
    EventType(100, "recording file", Kind.RECORDING, "267/38082"),
    EventType(200, "screenshot", Kind.SCREENSHOT, "267/38083"),
    EventType(314, "relay", Kind.OTHER, "267/42525"),
    EventType(315, "audio audit", Kind.OTHER, "267/58643"),
    EventType(317, "image audit", Kind.OTHER, "267/38084"),
    EventType(321, "push error", Kind.PUSH_ERROR, "267/53310", carries_sequence=True),
    EventType(329, "StreamLive push", Kind.OTHER, "1048/73133"),
    EventType(330, "StreamLive stop", Kind.OTHER, "1048/73133"),
    EventType(332, "recording status", Kind.RECORDING_STATUS, "267/58590"),
    EventType(338, "subtitles", Kind.OTHER, "267/73170"),
    EventType(341, "recording exception", Kind.RECORDING_EXCEPTION, "267/68622"),
    EventType(343, "picture quality", Kind.OTHER, "267/73166"),
    EventType(344, "picture quality", Kind.OTHER, "267/73167"),
    EventType(345, "picture quality", Kind.OTHER, "267/73168"),
    EventType(347, "erase", Kind.OTHER, "267/73169"),
    EventType(348, "summary", Kind.OTHER, "267/74671"),
    EventType(349, "highlights", Kind.OTHER, "267/74672"),
)

EVENT_TYPE_BY_NUMBER: Final = {entry.event_type: entry for entry in EVENT_TYPES}
KIND_BY_EVENT_TYPE: Final = {entry.event_type: entry.kind for entry in EVENT_TYPES}

RETRY_SCHEDULES: Final = (
    # No reply time-out is documented for 2016; with one of 20 s its grid would fit nearly everything.
    RetrySchedule("2016", frozenset({0, 1, 100, 200}), interval_s=3, retries=3, reply_timeout_s=0),
    RetrySchedule("seed", frozenset({0, 1, 100, 200}), interval_s=60, retries=3),
    RetrySchedule("today", frozenset({0, 1, 100, 317}), interval_s=60, retries=12),
    RetrySchedule("today", frozenset({200}), interval_s=120, retries=5),
)
"""Others are not stated. Sources: an old page, the seed, 267/38080."""

PRESUMED_SCHEDULES: Final = (RetrySchedule("presumed", frozenset(), interval_s=60, retries=12),)
"""By which the others are judged until Tencent states theirs: today's of nearly every stated type."""


def schedules_of(event_type: int) -> tuple[RetrySchedule, ...]:
    """Every documented schedule of an event type, oldest era first; empty when none is stated."""
    return tuple(schedule for schedule in RETRY_SCHEDULES if event_type in schedule.event_types)
