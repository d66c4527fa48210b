"""Why an answer says what it says: per field the deliveries that set it, those overruled, and the rule."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec

from streamledger.domain import session as fold
from streamledger.domain.answers import Session
from streamledger.domain.attributed import SLACK_MS, Attribution, Item
from streamledger.domain.attribution import considered_ms, decide, with_witnesses
from streamledger.domain.instants import instant_ms
from streamledger.domain.notification import Kind, Notification, Push
from streamledger.domain.session import OPEN_END_MS, Claim, SessionState, Span

FIELD_RULES: Final = {
    "earliest_start": "the start with the earliest event_time counts; of equal ones the content decides",
    "latest_stop": "the stop with the latest event_time counts; of equal ones the content decides",
    "start_inferred": "no start with a readable time is known: the stop's event_time less its push_duration",
    "nothing_known": "nothing that was delivered says it",
    "start_before_stop": "the start that counts says it; where it does not, the stop that counts does",
    "first_frame": "the start that counts says it, unless it is 0: the first frame was not decoded then; "
    "else the stop that counts does",
    "leading": "the start that counts says it; without any start, the stop that counts does",
    "stop_known": "a stop is known, so the push has ended",
    "no_stop": "no stop is known: the push is held to run, and state_reasons name what speaks against it",
    "duration_reported": "push_duration of the stop that counts",
    "duration_measured": "from the start that counts to the stop that counts; no push_duration was readable",
    "duration_running": "no stop is known: from the start to now, or to as_of",
    "duration_last_sign": "no stop is known, and the rules of presence speak against it: from the start to"
    " its latest sign",
    "suspected": "no stop is known, and the rules of presence speak against it: the latest sign is older than"
    " their limits",
    "identity": "every delivery of the session carries it",
    "attributed": "the media that are attributed to the session by time; see attributions",
    "all_deliveries": "the deliveries of the notifications that carry this sequence, copies included",
    "push_errors": "the push errors (event type 321) that carry this sequence, each counted once",
    "compared": "found by comparing what was delivered",
    "last_delivery": "the last delivery that carries this sequence",
}
"""The rules by which fields are set, for people."""

POSITIONS_MAX: Final = 100
"""Positions that one field lists; of a push with thousands of push errors the first ones are named."""


class Outcome(StrEnum):
    """What became of a candidate for a recording or a screenshot."""

    CHOSEN = "chosen"
    ALTERNATIVE = "alternative"  # it was considered for the same part and lost
    OTHER_PLACE = "other_place"  # app or appname differ
    TOO_FAR = "too_far"  # further away than the slack
    REFUSED = "refused"  # it never ran, and another push came near
    TOUCHES_ONLY = "touches_only"  # another push holds more of it


OUTCOMES: Final = {
    Outcome.CHOSEN: "it belongs to this push",
    Outcome.ALTERNATIVE: "considered for the same part and not chosen",
    Outcome.OTHER_PLACE: "app or appname differ",
    Outcome.TOO_FAR: "further away than the slack",
    Outcome.REFUSED: "it was refused, so it never ran",
    Outcome.TOUCHES_ONLY: "it comes near, and another push holds more of it",
}
"""What each outcome means, for people."""


class Rule(msgspec.Struct, frozen=True):
    """A rule: its code, and what it says."""

    code: str
    text: str


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What one delivery says of a field."""

    position: int
    value: Any


class FieldExplanation(msgspec.Struct, frozen=True, kw_only=True):
    """One field of the session's answer: its value, and where it comes from."""

    field: str
    value: Any
    rule: Rule
    positions: list[int]
    """The deliveries that set it: the first one of each content that counts."""
    confirmed: int
    """Later deliveries of the same contents, copies: counted, not listed."""
    overruled: list[Said]
    """What others said of it, and does not count."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One push that was considered for a recording or a screenshot, with its scores."""

    sequence: str
    outcome: str
    why: str
    from_at: str
    until_at: str | None
    """null while no stop is known"""
    overlap_ms: int
    """How much of it lies inside the push; 0 for a moment."""
    distance_ms: int
    """How far outside the push it lies; 0 when they touch."""
    same_app: bool | None
    """null where one side does not know its app"""
    same_appname: bool | None
    same_stream_param: bool | None


class AttributionExplanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a recording or a screenshot belongs to the session."""

    position: int
    kind: str
    key: str
    at: str
    until: str | None
    confidence: str
    because: list[Rule]
    candidates: list[Candidate]


class Delivered(msgspec.Struct, frozen=True):
    """A delivery of a notification that carries the session's sequence, as far as explaining needs it."""

    position: int
    notification: Notification


def _rule(code: str) -> Rule:
    return Rule(code, FIELD_RULES[code])


