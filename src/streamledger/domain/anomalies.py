"""What can be odd about a session: a closed list of codes; docs/anomalies.md has causes and what to do."""

from enum import StrEnum
from typing import Final

from streamledger.domain import session as fold
from streamledger.domain.answers import Anomaly
from streamledger.domain.attributed import SLACK_MS
from streamledger.domain.place import agree
from streamledger.domain.session import SessionState


class AnomalyCode(StrEnum):
    """Every code that a session's `anomalies` can hold."""

    DURATION_MISMATCH = "duration_mismatch"
    PLACE_CONFLICT = "place_conflict"
    PUSH_ERRORS_ONLY = "push_errors_only"
    SEQUENCE_SHARED = "sequence_shared"
    SEQUENCE_ZERO = "sequence_zero"
    START_AFTER_STOP = "start_after_stop"
    START_CONFLICT = "start_conflict"
    START_MISSING = "start_missing"
    STOP_BEFORE_START = "stop_before_start"
    STOP_CONFLICT = "stop_conflict"
    UNREADABLE_FIELD = "unreadable_field"


DETAILS: Final[dict[AnomalyCode, str]] = {
    AnomalyCode.DURATION_MISMATCH: (
        "push_duration says {reported_ms} ms, start and stop lie {measured_ms} ms apart"
    ),
    AnomalyCode.PLACE_CONFLICT: "{field} of the start and of the stop differ",
    AnomalyCode.PUSH_ERRORS_ONLY: "neither a start nor a stop was delivered",
    AnomalyCode.SEQUENCE_SHARED: "another stream has a session with this sequence",
    AnomalyCode.SEQUENCE_ZERO: "the sequence consists of zeros",
    AnomalyCode.START_AFTER_STOP: "a start lies {after_ms} ms after the stop",
    AnomalyCode.START_CONFLICT: "{count} different starts were delivered",
    AnomalyCode.START_MISSING: "no start was delivered",
    AnomalyCode.STOP_BEFORE_START: "the stop lies {before_ms} ms before the start",
    AnomalyCode.STOP_CONFLICT: "{count} different stops were delivered",
    AnomalyCode.UNREADABLE_FIELD: "{field} cannot be read",
}
"""What an anomaly says of its session, the facts to be set in; the pages have it in other languages."""

AT_LEAST: Final = "at least {count}"
"""A count that has come to its limit: only so many contents are kept apart."""


def anomalies_of(state: SessionState, *, shared: bool = False) -> list[Anomaly]:
    """What is not as it should be, in the order of the codes' names.

    `shared` says that sessions of other streams have the sequence too.
    """
    found: list[Anomaly] = []

    def note(code: AnomalyCode, **facts: object) -> None:
        said = {**facts, "count": AT_LEAST.format(**facts)} if facts.get("at_least") else facts
        found.append(Anomaly(code=code.value, detail=DETAILS[code].format(**said), facts=facts))

    reported_ms = state.stops[0].push.push_duration_ms if state.stops else None
    measured_ms = fold.measured_ms(state)
    if measured_ms is not None and measured_ms < 0:
        note(AnomalyCode.STOP_BEFORE_START, before_ms=-measured_ms)
    elif (
        measured_ms is not None
        and reported_ms is not None
        and abs(measured_ms - reported_ms) > fold.DURATION_TOLERANCE_MS
    ):
        note(AnomalyCode.DURATION_MISMATCH, reported_ms=reported_ms, measured_ms=measured_ms)
    if state.starts and state.stops:
        start, stop = state.starts[0], state.stops[0]
        if not agree(start.app, None, stop.app, None):
            note(AnomalyCode.PLACE_CONFLICT, field="app")
        if not agree(None, start.appname, None, stop.appname):
            note(AnomalyCode.PLACE_CONFLICT, field="appname")
    if not state.starts and not state.stops and not state.ahead:
        note(AnomalyCode.PUSH_ERRORS_ONLY)
    elif not state.starts:
        note(AnomalyCode.START_MISSING)
    ended_ms = fold.ended_ms(state)
    latest_ms = max((claim.at_ms for claim in state.starts if claim.at_ms is not None), default=None)
    if ended_ms is not None and latest_ms is not None and latest_ms - ended_ms > SLACK_MS:
        note(AnomalyCode.START_AFTER_STOP, after_ms=latest_ms - ended_ms)
    for code, claims in (
        (AnomalyCode.START_CONFLICT, state.starts),
        (AnomalyCode.STOP_CONFLICT, state.stops),
    ):
        if len(claims) > 1:
            capped = {"at_least": True} if len(claims) >= fold.CLAIMS_MAX else {}
            note(code, count=len(claims), **capped)
    if not state.sequence.strip("0"):
        note(AnomalyCode.SEQUENCE_ZERO)
    if shared:
        note(AnomalyCode.SEQUENCE_SHARED)
    unreadable = {field for claim in (*state.starts, *state.stops) for field in claim.unreadable}
    unreadable.update(state.health.unreadable)
    for field in unreadable:
        note(AnomalyCode.UNREADABLE_FIELD, field=field)
    return sorted(found, key=lambda each: (each.code, each.detail))
