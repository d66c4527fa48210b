"""What must come of a true history: naive code that counts seconds, and shares nothing with the product.

It knows the rules only as docs/sessions.md and ADR 0008 state them. Stretches of time are sets of
seconds. Nothing here is fast, and nothing here imports streamledger.
"""

from dataclasses import dataclass

from tests.oracle.true_history import HORIZON_S, History, TrueItem, TruePush

SLACK_S = 5
EARLIEST_S, LATEST_S = -500, HORIZON_S + 500
"""Beyond these nothing of a history happens; they stand for twelve hours before and for ever after."""


@dataclass(frozen=True)
class Limits:
    """How far a push of unknown start reaches back, and how long an open one is possible beside a newer."""

    lookback_s: int = LATEST_S - EARLIEST_S
    beside_newer_s: int = LATEST_S - EARLIEST_S


HALF_A_DAY = Limits()


@dataclass(frozen=True)
class Expected:
    """A session as it must be."""

    sequence: str
    started_s: int | None
    start_source: str | None
    ended_s: int | None
    anomalies: frozenset[str]
    errors: int


@dataclass(frozen=True)
class Judged:
    """One session that an item must be attributed to."""

    sequence: str
    confidence: str
    alternatives: tuple[str, ...]


def session(push: TruePush) -> Expected:
    """The session of a push, from what is reported of it."""
    started_s, source = began(push)
    ended_s = max(push.reported_stops, default=None)
    odd = set()
    if push.reported_stops and not push.reported_starts:
        odd.add("start_missing")
    if not push.reported_stops and not push.reported_starts:
        odd.add("push_errors_only")
    if len(push.reported_starts) > 1:
        odd.add("start_conflict")
    if len(push.reported_stops) > 1:
        odd.add("stop_conflict")
    if source == "reported" and ended_s is not None and started_s is not None:
        if ended_s < started_s:
            odd.add("stop_before_start")
        elif push.duration_s is not None and abs(ended_s - started_s - push.duration_s) > 2:
            odd.add("duration_mismatch")
    return Expected(push.sequence, started_s, source, ended_s, frozenset(odd), len(push.errors_s))


def began(push: TruePush) -> tuple[int | None, str | None]:
    """When a push began, and how that is known."""
    if push.reported_starts:
        return min(push.reported_starts), "reported"
    if push.reported_stops and push.duration_s is not None:
        return max(push.reported_stops) - push.duration_s, "inferred"
    return None, None


def duration(push: TruePush, now_s: int) -> tuple[int | None, str | None]:
    """How long a push lasted, in milliseconds, and how that is known."""
    started_s, _ = began(push)
    if push.reported_stops and push.duration_s is not None:
        return push.duration_s * 1000, "reported"
    if push.reported_stops and push.reported_starts:
        return max(0, max(push.reported_stops) - min(push.reported_starts)) * 1000, "measured"
    if not push.reported_stops and started_s is not None:
        return max(0, now_s - started_s) * 1000, "running"
    return None, None


def stretch(push: TruePush, pushes: list[TruePush], limits: Limits) -> tuple[set[int], set[int]]:
    """The seconds in which a push may have run, and those in which it is held to have run."""
    started_s, _ = began(push)
    first_error_s = min(push.errors_s, default=None)
    if push.reported_stops:
        ended_s = max(push.reported_stops)
        if started_s is None:
            known_s = ended_s if first_error_s is None else min(ended_s, first_error_s)
            back_s = ended_s - limits.lookback_s
            return set(range(min(known_s, back_s), ended_s + 1)), set(range(known_s, ended_s + 1))
        ran = set(range(min(started_s, ended_s), max(started_s, ended_s) + 1))
        return ran, ran
    from_s = started_s if started_s is not None else first_error_s
    assert from_s is not None, "a push of which nothing is known has no session"
    may = set(range(from_s, LATEST_S))
    later = [began(other)[0] for other in pushes if other is not push and same_place(_app(push), other)]
    newer = [time_s for time_s in later if time_s is not None and time_s > from_s]
    if not newer:
        return may, may
    last_sign_s = max(push.errors_s, default=from_s)
    sure_s = max(min(newer), last_sign_s)
    return set(range(from_s, min(sure_s + limits.beside_newer_s, LATEST_S) + 1)), set(
        range(from_s, sure_s + 1)
    )


@dataclass(frozen=True)
class Held:
    """The seconds of all pushes of a history: in which each may have run, and in which it surely did."""

    may: dict[str, set[int]]
    sure: dict[str, set[int]]
    firsts: dict[str, int]
    """The first second in which each may have run."""


def held_by(history: History, limits: Limits = HALF_A_DAY) -> Held:
    """What the pushes of a history hold; the same for all its items, so it is counted once."""
    pushes = history.known()
    seconds = {push.sequence: stretch(push, pushes, limits) for push in pushes}
    return Held(
        may={sequence: may for sequence, (may, _) in seconds.items()},
        sure={sequence: sure for sequence, (_, sure) in seconds.items()},
        firsts={sequence: min(may) for sequence, (may, _) in seconds.items()},
    )