class _Sources:
    """Which deliveries lie behind the claims of a session."""

    def __init__(self, state: SessionState, delivered: Sequence[Delivered]) -> None:
        self.state = state
        self.start = state.starts[0] if state.starts else None
        self.stop = state.stops[0] if state.stops else None
        self._copies: dict[tuple[Kind, str], int] = {}
        for each in delivered:
            key = each.notification.kind, each.notification.content
            self._copies[key] = self._copies.get(key, -1) + 1

    def confirmed(self, claims: Iterable[Claim]) -> int:
        """How many copies came of these claims' contents."""
        found = 0
        for claim in claims:
            kind = Kind.PUSH_STARTED if claim in self.state.starts else Kind.PUSH_STOPPED
            found += self._copies.get((kind, claim.content), 0)
        return found

    def field(
        self,
        name: str,
        value: Any,
        rule: str,
        claims: Sequence[Claim | None],
        overruled: Iterable[Said] = (),
    ) -> FieldExplanation:
        """A field that these claims set."""
        setting = [claim for claim in claims if claim is not None]
        return FieldExplanation(
            field=name,
            value=value,
            rule=_rule(rule),
            positions=sorted({claim.position for claim in setting}),
            confirmed=self.confirmed(setting),
            overruled=[said for said in overruled if said.value is not None and said.value != value],
        )


def explain_fields(
    session: Session, state: SessionState, delivered: Sequence[Delivered]
) -> list[FieldExplanation]:
    """Every field of the answer that rests on deliveries, in the answer's order."""
    sources = _Sources(state, delivered)
    start, stop = sources.start, sources.stop
    named = _first_positions(delivered)
    fields = [_counted(name, getattr(session, name), "identity", named) for name in ("sequence", "stream_id")]
    fields += [_attribute(sources, session, name) for name in ("app", "appname")]
    presence = ("stop_known", [stop]) if stop is not None else ("no_stop", [start])
    fields.append(sources.field("state", session.state, *presence))
    if session.state_reasons:
        presence = ("suspected", [start])
    fields.append(sources.field("state_reasons", session.state_reasons, *presence))
    began = _started_at(sources, session)
    fields += [began, _beside(began, "start_source", session.start_source)]
    fields.append(_ended_at(sources, session))
    lasted = _duration(sources, session)
    fields += [lasted, _beside(lasted, "duration_source", session.duration_source)]
    fields.append(
        sources.field(
            "stop",
            msgspec.to_builtins(session.stop),
            "latest_stop" if stop is not None else "nothing_known",
            [stop],
            [
                Said(
                    position=claim.position,
                    value={"errcode": claim.push.errcode, "errmsg": claim.push.errmsg},
                )
                for claim in state.stops[1:]
                if stop is None or _ending(claim) != _ending(stop)
            ],
        )
    )
    fields += [
        _attribute(sources, session, name) for name in ("node", "user_ip", "stream_param", "width", "height")
    ]
    fields.append(sources.field("recordings", msgspec.to_builtins(session.recordings), "attributed", []))
    fields.append(sources.field("screenshots", msgspec.to_builtins(session.screenshots), "attributed", []))
    repeated = session.deliveries.repeated
    fields.append(
        _counted("deliveries", msgspec.to_builtins(session.deliveries), "all_deliveries", named, repeated)
    )
    errors = [each for each in delivered if each.notification.kind is Kind.PUSH_ERROR]
    fields.append(
        _counted(
            "health",
            msgspec.to_builtins(session.health),
            "push_errors" if errors else "nothing_known",
            _first_positions(errors),
            len(errors) - len({each.notification.content for each in errors}),
        )
    )
    fields.append(
        sources.field(
            "anomalies",
            msgspec.to_builtins(session.anomalies),
            "compared",
            [*state.starts, *state.stops] if session.anomalies else [],
        )
    )
    fields.append(_counted("position", session.position, "last_delivery", [session.position]))
    return fields


def _ending(stop: Claim) -> tuple[int | None, str | None]:
    return stop.push.errcode, stop.push.errmsg


def _counted(name: str, value: Any, rule: str, positions: list[int], confirmed: int = 0) -> FieldExplanation:
    """A field that no delivery can overrule."""
    return FieldExplanation(
        field=name, value=value, rule=_rule(rule), positions=positions, confirmed=confirmed, overruled=[]
    )


def _beside(explained: FieldExplanation, name: str, value: Any) -> FieldExplanation:
    """A field that says where another one comes from."""
    return msgspec.structs.replace(explained, field=name, value=value, overruled=[])


def _first_positions(delivered: Sequence[Delivered]) -> list[int]:
    first: dict[tuple[Kind, str], int] = {}
    for each in delivered:
        first.setdefault((each.notification.kind, each.notification.content), each.position)
    return sorted(first.values())[:POSITIONS_MAX]


def _at(claim: Claim) -> Said:
    return Said(position=claim.position, value=None if claim.at_ms is None else instant_ms(claim.at_ms))


def _started_at(sources: _Sources, session: Session) -> FieldExplanation:
    _, source = fold.started_ms(sources.state)
    starts = sources.state.starts
    if source == "reported":
        overruled = [_at(claim) for claim in starts[1:]]
        return sources.field("started_at", session.started_at, "earliest_start", [sources.start], overruled)
    overruled = [_at(claim) for claim in starts]
    if source == "inferred":
        return sources.field("started_at", session.started_at, "start_inferred", [sources.stop], overruled)
    return sources.field("started_at", session.started_at, "nothing_known", [], overruled)


