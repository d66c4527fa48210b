"""From a session's state to the answer about it: pure, with now and the evidence as arguments."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from streamledger.domain import session as fold
from streamledger.domain.anomalies import anomalies_of
from streamledger.domain.answers import (
    AbnormalCount,
    DeliveryTotals,
    Health,
    RecordingTotals,
    ScreenshotTotals,
    Session,
    Stop,
)
from streamledger.domain.instants import instant_ms
from streamledger.domain.session import OPEN_END_MS, Claim, SessionState
from streamledger.domain.suspicion import (
    NO_SIGNS,
    Against,
    Signs,
    SuspectLimits,
    suspicions,
)


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What speaks for or against a session that has no stop."""

    now_ms: int
    limits: SuspectLimits
    signs: Signs = NO_SIGNS
    newer_push_ms: int | None = None
    """Start of the next push of the same stream and place; None or OPEN_END_MS without one."""


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
AbnormalName = Callable[[int], str]
"""Name of a type of abnormal event (event type 321)."""


def derive(
    state: SessionState,
    totals: Totals,
    evidence: Evidence,
    meaning: Meaning,
    abnormal_name: AbnormalName = str,
) -> Session:
    """The answer about a session."""
    began_ms, start_source = fold.started_ms(state)
    ended_ms = fold.ended_ms(state)
    presence, reasons = presence_of(state, evidence)
    duration_ms, duration_source = duration_of(state, presence, evidence)
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
        health=health_of(state, abnormal_name),
        anomalies=anomalies_of(state),
        position=totals.position,
    )


def health_of(state: SessionState, abnormal_name: AbnormalName) -> Health | None:
    """The push errors of a session in sum; None without any."""
    health = state.health
    if not health.reports:
        return None
    events, minus_at_ms, interval_ms = health.worst or (0, 0, 0)
    return Health(
        reports=health.reports,
        events=sum(health.counts.values()),
        counts=[
            AbnormalCount(type=int(number), name=abnormal_name(int(number)), count=count)
            for number, count in sorted(health.counts.items(), key=lambda each: int(each[0]))
        ],
        worst_at=instant_ms(-minus_at_ms) if health.worst else None,
        worst_events=events,
        worst_interval_ms=interval_ms,
        first_at=None if health.first_ms is None else instant_ms(health.first_ms),
        last_at=None if health.last_ms is None else instant_ms(health.last_ms),
    )


def distinct_notifications(state: SessionState) -> int:
    """How many notifications made this state: one start, one stop, the push errors, and all others."""
    return bool(state.starts) + bool(state.stops) + state.health.reports + state.others


def latest_sign_ms(state: SessionState, evidence: Evidence) -> int | None:
    """When the session gave its latest sign: its start, a push error, or media attributed to it.

    A start whose time cannot be read is a sign at its receipt. None without any: types not modelled are
    no signs.
    """
    began_ms, _ = fold.started_ms(state)
    if began_ms is None and state.starts:
        began_ms = state.starts[0].received_ms
    signs = [time for time in (began_ms, state.health.last_ms, evidence.signs.latest_ms) if time is not None]
    return max(signs, default=None)


def against(state: SessionState, evidence: Evidence) -> Against:
    """What the rules of suspicion ask for."""
    newer_ms = evidence.newer_push_ms
    return Against(
        latest_sign_ms=latest_sign_ms(state, evidence),
        heard=evidence.signs.heard or state.health.last_ms is not None,
        rhythm_ms=evidence.signs.rhythm_ms,
        newer_push_ms=None if newer_ms == OPEN_END_MS else newer_ms,
        recording_ended_ms=evidence.signs.recording_ended_ms,
    )


def presence_of(state: SessionState, evidence: Evidence) -> tuple[str, list[str]]:
    """ended, live or suspect, and for suspect the reasons. A session is never closed without a stop."""
    if state.stops:
        return "ended", []
    reasons = suspicions(evidence.now_ms, against(state, evidence), evidence.limits)
    return ("suspect" if reasons else "live"), reasons


def duration_of(state: SessionState, presence: str, evidence: Evidence) -> tuple[int | None, str | None]:
    """Reported by the stop, else measured between start and stop; without a stop, up to now or the last sign.

    Of a suspect nobody knows whether it still runs: it is known to have lasted until its latest sign.
    """
    if state.stops:
        reported_ms = state.stops[0].push.push_duration_ms
        if reported_ms is not None:
            return reported_ms, "reported"
    measured_ms = fold.measured_ms(state)
    if measured_ms is not None:
        return max(0, measured_ms), "measured"
    began_ms, _ = fold.started_ms(state)
    if state.stops or began_ms is None:
        return None, None
    if presence == "suspect":
        return max(0, (latest_sign_ms(state, evidence) or 0) - began_ms), "last_sign"
    return max(0, evidence.now_ms - began_ms), "running"


def _first(state: SessionState, attribute: Callable[[Claim], Value | None]) -> Value | None:
    claims = (*state.starts[:1], *state.stops[:1])
    return next((value for claim in claims if (value := attribute(claim)) is not None), None)