def same_place(app: str | None, push: TruePush) -> bool:
    """Whether nothing speaks against the same push domain. Only starts and stops name a push's."""
    known = push.app if push.reported_starts or push.reported_stops else None
    return app is None or known is None or app == known


def overlap(item: TrueItem, seconds: set[int]) -> int:
    """How many seconds of an item are among these, less one; negative numbers say how far they are off."""
    covered = set(range(item.at_s, item.until_s + 1)) & seconds
    if covered:
        return len(covered) - 1
    return -distance(set(range(item.at_s, item.until_s + 1)), seconds)


def distance(one: set[int], other: set[int]) -> int:
    """Seconds between the closest of two sets."""
    if one & other:
        return 0
    return min(abs(one_s - other_s) for one_s in (min(one), max(one)) for other_s in (min(other), max(other)))


def judge(item: TrueItem, history: History, held: Held) -> list[Judged]:
    """To which sessions an item must be attributed, in order of time."""
    pushes = history.known()
    here = [push for push in pushes if same_place(item.app, push)]
    may, sure, firsts = held.may, held.sure, held.firsts
    around = set(range(item.at_s - SLACK_S, item.until_s + SLACK_S + 1))
    near = [push for push in here if may[push.sequence] & around]
    if not near:
        return _last_open(item, pushes, firsts)
    long = item.until_s - item.at_s > 2 * SLACK_S
    middle_ms = (item.at_s + item.until_s) * 500
    core = set(range(item.at_s + SLACK_S, item.until_s - SLACK_S + 1))
    if long and any(may[push.sequence] & core for push in near):
        return _long(item, near, may, sure, core)

    def off(seconds: set[int]) -> int:
        if long:
            return 1000 * distance(core, seconds)
        return max(0, min(seconds) * 1000 - middle_ms, middle_ms - max(seconds) * 1000)

    scores: dict[str, tuple[int, int]] = {}
    for push in near:
        surely = bool(sure[push.sequence] & around)
        gap = off(sure[push.sequence] if surely else may[push.sequence])
        scores[push.sequence] = ((0 if surely else 2) + (1 if gap else 0), gap)
    best = min(scores.values())
    tied = [push for push in near if scores[push.sequence] == best]
    winner = min(tied, key=lambda push: (firsts[push.sequence], push.sequence))
    witnesses = [push for push in near if item.param is not None and push_param(push) == item.param]
    if len(near) > 1 and len(witnesses) == 1:
        winner, tied = witnesses[0], witnesses
    others = tuple(sorted(push.sequence for push in near if push is not winner))
    if len(tied) > 1:
        confidence = "ambiguous"
    elif not others and scores[winner.sequence][0] == 0 and began(winner)[0] is not None:
        confidence = "certain"
    else:
        confidence = "probable"
    return [Judged(winner.sequence, confidence, others)]


def push_param(push: TruePush) -> str | None:
    """The stream_param of a session: that of its start, else of its stop."""
    return push.param if push.reported_starts or push.reported_stops else None


def _last_open(item: TrueItem, pushes: list[TruePush], firsts: dict[str, int]) -> list[Judged]:
    """The latest push without a stop that began before an item."""
    fitting = [
        (firsts[push.sequence], push.sequence)
        for push in pushes
        if not push.reported_stops and same_place(item.app, push)
    ]
    before = [each for each in fitting if each[0] <= item.at_s + SLACK_S]
    return [Judged(max(before)[1], "probable", ())] if before else []


def _long(
    item: TrueItem,
    near: list[TruePush],
    may: dict[str, set[int]],
    sure: dict[str, set[int]],
    core: set[int],
) -> list[Judged]:
    """A file: a push that ran all the while, else one of each group that ran at the same time."""
    held = [push for push in near if may[push.sequence] & core]
    surely = [push for push in held if sure[push.sequence] & core]
    seconds = sure if surely else may
    rivals = sorted(
        surely or held, key=lambda p: (min(seconds[p.sequence]), max(seconds[p.sequence]), p.sequence)
    )
    groups: list[list[TruePush]] = []
    whole = [push for push in rivals if core <= seconds[push.sequence]]
    if whole:
        groups, rivals = [whole], whole
    for push in [] if whole else rivals:
        begins_s = max(min(seconds[push.sequence]), item.at_s)
        reach_s = [min(max(seconds[each.sequence]), item.until_s) for each in (groups[-1] if groups else [])]
        if reach_s and max(reach_s) - begins_s > SLACK_S:
            groups[-1].append(push)
        else:
            groups.append([push])
    judged: dict[str, Judged] = {}
    for number, group in enumerate(groups):
        window = range(
            max(item.at_s, min(min(seconds[push.sequence]) for push in group)),
            min(item.until_s, max(max(seconds[push.sequence]) for push in group)) + 1,
        )
        doubtful = [push for push in held if push not in rivals and may[push.sequence] & set(window)]
        pool = group + doubtful
        most = max(overlap(item, seconds[push.sequence]) for push in group)
        tied = [push for push in group if overlap(item, seconds[push.sequence]) == most]
        winner = min(tied, key=lambda push: (min(may[push.sequence]), push.sequence))
        witnesses = [push for push in pool if item.param is not None and push_param(push) == item.param]
        witnessed = len(pool) > 1 and len(witnesses) == 1
        if witnessed:
            winner = witnesses[0]
        extent = seconds[winner.sequence] if winner in group else may[winner.sequence]
        fits = (number > 0 or item.at_s + SLACK_S >= min(extent)) and (
            number + 1 < len(groups) or item.until_s - SLACK_S <= max(extent)
        )
        if witnessed:
            confidence = "probable"
        elif len(group) > 1:
            confidence = "ambiguous"
        elif doubtful or not fits or not surely or began(winner)[0] is None or len(groups) > 1:
            confidence = "probable"
        else:
            confidence = "certain"
        others = tuple(sorted(push.sequence for push in pool if push is not winner))
        judged.setdefault(winner.sequence, Judged(winner.sequence, confidence, others))
    return list(judged.values())


