"""The session: a pure fold over the set of notifications that carry one sequence.

The state is a join: taking notifications in any order and any number of times gives the same
state, but for positions and counts of deliveries, which say how the knowledge arrived.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from streamledger.domain.notification import AHEAD_MS_MAX, EARLIEST_MS, Kind, Notification, Push, bounded
from streamledger.domain.place import host_of
from streamledger.domain.push_errors import Health, tallied

FOLD_VERSION: Final = 12
"""Raised whenever the same history would give other rows: a rebuild is then due."""

CLAIMS_MAX: Final = 8
"""Distinct contents kept per start and per stop; what counts is always among them."""

DURATION_TOLERANCE_MS: Final = 2000
"""event_time has whole seconds, push_duration milliseconds: below this they do not disagree."""

UNKNOWN_START_LOOKBACK_MS: Final = 12 * 3600 * 1000
"""How far before its stop a push of unknown start is assumed to reach, for attribution only."""

OPEN_BESIDE_NEWER_MS: Final = 12 * 3600 * 1000
"""How long after a newer push began an older one without a stop is held possible beside it (ADR 0008)."""

OPEN_LATER_MAX: Final = 8
"""So many later pushes at its place without a stop end the possibility of one without a stop (ADR 0014)."""

BEGAN_TOGETHER_MS: Final = 5_000
"""A push that began so soon after another stands beside it, as main and backup do: it did not replace it."""

REFUSED_ERRCODES: Final = frozenset({18, 19})
"""With these a push was refused (267/38081): it never ran, so it replaced nobody."""

REFUSED_MS_MAX: Final = 10_000
"""A push that was refused is over in a second. One that is known to have lasted longer ran, and was cut."""

OPEN_END_MS: Final = 2**63 - 1
"""The end of the span of a push whose stop is not known."""


class Claim(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What one distinct content says of the start or the stop of a push."""

    at_ms: int | None
    """None also when a delivery of it came so long before that it cannot be (`notification.believable`)."""
    content: str
    position: int
    push: Push
    app: str | None = None
    appname: str | None = None
    stream_param: str | None = None
    unreadable: tuple[str, ...] = ()
    signed_early: bool = False
    """Whether every delivery of it was signed long before what it tells: another's word goes before it."""
    received_ms: int | None = None
    """The earliest receipt, where no time of it can be read: all that is known of when."""


class SessionState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """All that is known of one push. `starts` are ordered from the one that counts, `stops` likewise."""

    stream_id: str
    sequence: str
    starts: tuple[Claim, ...] = ()
    stops: tuple[Claim, ...] = ()
    ahead: tuple[Claim, ...] = ()
    """At a moment of the past, stops that had not happened by then: their durations tell when it began."""
    health: Health = Health()
    others: int = 0
    """Distinct notifications of types not modelled that name this sequence."""


