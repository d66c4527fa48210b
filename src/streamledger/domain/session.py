"""The session: a pure fold over the set of notifications that carry one sequence.

The state is a join: taking notifications in any order and any number of times gives the same
state, but for positions and counts of deliveries, which say how the knowledge arrived.
"""

from typing import Final

import msgspec

from streamledger.domain.notification import Kind, Notification, Push, PushError

FOLD_VERSION: Final = 1
"""Raised whenever the same history would give other rows: a rebuild is then due."""

CLAIMS_MAX: Final = 8
"""Distinct contents kept per start and per stop; what counts is always among them."""

DURATION_TOLERANCE_MS: Final = 2000
"""event_time has whole seconds, push_duration milliseconds: below this they do not disagree."""

UNKNOWN_START_LOOKBACK_MS: Final = 12 * 3600 * 1000
"""How far before its stop a push of unknown start is assumed to reach, for attribution only."""

OPEN_END_MS: Final = 2**63 - 1
"""The end of the span of a push whose stop is not known."""


class Claim(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one distinct content says of the start or the stop of a push."""

    at_ms: int | None
    content: str
    position: int
    push: Push
    app: str | None = None
    appname: str | None = None
    stream_param: str | None = None
    unreadable: tuple[str, ...] = ()


class Health(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Push errors (event type 321) of a session, in sum; a commutative tally of distinct notifications."""

    reports: int = 0
    counts: dict[str, int] = {}
    """Abnormal events by type, as text."""
    worst_interval_ms: int = 0
    """The longest report interval in which something was abnormal."""
    first_ms: int | None = None
    last_ms: int | None = None


class SessionState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that is known of one push. `starts` are ordered from the one that counts, `stops` likewise."""

    stream_id: str
    sequence: str
    starts: tuple[Claim, ...] = ()
    stops: tuple[Claim, ...] = ()
    health: Health = Health()


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Where on its stream's time axis the content of a push can lie; half of attribution's input."""

    sequence: str
    from_ms: int
    until_ms: int
    """OPEN_END_MS while no stop is known."""
    from_certain: bool
    app: str | None = None
    appname: str | None = None
    stream_param: str | None = None


def start_order(claim: Claim) -> tuple[bool, int, str]:
    """Earliest start first, ties by content; a start without a readable time last."""
    return (claim.at_ms is None, claim.at_ms or 0, claim.content)


def stop_order(claim: Claim) -> tuple[bool, int, str]:
    """Latest stop first, ties by content; a stop without a readable time last."""
    return (claim.at_ms is None, -(claim.at_ms or 0), claim.content)


def take(state: SessionState, notification: Notification, position: int) -> SessionState:
    """The state after one more notification of this sequence; the same state when it brings nothing new.

    Push errors are a tally, so the caller takes each distinct one once.
    """
    if notification.kind is Kind.PUSH_STARTED:
        starts = _join(state.starts, _claim(notification, position))
        starts = tuple(sorted(starts, key=start_order)[:CLAIMS_MAX])
        return state if starts == state.starts else msgspec.structs.replace(state, starts=starts)
    if notification.kind is Kind.PUSH_STOPPED:
        stops = _join(state.stops, _claim(notification, position))
        stops = tuple(sorted(stops, key=stop_order)[:CLAIMS_MAX])
        return state if stops == state.stops else msgspec.structs.replace(state, stops=stops)
    return msgspec.structs.replace(state, health=_tally(state.health, notification))


def _claim(notification: Notification, position: int) -> Claim:
    push = notification.detail if isinstance(notification.detail, Push) else Push()
    return Claim(
        at_ms=notification.at_ms,
        content=notification.content,
        position=position,
        push=push,
        app=notification.app,
        appname=notification.appname,
        stream_param=notification.stream_param,
        unreadable=notification.unreadable,
    )


def _join(claims: tuple[Claim, ...], claim: Claim) -> tuple[Claim, ...]:
    for known in claims:
        if known.content == claim.content:
            if known.position <= claim.position:
                return claims
            return tuple(claim if each is known else each for each in claims)
    return (*claims, claim)


def _tally(health: Health, notification: Notification) -> Health:
    detail = notification.detail
    counts = dict(health.counts)
    interval_ms = 0
    if isinstance(detail, PushError):
        for abnormal in detail.abnormal_events:
            name = str(abnormal.type)
            counts[name] = counts.get(name, 0) + abnormal.count
        interval_ms = detail.report_interval_ms or 0
    at_ms = notification.at_ms
    times = [time for time in (health.first_ms, health.last_ms, at_ms) if time is not None]
    return Health(
        reports=health.reports + 1,
        counts=dict(sorted(counts.items())),
        worst_interval_ms=max(health.worst_interval_ms, interval_ms),
        first_ms=min(times, default=None),
        last_ms=max(times, default=None),
    )


def started_ms(state: SessionState) -> tuple[int | None, str | None]:
    """When the push began and how that is known: "reported", "inferred" (stop - push_duration) or None."""
    if state.starts and state.starts[0].at_ms is not None:
        return state.starts[0].at_ms, "reported"
    if state.stops:
        stop = state.stops[0]
        if stop.at_ms is not None and stop.push.push_duration_ms is not None:
            inferred_ms = stop.at_ms - stop.push.push_duration_ms
            if inferred_ms >= 0:
                return inferred_ms, "inferred"
    return None, None


def ended_ms(state: SessionState) -> int | None:
    """When the push ended by its latest stop; None without one, or when its time cannot be read."""
    return state.stops[0].at_ms if state.stops else None


def sort_ms(state: SessionState) -> int:
    """The time by which lists are ordered: the start, else the earliest time that is known."""
    began_ms, _ = started_ms(state)
    if began_ms is not None:
        return began_ms
    known = [time for time in (ended_ms(state), state.health.first_ms) if time is not None]
    return min(known, default=0)


def span(state: SessionState) -> Span:
    """The span in which content of this push can lie. Empty (until < from) when no time is known."""
    began_ms, source = started_ms(state)
    end_ms = ended_ms(state)
    if end_ms is None:
        until_ms = OPEN_END_MS
        if began_ms is None:
            first_ms = state.health.first_ms
            if first_ms is None or state.stops:
                began_ms, until_ms = 0, -1
            else:
                began_ms = first_ms
        elif state.stops:
            until_ms = began_ms  # stopped, but nobody can say when: only its first moment is certain
    else:
        until_ms = end_ms
        if began_ms is None:
            began_ms = max(0, end_ms - UNKNOWN_START_LOOKBACK_MS)
    claim = leading_claim(state)
    return Span(
        sequence=state.sequence,
        from_ms=began_ms,
        until_ms=until_ms,
        from_certain=source is not None,
        app=claim.app if claim else None,
        appname=claim.appname if claim else None,
        stream_param=claim.stream_param if claim else None,
    )


def leading_claim(state: SessionState) -> Claim | None:
    """The claim whose attributes (app, node, address) stand for the session: its start, else its stop."""
    if state.starts:
        return state.starts[0]
    return state.stops[0] if state.stops else None
