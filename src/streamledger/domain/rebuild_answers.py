"""Answers about rebuilds and parked events, as JSON shows them."""

from typing import Any

import msgspec


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What a rebuild would change in the answers, of one kind."""

    what: str
    """session: one appears or disappears. state: of one, with its reasons. recording, screenshot,
    recording_status, recording_exception: it belongs to another session. The same with `_certainty`: how
    sure that is. delivery: its class. Else a field of a session: started_at, ended_at, duration_ms, errcode,
    recordings, screenshots, recorded_ms, anomalies."""
    before: str | None
    """As the live rows have it: a state, a confidence, a class; of what belongs to one `session`, or `none`.
    Null where they do not have it, and of a field."""
    after: str | None
    """As history has it, likewise."""
    count: int
    examples: list[dict[str, Any]]
    """The first ones. Each names its stream, and what its kind of change is told by: `sequence`, `position`,
    `before` and `after`, `reasons_before` and `reasons_after`; `count` where it stands for several."""


class RebuildAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One rebuild of the read model: asked for, under way, or ended."""

    id: str
    state: str
    """asked, running, done, cancelled or failed"""
    phase: str
    """Of a running one: folding, indexing, catching_up, switching; else empty."""
    purpose: str
    """rebuild; verify and dry_run change nothing"""
    projections: list[str]
    to_position: int | None
    """Up to which history is folded; null for all of it"""
    asked_by: str
    asked_at: str
    started_at: str | None
    ended_at: str | None
    events_done: int
    events_total: int
    events_per_s: float
    indexes_done: int
    indexes_total: int
    """Of the phase indexing."""
    eta_s: float | None
    """Seconds until the fold is through, or the indexes are made, as it goes now; else null."""
    digests_equal: bool | None
    """Of live and rebuilt rows at one position; null when they were not compared."""
    error: str | None
    differences: list[dict[str, Any]] | None = None
    """Of a dry run that is done: per table its name, counts of added, removed and changed rows, how often
    each field differs, and the first rows, secrets taken out. Else null."""
    changes: list[Change] | None = None
    """Of a dry run that is done: what would change in the answers. Else null."""


class ParkedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a projection could not take in."""

    projection: str
    position: int
    error: str
    version: int
    """Of the projection's rules that failed; another version tries again by itself."""
    tries: int
    parked_at: str