class Span(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where on its stream's time axis the content of a push can lie; half of attribution's input."""

    sequence: str
    from_ms: int
    until_ms: int
    """OPEN_END_MS while no stop is known, unless newer pushes of the stream make that unlikely."""
    from_certain: bool
    sure_from_ms: int | None = None
    """From here the push is known to have run; None: from from_ms."""
    sure_until_ms: int | None = None
    """Until here the push is known, or has to be assumed, to have run; None: until until_ms."""
    witness_until_ms: int = -1
    """Up to here media with its stream_param may belong to it, if that is later than until_ms."""
    open: bool = False
    """Whether no stop is known."""
    refused: bool = False
    """Whether it was refused at once: then it holds nothing that any other push may hold."""
    app: str | None = None
    appname: str | None = None
    stream_param: str | None = None


class Bounds(msgspec.Struct, kw_only=True, gc=False):
    """Where a push can lie, and what of it bears on the pushes beside it; without a time, until < from.

    `bounds_of` says what follows from its own notifications; `succession.settle` sets what its neighbours
    decide: `span_from_ms`, `span_until_ms`, `sure_until_ms`, `newer_ms`, `reach_ms`, `witness_until_ms`.
    """

    sequence: str
    sort_ms: int = 0
    """The start, else the earliest time known: the order of lists."""
    span_from_ms: int = 0
    span_until_ms: int = -1
    sure_from_ms: int = 0
    sure_until_ms: int = -1
    last_sign_ms: int = 0
    """When it gave its latest sign that carries its sequence and is no stop; 0 without any."""
    newer_ms: int = OPEN_END_MS
    """Without a stop: the start of the next push at its place."""
    rival_ms: int = OPEN_END_MS
    """Without a stop: the start of the next push at its place that did not begin with it (ADR 0040)."""
    reach_ms: int = -1
    """Up to here it may still be changed by another push, or hold content: of one with a stop its end, else
    the start of the OPEN_LATER_MAX-th later push at its place that has no stop either."""
    witness_until_ms: int = -1
    """Up to here it is possible for media with its stream_param, of one without a stop; else -1."""
    ended: bool = False
    start_known: bool = False
    """Whether the start is reported or inferred: then it is `sort_ms`."""
    refused: bool = False
    """Whether it was refused, so that it says nothing of those that ran."""
    app: str | None = None
    appname: str | None = None
    witness: str | None = None
    """What stands for its stream_param in comparisons; None without one."""

    @property
    def is_open(self) -> bool:
        """Whether no stop is known, and any time is."""
        return not self.ended and self.span_until_ms >= self.span_from_ms

    def span(self) -> Span:
        """The same as attribution takes it."""
        return Span(
            sequence=self.sequence,
            from_ms=self.span_from_ms,
            until_ms=self.span_until_ms,
            from_certain=self.start_known,
            sure_from_ms=self.sure_from_ms,
            sure_until_ms=self.sure_until_ms,
            witness_until_ms=self.witness_until_ms,
            open=self.is_open,
            refused=self.refused and self.sure_until_ms - self.sure_from_ms <= REFUSED_MS_MAX,
            app=self.app,
            appname=self.appname,
            stream_param=self.witness,
        )


def start_order(claim: Claim) -> tuple[bool, bool, int, str]:
    """Earliest start first, ties by content; those signed early after others, those without a time last."""
    return (claim.at_ms is None, claim.signed_early, claim.at_ms or 0, claim.content)


def stop_order(claim: Claim) -> tuple[bool, bool, int, str]:
    """Latest stop first, ties by content; those signed early after others, those without a time last."""
    return (claim.at_ms is None, claim.signed_early, -(claim.at_ms or 0), claim.content)


def take(
    state: SessionState,
    notification: Notification,
    position: int,
    *,
    received_ms: int | None = None,
    signed_early: bool = False,
) -> SessionState:
    """The state after one more delivery of this sequence; the same state when it brings nothing new.

    Push errors and types not modelled are tallies, so the caller takes each distinct one once. Of starts
    and stops every delivery may be taken: a copy tells when it came, and when it was signed.
    """
    if notification.kind in (Kind.PUSH_STARTED, Kind.PUSH_STOPPED):
        claim = _claim(notification, position, received_ms, signed_early=signed_early)
    if notification.kind is Kind.PUSH_STARTED:
        starts = _join(state.starts, claim)
        starts = tuple(sorted(starts, key=start_order)[:CLAIMS_MAX])
        return state if starts == state.starts else msgspec.structs.replace(state, starts=starts)
    if notification.kind is Kind.PUSH_STOPPED:
        stops = _join(state.stops, claim)
        stops = tuple(sorted(stops, key=stop_order)[:CLAIMS_MAX])
        return state if stops == state.stops else msgspec.structs.replace(state, stops=stops)
    if notification.kind is Kind.PUSH_ERROR:
        return msgspec.structs.replace(state, health=tallied(state.health, notification))
    return msgspec.structs.replace(state, others=state.others + 1)


def _claim(
    notification: Notification, position: int, received_ms: int | None, *, signed_early: bool
) -> Claim:
    push = _bounded(notification.detail) if isinstance(notification.detail, Push) else Push()
    return Claim(
        at_ms=notification.at_ms,
        content=notification.content,
        position=position,
        push=push,
        app=bounded(notification.app),
        appname=bounded(notification.appname),
        stream_param=bounded(notification.stream_param),
        unreadable=notification.unreadable,
        signed_early=signed_early,
        received_ms=received_ms if notification.at_ms is None else None,
    )


def _bounded(push: Push) -> Push:
    return msgspec.structs.replace(
        push, node=bounded(push.node), user_ip=bounded(push.user_ip), errmsg=bounded(push.errmsg)
    )


def _join(claims: tuple[Claim, ...], claim: Claim) -> tuple[Claim, ...]:
    for known in claims:
        if known.content == claim.content:
            joined = _joined(known, claim)
            return claims if joined == known else tuple(joined if each is known else each for each in claims)
    return (*claims, claim)


def _joined(one: Claim, other: Claim) -> Claim:
    """Two deliveries of one content: the first of them, its time if neither makes it impossible."""
    first = min(one, other, key=lambda claim: claim.position)
    receipts = [claim.received_ms for claim in (one, other) if claim.received_ms is not None]
    return msgspec.structs.replace(
        first,
        at_ms=None if one.at_ms is None or other.at_ms is None else first.at_ms,
        unreadable=tuple(sorted({*one.unreadable, *other.unreadable})),
        signed_early=one.signed_early and other.signed_early,
        received_ms=min(receipts, default=None),
    )


def started_ms(state: SessionState) -> tuple[int | None, str | None]:
    """When the push began and how that is known: "reported", "inferred" (stop - push_duration) or None."""
    if state.starts and state.starts[0].at_ms is not None:
        return state.starts[0].at_ms, "reported"
    for stop in (*state.stops[:1], *state.ahead[:1]):
        inferred_ms = begun_before_ms(stop.at_ms, stop.push)
        if inferred_ms is not None:
            return inferred_ms, "inferred"
    return None, None


def begun_before_ms(stopped_ms: int | None, push: Push) -> int | None:
    """When a push began by what its stop says; None where that is nothing, or cannot be."""
    if stopped_ms is None or push.push_duration_ms is None:
        return None
    inferred_ms = stopped_ms - push.push_duration_ms
    return inferred_ms if inferred_ms >= EARLIEST_MS else None


def ended_ms(state: SessionState) -> int | None:
    """When the push ended by its latest stop; None without one, or when its time cannot be read."""
    return state.stops[0].at_ms if state.stops else None


def over_ms(state: SessionState) -> int | None:
    """The same; of a stop whose time cannot be read, its duration after the start may still tell it.

    An end that lies so far ahead of the stop's receipt cannot be: its duration counts as not told.
    """
    end_ms, began_ms = ended_ms(state), started_ms(state)[0]
    if end_ms is not None or began_ms is None or not state.stops:
        return end_ms
    stop = state.stops[0]
    inferred_ms = began_ms + (stop.push.push_duration_ms or 0)
    if stop.received_ms is not None and inferred_ms > stop.received_ms + AHEAD_MS_MAX:
        return began_ms
    return inferred_ms


def measured_ms(state: SessionState) -> int | None:
    """From the reported start to the stop, negative when they are the wrong way round; None without both."""
    began_ms, source = started_ms(state)
    end_ms = ended_ms(state)
    if began_ms is None or end_ms is None or source != "reported":
        return None
    return end_ms - began_ms


def begun_by(state: SessionState, stop: Notification, position: int) -> SessionState:
    """The state with a stop that had not happened yet: all that it says is when the push began."""
    claim = _claim(stop, position, None, signed_early=False)
    ahead = tuple(sorted(_join(state.ahead, claim), key=stop_order)[:CLAIMS_MAX])
    return msgspec.structs.replace(state, ahead=ahead)


def was_refused(state: SessionState) -> bool:
    """Whether the push was refused: it never ran, and says nothing of those that did."""
    return bool(state.stops) and state.stops[0].push.errcode in REFUSED_ERRCODES


def sort_ms(state: SessionState) -> int:
    """The time by which lists are ordered: the start, else the earliest time that is known."""
    began_ms, _ = started_ms(state)
    if began_ms is not None:
        return began_ms
    known = [time for time in (ended_ms(state), state.health.first_ms) if time is not None]
    return min(known, default=0)


WitnessOf = Callable[[str | None], str | None]
"""What stands for a stream_param in comparisons: itself, or a digest of it."""


def bounds_of(bounds: Bounds, state: SessionState, witness_of: WitnessOf) -> None:
    """Write into the bounds what the push's own notifications say; its neighbours are `succession`'s part."""
    began_ms, source = started_ms(state)
    claim = leading_claim(state)
    bounds.ended = bool(state.stops)
    bounds.start_known = source is not None
    bounds.sort_ms = sort_ms(state)
    bounds.last_sign_ms = max(began_ms or 0, state.health.last_ms or 0)
    bounds.refused = was_refused(state)
    bounds.app = host_of(claim.app) if claim else None
    bounds.appname = claim.appname if claim else None
    bounds.witness = witness_of(claim.stream_param) if claim else None
    from_ms, until_ms, sure_from_ms, sure_until_ms = (
        _closed(state, began_ms) if state.stops else _open(state, began_ms)
    )
    bounds.span_from_ms, bounds.span_until_ms = from_ms, until_ms
    bounds.sure_from_ms, bounds.sure_until_ms = sure_from_ms, sure_until_ms
    bounds.reach_ms = until_ms
    if not bounds.is_open:
        bounds.newer_ms = bounds.rival_ms = OPEN_END_MS
    if not bounds.is_open or bounds.witness is None:
        bounds.witness_until_ms = -1


NOWHERE: Final = (0, -1, 0, -1)


def _closed(state: SessionState, began_ms: int | None) -> tuple[int, int, int, int]:
    """From, until and the sure part of them for a push whose stop is known."""
    end_ms = over_ms(state)
    if end_ms is None:
        return NOWHERE
    if began_ms is None:
        first_ms = min(state.health.first_ms if state.health.first_ms is not None else end_ms, end_ms)
        return max(0, min(first_ms, end_ms - UNKNOWN_START_LOOKBACK_MS)), end_ms, first_ms, end_ms
    # A stop before its start: the clocks disagree, so the push lies between the two.
    from_ms, until_ms = min(began_ms, end_ms), max(began_ms, end_ms)
    return from_ms, until_ms, from_ms, until_ms


def _open(state: SessionState, began_ms: int | None) -> tuple[int, int, int, int]:
    """The same for a push without a stop, as long as nothing is known of others."""
    from_ms = began_ms if began_ms is not None else state.health.first_ms
    if from_ms is None:
        return NOWHERE
    return from_ms, OPEN_END_MS, from_ms, OPEN_END_MS


def leading_claim(state: SessionState) -> Claim | None:
    """The claim whose attributes (app, node, address) stand for the session: its start, else its stop."""
    if state.starts:
        return state.starts[0]
    return next(iter((*state.stops, *state.ahead)), None)