Medium = tuple[str, int, int, str, str | None]
"""Kind, time, end, identity and record_event."""


def recording_ended(media_s: list[Medium]) -> int | None:
    """When the last recording of a push was over, second by second, if anything says that it is over."""
    files = sorted((at_s, key, until_s) for kind, at_s, until_s, key, _ in media_s if kind == "recording")
    told = sorted((at_s, key, note) for kind, at_s, _, key, note in media_s if kind == "recording_status")
    if told and told[-1][2] == "record_ended":
        return max([told[-1][0], *(until_s for _, _, until_s in files[-1:])])
    if not files:
        return None
    from_s, _, until_s = files[-1]
    if told and told[-1][0] > until_s:
        return None
    return until_s + (until_s - from_s)


def latest_sign(push: TruePush, media_s: list[Medium]) -> int:
    """When a push without a stop gave its latest sign: its start, a push error, or media."""
    signs = [*push.errors_s, *push.reported_starts[:1], *(at_s for _, at_s, _, _, _ in media_s)]
    files = sorted((at_s, key, until_s) for kind, at_s, until_s, key, _ in media_s if kind == "recording")
    return max([*signs, *(until_s for _, _, until_s in files[-1:])])


def on_air(push: TruePush, media_s: list[Medium], now_s: int, reasons: set[str] | None) -> tuple[int, int]:
    """From when until when a push counts for its broadcast, given what `suspect` says of it."""
    from_s, _ = began(push)
    ended_s = max(push.reported_stops, default=None)
    if from_s is None:
        from_s = min([*push.errors_s, *([] if ended_s is None else [ended_s])])
    if ended_s is None:
        ended_s = latest_sign(push, media_s) if reasons else now_s
    return from_s, max(from_s, ended_s)


def suspect(push: TruePush, history: History, media_s: list[Medium], now_s: int) -> set[str] | None:
    """The reasons against an open push; None when it has a stop.

    `media_s` are the media attributed to it. Limits are those of `LIMITS_S`.
    """
    if push.reported_stops:
        return None
    started_s, _ = began(push)
    sign_s = latest_sign(push, media_s)
    reasons = set()
    if now_s - sign_s > LIMITS_S["silence"]:
        reasons.add("silence")
    from_s = started_s if started_s is not None else min(push.errors_s)
    starts = [began(p)[0] for p in history.known() if p is not push and same_place(_app(push), p)]
    newer = min((time_s for time_s in starts if time_s is not None and time_s > from_s), default=None)
    if newer is not None and now_s - newer > LIMITS_S["newer_push"] and sign_s <= newer:
        reasons.add("newer_push")
    over_s = recording_ended(media_s)
    if over_s is not None and now_s - over_s > LIMITS_S["recording_ended"] and sign_s <= over_s:
        reasons.add("recording_ended")
    return reasons


def _app(push: TruePush) -> str | None:
    return push.app if push.reported_starts or push.reported_stops else None


LIMITS_S = {"silence": 120, "newer_push": 20, "recording_ended": 30}


def broadcast_groups(parts: list[tuple[str, int, int]], window_s: int) -> list[set[str]]:
    """Sessions that hang together, by pairs: one began while the other ran, or in the window after it."""
    groups = [{sequence} for sequence, _, _ in parts]

    def linked(one: tuple[str, int, int], other: tuple[str, int, int]) -> bool:
        first, second = sorted((one, other), key=lambda part: (part[1], part[0]))
        return second[1] <= first[2] + window_s

    for number, one in enumerate(parts):
        for other in parts[:number]:
            if linked(one, other):
                touching = [group for group in groups if one[0] in group or other[0] in group]
                groups = [group for group in groups if group not in touching] + [set().union(*touching)]
    return groups


def on_air_s(parts: list[tuple[str, int, int]]) -> int:
    """Seconds in which any of them ran."""
    return len({second for _, from_s, until_s in parts for second in range(from_s, until_s)})


def comebacks(parts: list[tuple[str, int, int]]) -> int:
    """How often a part began when none of those before it ran any more."""
    ordered = sorted(parts, key=lambda part: (part[1], part[0]))
    return sum(
        all(earlier[2] <= part[1] for earlier in ordered[:number])
        for number, part in enumerate(ordered)
        if number
    )
