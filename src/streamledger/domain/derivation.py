"""From a session's state to the answer about it: pure, with now and the evidence as arguments."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from streamledger.domain import session as fold
from streamledger.domain.answers import (
    Anomaly,
    DeliveryTotals,
    RecordingTotals,
    ScreenshotTotals,
    Session,
    Stop,
)
from streamledger.domain.instants import instant_ms
from streamledger.domain.session import Claim, SessionState


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What speaks for or against a session that has no stop."""

    now_ms: int
    silence_ms_max: int
    latest_ms: int | None = None
    """Time of the latest notification of the session, media included."""
    newer_push_ms: int | None = None
    """Start of a push of the same stream that began later."""


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """What is counted beside the fold."""

    recordings: RecordingTotals
    screenshots: ScreenshotTotals
    deliveries: int
    notifications: int
    """Distinct notifications among the deliveries."""
    position: int


Value = TypeVar("Value")
Meaning = Callable[[int | None], tuple[str, str]]
"""Class and meaning of an errcode."""


def derive(state: SessionState, totals: Totals, evidence: Evidence, meaning: Meaning) -> Session:
    """The answer about a session."""
    began_ms, start_source = fold.started_ms(state)
    ended_ms = fold.ended_ms(state)
    presence, reasons = presence_of(state, evidence)
    duration_ms, duration_source = duration_of(state, evidence.now_ms if presence != "ended" else None)
    leading = fold.leading_claim(state)
    stop = state.stops[0] if state.stops else None
    errcode = stop.push.errcode if stop else None
    class_, text = meaning(errcode)
    return Session(
        sequence=state.sequence,
        stream_id=state.stream_id,
        app=_first(state, lambda claim: claim.app),
        appname=_first(state, lambda claim: claim.appname),
        state=presence,
        state_reasons=reasons,
        started_at=None if began_ms is None else instant_ms(began_ms),
        start_source=start_source,
        ended_at=None if ended_ms is None else instant_ms(ended_ms),
        duration_ms=duration_ms,
        duration_source=duration_source,
        stop=None
        if stop is None
        else Stop(errcode=errcode, errmsg=stop.push.errmsg, class_=class_, meaning=text),
        node=_first(state, lambda claim: claim.push.node),
        user_ip=_first(state, lambda claim: claim.push.user_ip),
        stream_param=leading.stream_param if leading else None,
        width=_first(state, lambda claim: claim.push.width or None),  # 0 while unknown (267/38081)
        height=_first(state, lambda claim: claim.push.height or None),
        recordings=totals.recordings,
        screenshots=totals.screenshots,
        deliveries=DeliveryTotals(
            count=totals.deliveries, repeated=max(0, totals.deliveries - totals.notifications)
        ),
        anomalies=anomalies_of(state),
        position=str(totals.position),
    )


def distinct_notifications(state: SessionState) -> int:
    """How many notifications made this state: one start, one stop, and the push errors."""
    return bool(state.starts) + bool(state.stops) + state.health.reports


def presence_of(state: SessionState, evidence: Evidence) -> tuple[str, list[str]]:
    """ended, live or suspect, and for suspect the reasons. A session is never closed without a stop."""
    if state.stops:
        return "ended", []
    reasons = []
    latest_ms = max(fold.sort_ms(state), state.health.last_ms or 0, evidence.latest_ms or 0)
    if evidence.now_ms - latest_ms > evidence.silence_ms_max:
        reasons.append("silence")
    if evidence.newer_push_ms is not None:
        reasons.append("newer_push")
    return ("suspect" if reasons else "live"), reasons


def duration_of(state: SessionState, now_ms: int | None) -> tuple[int | None, str | None]:
    """Reported by the stop, else measured between start and stop, else running until now."""
    if state.stops:
        reported_ms = state.stops[0].push.push_duration_ms
        if reported_ms is not None:
            return reported_ms, "reported"
    measured_ms = _measured_ms(state)
    if measured_ms is not None:
        return max(0, measured_ms), "measured"
    began_ms, _ = fold.started_ms(state)
    if not state.stops and began_ms is not None and now_ms is not None:
        return max(0, now_ms - began_ms), "running"
    return None, None


def _measured_ms(state: SessionState) -> int | None:
    began_ms, source = fold.started_ms(state)
    ended_ms = fold.ended_ms(state)
    if began_ms is None or ended_ms is None or source != "reported":
        return None
    return ended_ms - began_ms


def anomalies_of(state: SessionState) -> list[Anomaly]:
    """What is not as it should be, in the order of the codes' names."""
    found = []
    reported_ms = state.stops[0].push.push_duration_ms if state.stops else None
    measured_ms = _measured_ms(state)
    if measured_ms is not None and measured_ms < 0:
        found.append(
            Anomaly(code="stop_before_start", detail=f"the stop lies {-measured_ms} ms before the start")
        )
    elif (
        measured_ms is not None
        and reported_ms is not None
        and abs(measured_ms - reported_ms) > fold.DURATION_TOLERANCE_MS
    ):
        found.append(
            Anomaly(
                code="duration_mismatch",
                detail=f"push_duration says {reported_ms} ms, start and stop lie {measured_ms} ms apart",
            )
        )
    if state.stops and not state.starts:
        found.append(Anomaly(code="start_missing", detail="no start was delivered"))
    if len(state.starts) > 1:
        found.append(
            Anomaly(code="start_conflict", detail=f"{len(state.starts)} different starts were delivered")
        )
    if len(state.stops) > 1:
        found.append(
            Anomaly(code="stop_conflict", detail=f"{len(state.stops)} different stops were delivered")
        )
    unreadable = sorted({field for claim in (*state.starts, *state.stops) for field in claim.unreadable})
    found += [Anomaly(code="unreadable_field", detail=f"{field} cannot be read") for field in unreadable]
    return sorted(found, key=lambda anomaly: (anomaly.code, anomaly.detail))


def _first(state: SessionState, attribute: Callable[[Claim], Value | None]) -> Value | None:
    claims = (*state.starts[:1], *state.stops[:1])
    return next((value for claim in claims if (value := attribute(claim)) is not None), None)
