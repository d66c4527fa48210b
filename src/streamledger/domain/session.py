"""The session: a pure fold over the set of notifications that carry one sequence.

The state is a join: taking notifications in any order and any number of times gives the same
state, but for positions and counts of deliveries, which say how the knowledge arrived.
"""

from typing import Final

import msgspec

from streamledger.domain.notification import Kind, Notification, Push, PushError

FOLD_VERSION: Final = 4
"""Raised whenever the same history would give other rows: a rebuild is then due."""

CLAIMS_MAX: Final = 8
"""Distinct contents kept per start and per stop; what counts is always among them."""

DURATION_TOLERANCE_MS: Final = 2000
"""event_time has whole seconds, push_duration milliseconds: below this they do not disagree."""

UNKNOWN_START_LOOKBACK_MS: Final = 12 * 3600 * 1000
"""How far before its stop a push of unknown start is assumed to reach, for attribution only."""

OPEN_BESIDE_NEWER_MS: Final = 12 * 3600 * 1000
"""How long after a newer push began an older one without a stop is held possible beside it (ADR 0008)."""

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
    worst: tuple[int, int, int] | None = None
    """The report with the most abnormal events: how many, -(its time), its interval; the greatest counts."""
    first_ms: int | None = None
    last_ms: int | None = None
    unreadable: tuple[str, ...] = ()
    """Names of fields that were sent and could not be read, in order."""


class SessionState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that is known of one push. `starts` are ordered from the one that counts, `stops` likewise."""

    stream_id: str
    sequence: str
    starts: tuple[Claim, ...] = ()
    stops: tuple[Claim, ...] = ()
    health: Health = Health()
    others: int = 0
    """Distinct notifications of types not modelled that name this sequence."""


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Where on its stream's time axis the content of a push can lie; half of attribution's input."""

    sequence: str
    from_ms: int
    until_ms: int
    """OPEN_END_MS while no stop is known, unless a newer push of the stream makes that unlikely."""
    from_certain: bool
    sure_from_ms: int | None = None
    """From here the push is known to have run; None: from from_ms."""
    sure_until_ms: int | None = None
    """Until here the push is known, or has to be assumed, to have run; None: until until_ms."""
    open: bool = False
    """Whether no stop is known."""
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

    Push errors and types not modelled are tallies, so the caller takes each distinct one once.
    """
    if notification.kind is Kind.PUSH_STARTED:
        starts = _join(state.starts, _claim(notification, position))
        starts = tuple(sorted(starts, key=start_order)[:CLAIMS_MAX])
        return state if starts == state.starts else msgspec.structs.replace(state, starts=starts)
    if notification.kind is Kind.PUSH_STOPPED:
        stops = _join(state.stops, _claim(notification, position))
        stops = tuple(sorted(stops, key=stop_order)[:CLAIMS_MAX])
        return state if stops == state.stops else msgspec.structs.replace(state, stops=stops)
    if notification.kind is Kind.PUSH_ERROR:
        return msgspec.structs.replace(state, health=_tally(state.health, notification))
    return msgspec.structs.replace(state, others=state.others + 1)


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
    at_ms = notification.at_ms
    events = 0
    interval_ms = 0
    if isinstance(detail, PushError):
        for abnormal in detail.abnormal_events:
            name = str(abnormal.type)
            counts[name] = counts.get(name, 0) + abnormal.count
            events += abnormal.count
        interval_ms = detail.report_interval_ms or 0
    worst = health.worst
    if events and at_ms is not None:
        worst = max(worst or (0, 0, 0), (events, -at_ms, interval_ms))
    times = [time for time in (health.first_ms, health.last_ms, at_ms) if time is not None]
    return Health(
        reports=health.reports + 1,
        counts=dict(sorted(counts.items())),
        worst=worst,
        first_ms=min(times, default=None),
        last_ms=max(times, default=None),
        unreadable=tuple(sorted({*health.unreadable, *notification.unreadable})),
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


def measured_ms(state: SessionState) -> int | None:
    """From the reported start to the stop, negative when they are the wrong way round; None without both."""
    began_ms, source = started_ms(state)
    end_ms = ended_ms(state)
    if began_ms is None or end_ms is None or source != "reported":
        return None
    return end_ms - began_ms


def sort_ms(state: SessionState) -> int:
    """The time by which lists are ordered: the start, else the earliest time that is known."""
    began_ms, _ = started_ms(state)
    if began_ms is not None:
        return began_ms
    known = [time for time in (ended_ms(state), state.health.first_ms) if time is not None]
    return min(known, default=0)


def span(state: SessionState, newer_ms: int | None = None) -> Span:
    """The span in which content of this push can lie. Empty (until < from) when no time is known.

    `newer_ms` is the start of the next push of the same stream and place (`succession.newer_ms`): it
    matters while this one has no stop. The rules are those of ADR 0008.
    """
    began_ms, source = started_ms(state)
    from_ms, until_ms, sure_from_ms, sure_until_ms = (
        _closed(state, began_ms) if state.stops else _open(state, began_ms, newer_ms)
    )
    claim = leading_claim(state)
    return Span(
        sequence=state.sequence,
        from_ms=from_ms,
        until_ms=until_ms,
        from_certain=source is not None,
        sure_from_ms=sure_from_ms,
        sure_until_ms=sure_until_ms,
        open=not state.stops and until_ms >= from_ms,
        app=claim.app if claim else None,
        appname=claim.appname if claim else None,
        stream_param=claim.stream_param if claim else None,
    )


NOWHERE: Final = (0, -1, 0, -1)


def _closed(state: SessionState, began_ms: int | None) -> tuple[int, int, int, int]:
    """From, until and the sure part of them for a push whose stop is known."""
    end_ms = ended_ms(state)
    if end_ms is None:
        if began_ms is None:
            return NOWHERE
        # The stop's time cannot be read; its duration may still tell it.
        reach_ms = began_ms + (state.stops[0].push.push_duration_ms or 0)
        return began_ms, reach_ms, began_ms, reach_ms
    if began_ms is None:
        first_ms = min(state.health.first_ms if state.health.first_ms is not None else end_ms, end_ms)
        return max(0, min(first_ms, end_ms - UNKNOWN_START_LOOKBACK_MS)), end_ms, first_ms, end_ms
    # A stop before its start: the clocks disagree, so the push lies between the two.
    from_ms, until_ms = min(began_ms, end_ms), max(began_ms, end_ms)
    return from_ms, until_ms, from_ms, until_ms


def _open(state: SessionState, began_ms: int | None, newer_ms: int | None) -> tuple[int, int, int, int]:
    """The same for a push without a stop: sure until a newer one begins, unless it gave a sign later."""
    from_ms = began_ms if began_ms is not None else state.health.first_ms
    if from_ms is None:
        return NOWHERE
    if newer_ms is None or newer_ms == OPEN_END_MS:
        return from_ms, OPEN_END_MS, from_ms, OPEN_END_MS
    sure_ms = max(newer_ms, state.health.last_ms or 0)
    return from_ms, sure_ms + OPEN_BESIDE_NEWER_MS, from_ms, sure_ms


def leading_claim(state: SessionState) -> Claim | None:
    """The claim whose attributes (app, node, address) stand for the session: its start, else its stop."""
    if state.starts:
        return state.starts[0]
    return state.stops[0] if state.stops else None