def _ended_at(sources: _Sources, session: Session) -> FieldExplanation:
    rule = "latest_stop" if sources.stop is not None else "nothing_known"
    overruled = [_at(claim) for claim in sources.state.stops[1:]]
    return sources.field("ended_at", session.ended_at, rule, [sources.stop], overruled)


def _duration(sources: _Sources, session: Session) -> FieldExplanation:
    start, stop = sources.start, sources.stop
    overruled = [
        Said(position=claim.position, value=claim.push.push_duration_ms)
        for claim in sources.state.stops[1:]
        if claim.push.push_duration_ms is not None
    ]
    match session.duration_source:
        case "reported":
            claims: list[Claim | None] = [stop]
        case "measured":
            claims = [start, stop]
        case "running" | "last_sign":
            claims = [start]
        case _:
            return sources.field("duration_ms", session.duration_ms, "nothing_known", [], overruled)
    ends = [None if claim is None else claim.at_ms for claim in (start, stop)]
    if session.duration_source == "reported" and start and ends[0] is not None and ends[1] is not None:
        # What start and stop say together; the stop's own word goes before it.
        overruled.append(Said(position=start.position, value=ends[1] - ends[0]))
    return sources.field(
        "duration_ms", session.duration_ms, f"duration_{session.duration_source}", claims, overruled
    )


def _attribute(sources: _Sources, session: Session, name: str) -> FieldExplanation:
    """A field that a start or a stop carries as it is."""
    leading = [claim for claim in (sources.start, sources.stop) if claim is not None]
    rule = "start_before_stop"
    if name == "stream_param":
        leading, rule = leading[:1], "leading"
    elif name in ("width", "height"):
        rule = "first_frame"
    value = getattr(session, name)
    setting = next((claim for claim in leading if _value(claim, name, rule) is not None), None)
    others = [claim for claim in (*sources.state.starts, *sources.state.stops) if claim is not setting]
    chosen = None if setting is None else _value(setting, name, rule)
    overruled = [
        # A stream_param holds a secret: that it differs is said, not what it is.
        Said(position=claim.position, value="another one" if name == "stream_param" else said)
        for claim in others
        if (said := _value(claim, name, rule)) is not None and said != chosen
    ]
    return sources.field(name, value, rule if setting is not None else "nothing_known", [setting], overruled)


def _value(claim: Claim, name: str, rule: str) -> Any:
    holder: Claim | Push = claim if name in ("app", "appname", "stream_param") else claim.push
    value = getattr(holder, name)
    return (value or None) if rule == "first_frame" else value


def explain_attribution(
    item: Item, spans: Sequence[Span], sequence: str, slack_ms: int = SLACK_MS
) -> tuple[Attribution | None, list[Candidate]]:
    """The decision for one session, and every push that came near or ran at the time, best first.

    `spans` must hold all that `considered_ms` asks for; of others only those that were considered are named.
    """
    spans = with_witnesses(item, spans)
    decided = decide(item, spans, slack_ms)
    mine = next((each for each in decided if each.sequence == sequence), None)
    chosen = {each.sequence for each in decided}
    alternatives = {each for attribution in decided for each in attribution.alternatives}
    candidates = []
    for span in spans:
        if span.until_ms < span.from_ms:
            continue
        distance_ms = max(0, span.from_ms - item.until_ms, item.at_ms - span.until_ms)
        if distance_ms > considered_ms(slack_ms) and span.sequence not in chosen | alternatives:
            continue
        scores = _scores(item, span, distance_ms)
        if span.sequence in chosen:
            outcome = Outcome.CHOSEN
        elif span.sequence in alternatives:
            outcome = Outcome.ALTERNATIVE
        elif scores["same_app"] is False or scores["same_appname"] is False:
            outcome = Outcome.OTHER_PLACE
        elif distance_ms > slack_ms:
            outcome = Outcome.TOO_FAR
        elif span.refused:
            outcome = Outcome.REFUSED
        else:
            outcome = Outcome.TOUCHES_ONLY
        candidates.append(Candidate(outcome=outcome.value, why=OUTCOMES[outcome], **scores))
    rank = {outcome.value: number for number, outcome in enumerate(Outcome)}
    candidates.sort(
        key=lambda one: (rank[one.outcome], -one.overlap_ms, one.distance_ms, one.from_at, one.sequence)
    )
    return mine, candidates


def _scores(item: Item, span: Span, distance_ms: int) -> dict[str, Any]:
    overlap_ms = min(item.until_ms, span.until_ms) - max(item.at_ms, span.from_ms)
    return {
        "sequence": span.sequence,
        "from_at": instant_ms(span.from_ms),
        "until_at": None if span.until_ms == OPEN_END_MS else instant_ms(span.until_ms),
        "overlap_ms": max(0, overlap_ms),
        "distance_ms": distance_ms,
        "same_app": _same(item.app, span.app),
        "same_appname": _same(item.appname, span.appname),
        "same_stream_param": _same(item.stream_param or None, span.stream_param or None),
    }


def _same(one: str | None, other: str | None) -> bool | None:
    return None if one is None or other is None else one == other
