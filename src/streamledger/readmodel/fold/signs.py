"""What the rows of a session's timeline make up: its signs, and how much of it is recorded."""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from streamledger.domain.kinds import ATTRIBUTED_KINDS
from streamledger.domain.notification import Kind
from streamledger.domain.session import OPEN_END_MS, Bounds
from streamledger.domain.suspicion import (
    SIGNS_MAX,
    Interval,
    Recorded,
    Signs,
    gives_signs,
    recording_ended_ms,
    rhythm_ms,
)
from streamledger.readmodel.fold.rows import BARE, TimelineRow

SIGN_KINDS: Final = frozenset({Kind.PUSH_STARTED, Kind.PUSH_ERROR, *ATTRIBUTED_KINDS})
"""Kinds that are signs of a push; a stop ends it, and a type that is not modelled says nothing."""


def signs_of(rows: Collection[TimelineRow], *, param_known: bool, absences: Sequence[Interval] = ()) -> Signs:
    """What the rows of one session say; `param_known`: whether the push has a stream_param."""
    told = [row for row in rows if row.kind in SIGN_KINDS]
    latest = sorted(told, key=lambda row: (row.at_ms, row.until_ms))[-SIGNS_MAX:]
    files = sorted((row for row in told if row.kind == Kind.RECORDING), key=lambda row: (row.at_ms, row.key))
    recorded = [
        Recorded(
            task=row.task,
            at_ms=row.at_ms,
            until_ms=row.until_ms,
            key=row.key,
            record_event=row.note,
            is_file=row.kind == Kind.RECORDING,
            has_param=row.note != BARE,
        )
        for row in told
        if row.kind in (Kind.RECORDING, Kind.RECORDING_STATUS)
    ]
    started_ms = min((row.at_ms for row in latest if row.kind == Kind.PUSH_STARTED), default=None)
    return Signs(
        latest_ms=max((row.until_ms for row in [*latest, *files[-1:]]), default=None),
        heard=any(gives_signs(row.kind, row.at_ms, started_ms) for row in latest),
        rhythm_ms=rhythm_ms([(row.at_ms, row.until_ms) for row in latest], absences),
        recording_ended_ms=recording_ended_ms(recorded, param_known=param_known),
    )


def recorded_ms(bounds: Bounds, files: Iterable[Interval]) -> int:
    """How much of a push is recorded: the union of what its files hold, where they lie on it."""
    until_ms = bounds.span_until_ms if bounds.ended else OPEN_END_MS
    total_ms = 0
    reached_ms = bounds.span_from_ms
    for at_ms, end_ms in sorted(files):
        from_ms, to_ms = max(at_ms, reached_ms), min(end_ms, until_ms)
        if to_ms > from_ms:
            total_ms += to_ms - from_ms
            reached_ms = to_ms
    return total_ms
