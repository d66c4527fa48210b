"""Answers about rebuilds and parked events, as JSON shows them."""

from typing import Any

import msgspec


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


class ParkedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a projection could not take in."""

    projection: str
    position: int
    error: str
    version: int
    """Of the projection's rules that failed; another version tries again by itself."""
    tries: int
    parked_at: str
