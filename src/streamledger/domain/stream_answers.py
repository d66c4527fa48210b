"""The shapes of answers about a stream beyond its presence: broadcasts, and what belongs to no session."""

import msgspec

from streamledger.domain.answers import RecordingTotals, TimelineEntry


class StreamEntry(TimelineEntry, frozen=True, kw_only=True):
    """A notification of a stream, as in a timeline, with the stream's name."""

    stream_id: str
    event_type: int | None
    sequence: str | None
    """Of notifications that name a push themselves."""


class BroadcastPart(msgspec.Struct, frozen=True, kw_only=True):
    """One session of a broadcast."""

    sequence: str
    state: str
    started_at: str | None
    until: str
    """Its stop; of a live session now; of a suspect one its latest sign."""
    on_air_ms: int


class BroadcastGap(msgspec.Struct, frozen=True, kw_only=True):
    """An interval within a broadcast in which no session was on the air."""

    at: str
    until: str
    duration_ms: int


class BroadcastAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Sessions of one stream that overlap, or follow each other within the window asked for."""

    stream_id: str
    state: str
    """live while any part is, else suspect while any part is, else ended"""
    started_at: str
    ended_at: str | None
    """null until every part has a stop"""
    on_air_ms: int
    """Time in which at least one part was on the air."""
    off_air_ms: int
    """The gaps in sum."""
    reconnects: int
    """How often it came back after nothing was on the air: the flapping."""
    recordings: RecordingTotals
    """Every file once, also one that spans several parts."""
    parts: list[BroadcastPart]
    gaps: list[BroadcastGap]
    truncated: bool = False
    """Whether older sessions that may belong to it were left out, because it has too many."""
