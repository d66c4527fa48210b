"""What truly happened in a simulated history: the facts to report, the sessions an oracle compares with."""

from typing import Literal

import msgspec

from streamledger.domain.notification import Kind


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What a history is made of. Shares are probabilities between 0 and 1, per session."""

    streams: int = 8
    sessions_per_stream: int = 3
    duration_s: int = 1800
    """Length of the virtual time line, seconds."""
    screenshot_interval_s: int = 10
    """0 takes no screenshots."""
    recording_interval_s: int = 300
    """A new file per format each so many seconds; 0 records nothing."""
    recording_formats: tuple[str, ...] = ("flv", "hls", "mp4")
    reconnected: float = 0.3
    """Share that begins 0.2 to 15 s after the stop before it, under a new sequence."""
    backed_up: float = 0.15
    """Share with an overlapping backup push on the same stream name."""
    start_unreported: float = 0.03
    stop_unreported: float = 0.03
    still_live: float = 0.25
    """Share of streams whose last session goes on when the line ends."""
    troubled: float = 0.2
    """Share with a push error (event type 321)."""
    stream_prefix: str | None = None
    """Streams are named PREFIX_NNN; None draws a prefix, so that two plays never share a stream."""
    names: tuple[str, ...] = ()
    """Or they have these names, one each."""
    images: str | None = None
    """Where the screenshots are said to lie; None is a bucket that there is not."""


class TrueRecording(msgspec.Struct, frozen=True, kw_only=True):
    """One file: its content is [content_starts_at_ms, content_ends_at_ms], inside its session."""

    file_id: str
    file_format: str
    content_starts_at_ms: int
    content_ends_at_ms: int
    duration_s: int
    file_bytes: int


class TrueScreenshot(msgspec.Struct, frozen=True, kw_only=True):
    """One picture of a session."""

    pic_url: str
    at_ms: int


class TrueSession(msgspec.Struct, frozen=True, kw_only=True):
    """One push as it truly was, whatever of it gets reported."""

    stream_id: str
    sequence: str
    role: Literal["main", "backup", "refused"]
    started_at_ms: int
    ended_at_ms: int | None
    """None when the push goes on at the end of the line."""
    start_reported: bool
    stop_reported: bool
    errcode: int | None = None
    recordings: tuple[TrueRecording, ...] = ()
    screenshots: tuple[TrueScreenshot, ...] = ()


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One true notification: when it happened, when the provider first calls, and the JSON object."""

    kind: Kind
    event_type: int
    stream_id: str
    sequence: str
    """The push it truly belongs to, also where the body does not say so (recordings, screenshots)."""
    key: str
    """What identifies it within (stream_id, kind): sequence, file_id, pic_url or a time."""
    happened_at_ms: int
    called_at_ms: int
    body: dict[str, object]
    """In Tencent's key order. `sign` and `t` hold their places with "" and 0 until a call is signed."""
    encoding: str = "utf-8"
    """In which its bytes are sent."""


class History(msgspec.Struct, frozen=True, kw_only=True):
    """A true history; facts in the order of their first calls, sessions by stream and start."""

    starts_at_ms: int
    ends_at_ms: int
    facts: tuple[Fact, ...]
    sessions: tuple[TrueSession, ...]
