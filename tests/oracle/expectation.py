"""What must come of a true history: naive code that counts seconds, and shares nothing with the product.

It knows the rules only as docs/sessions.md and ADR 0008 state them. Stretches of time are sets of
seconds. Nothing here is fast, and nothing here imports streamledger.
"""

import itertools
from dataclasses import dataclass

from tests.oracle.true_history import BEGIN_S, HORIZON_S, RECEIVED_S, History, TruePush

SLACK_S = 5
DAY_S = 86_400
REFUSED = (18, 19)
LATE_S_MAX = 15 * 60
"""So far ahead of its receipt a time may lie; all is received within an hour of RECEIVED_S."""
EARLIEST_S, LATEST_S = -500, HORIZON_S + 500
"""Beyond these nothing of a history happens; they stand for twelve hours before and for ever after."""


@dataclass(frozen=True)
class Limits:
    """How far a push of unknown start reaches back, and how long an open one is possible beside a newer."""

    lookback_s: int = LATEST_S - EARLIEST_S
    beside_newer_s: int = LATEST_S - EARLIEST_S
    open_later_max: int = 8
    """So many later open pushes at its place end the possibility of an open one."""


HALF_A_DAY = Limits()


@dataclass(frozen=True)
class Medium:
    """A medium that is attributed to a push, with the times that attribution goes by."""

    kind: str
    at_s: int
    until_s: int
    key: str
    note: str | None = None
    task: str | None = None
    param: str | None = None


Lasted = tuple[int | None, str | None]


@dataclass(frozen=True)
class Expected:
    """A session as it must be."""

    sequence: str
    started_s: int | None
    start_source: str | None
    ended_s: int | None
    anomalies: frozenset[str]
    errors: int


def session(push: TruePush) -> Expected:
    """The session of a push, from what is reported of it."""
    started_s, source = began(push)
    ended_s = max(push.reported_stops, default=None)
    odd = set()
    starts = len(push.reported_starts) + len(push.impossible)
    if push.has_stop and not starts:
        odd.add("start_missing")
    if not push.has_stop and not starts:
        odd.add("push_errors_only")
    if starts > 1:
        odd.add("start_conflict")
    if push.impossible or push.untimed_stops:
        odd.add("unreadable_field")
    if ended_s is not None and any(start_s - ended_s > SLACK_S for start_s in push.reported_starts):
        odd.add("start_after_stop")
    if len(push.reported_stops) + len(push.forged_stops) > 1:
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


def over(push: TruePush) -> int | None:
    """When a push with a stop was over: by its time, else by its duration, if that is over at its receipt."""
    if push.reported_stops or not push.untimed_stops:
        return max(push.reported_stops, default=None)
    started_s, _ = began(push)
    if started_s is None:
        return None
    over_s = started_s + (push.untimed_stops[0] or 0)
    return started_s if over_s > RECEIVED_S + LATE_S_MAX else over_s


def duration(push: TruePush, media_s: list[Medium], now_s: int, reasons: set[str] | None) -> Lasted:
    """How long a push lasted, in milliseconds, and how that is known, given what `suspect` says of it."""
    started_s, _ = began(push)
    told_s = push.untimed_stops[0] if push.untimed_stops else push.duration_s
    if push.has_stop and told_s is not None:
        return told_s * 1000, "reported"
    if push.reported_stops and push.reported_starts:
        return max(0, max(push.reported_stops) - min(push.reported_starts)) * 1000, "measured"
    if push.has_stop or started_s is None:
        return None, None
    if reasons:
        return max(0, (latest_sign(push, media_s) or 0) - started_s) * 1000, "last_sign"
    return max(0, now_s - started_s) * 1000, "running"


def neighbours(push: TruePush, pushes: list[TruePush]) -> list[TruePush]:
    """The other pushes at its place that say anything of it: one that was refused never ran."""
    return [
        other
        for other in pushes
        if other is not push and not was_refused(other) and same_place(domain_of(push), other)
    ]


def was_refused(push: TruePush) -> bool:
    """Whether its stop says that it was refused."""
    return bool(push.reported_stops) and push.errcode in REFUSED


def follower(push: TruePush, pushes: list[TruePush], from_s: int) -> int | None:
    """When the next push at its place began."""
    times = [began(other)[0] for other in neighbours(push, pushes)]
    return min((time_s for time_s in times if time_s is not None and time_s > from_s), default=None)


def stretch(push: TruePush, pushes: list[TruePush], limits: Limits) -> tuple[set[int], set[int]]:
    """The seconds in which a push may have run, and those in which it is held to have run."""
    started_s, _ = began(push)
    first_error_s = min(push.errors_s, default=None)
    if push.has_stop:
        ended_s = over(push)
        if ended_s is None:
            return set(), set()
        if started_s is None:
            known_s = ended_s if first_error_s is None else min(ended_s, first_error_s)
            back_s = ended_s - limits.lookback_s
            # Where the clocks disagree the other lies between its two times, so it is over at the later one.
            over_s = [
                max(other_s, began(other)[0] or 0)
                for other in neighbours(push, pushes)
                for other_s in [over(other)]
                if other_s is not None
            ]
            back_s = max([back_s, *(each_s for each_s in over_s if each_s <= known_s and each_s < ended_s)])
            return set(range(min(known_s, back_s), ended_s + 1)), set(range(known_s, ended_s + 1))
        ran = set(range(min(started_s, ended_s), max(started_s, ended_s) + 1))
        return ran, ran
    from_s = started_s if started_s is not None else first_error_s
    if from_s is None:
        return set(), set()
    may = set(range(from_s, LATEST_S))
    newer_s = follower(push, pushes, from_s)
    if newer_s is None:
        return may, may
    last_sign_s = max(push.errors_s, default=from_s)
    sure_s = max(newer_s, last_sign_s)
    until_s = min(sure_s + limits.beside_newer_s, LATEST_S)
    later_open = sorted(
        began_s for other, began_s in _later_open(push, pushes) if began_s > max([from_s, *push.errors_s])
    )
    if len(later_open) >= limits.open_later_max:
        until_s = min(until_s, later_open[limits.open_later_max - 1])
    return set(range(from_s, until_s + 1)), set(range(from_s, sure_s + 1))


def _later_open(push: TruePush, pushes: list[TruePush]) -> list[tuple[TruePush, int]]:
    """The pushes at exactly its place that began later and have no stop either."""
    from_s = began(push)[0]
    if from_s is None:
        from_s = min(push.errors_s, default=LATEST_S)
    return [
        (other, began_s)
        for other in pushes
        for began_s in [began(other)[0]]
        if other is not push and not other.has_stop and place_of(other) == place_of(push)
        if began_s is not None and began_s > from_s
    ]


def witnessed(push: TruePush, pushes: list[TruePush], may: set[int], limits: Limits) -> set[int]:
    """The seconds in which a push may have run for media that have its stream_param."""
    if push.has_stop or push_param(push) is None or not may:
        return may
    same = sorted(
        began_s for other, began_s in _later_open(push, pushes) if push_param(other) == push_param(push)
    )
    until_s = same[limits.open_later_max - 1] if len(same) >= limits.open_later_max else LATEST_S - 1
    return may | set(range(min(may), until_s + 1))


@dataclass(frozen=True)
class Held:
    """The seconds of all pushes of a history: in which each may have run, and in which it surely did."""

    may: dict[str, set[int]]
    sure: dict[str, set[int]]
    firsts: dict[str, int]
    """The first second in which each may have run."""
    witnessed: dict[str, set[int]]
    """The seconds in which each may have run for media that have its stream_param."""

    def for_param(self, push: TruePush, param: str | None) -> set[int]:
        """The seconds in which a push may have run for a medium with this stream_param."""
        is_witness = param is not None and push_param(push) == param
        return (self.witnessed if is_witness else self.may)[push.sequence]


def held_by(history: History, limits: Limits = HALF_A_DAY) -> Held:
    """What the pushes of a history hold; the same for all its items, so it is counted once."""
    pushes = history.known()
    seconds = {push.sequence: stretch(push, pushes, limits) for push in pushes}
    return Held(
        may={sequence: may for sequence, (may, _) in seconds.items()},
        sure={sequence: sure for sequence, (_, sure) in seconds.items()},
        firsts={sequence: min(may) for sequence, (may, _) in seconds.items() if may},
        witnessed={
            push.sequence: witnessed(push, pushes, seconds[push.sequence][0], limits) for push in pushes
        },
    )


def host(app: str | None) -> str | None:
    """A push domain as it is compared."""
    return None if app is None else app.lower().removesuffix(":1935")


def place_of(push: TruePush) -> tuple[str | None, bool]:
    """The place of a push as far as it is known: its domain, and whether anything named its path."""
    return host(domain_of(push)), push.names_place


def same_place(app: str | None, push: TruePush) -> bool:
    """Whether nothing speaks against the same push domain. Only starts and stops name a push's."""
    known = domain_of(push)
    return app is None or known is None or host(app) == host(known)


def push_param(push: TruePush) -> str | None:
    """The stream_param of a session: that of its start, else of its stop."""
    return push.param if push.names_place else None


def recording_ended(media_s: list[Medium], param_known: bool) -> int | None:
    """When the last task that recorded a push was over, if everything says that it is over."""
    tasks: dict[str, list[Medium]] = {}
    for each in media_s:
        if each.kind in ("recording", "recording_status"):
            tasks.setdefault(each.task or "", []).append(each)
    if len(tasks) == 2 and "" in tasks:
        tasks = {"": [each for own in tasks.values() for each in own]}
    ends = []
    for own in tasks.values():
        files = [each for each in own if each.kind == "recording"]
        told = sorted((each.at_s, each.key, each.note) for each in own if each.kind == "recording_status")
        if param_known and files and all(each.param is None for each in files):
            continue  # CreateRecordTask
        if told and told[-1][2] == "record_start_failed" and not files:
            continue
        last_s = max((each.until_s for each in files), default=EARLIEST_S)
        if told and told[-1][2] == "record_ended":
            ends.append(max(told[-1][0], last_s))
            continue
        if not files or (told and told[-1][0] > last_s):
            return None
        if not any(one.at_s >= other.until_s - SLACK_S for one in files for other in files):
            return None
        ends.append(last_s + max(each.until_s - each.at_s for each in files))
    return max(ends, default=None)


def start_sign(push: TruePush) -> int | None:
    """When the start of a push tells of it; one with an impossible time when it came."""
    started_s, _ = began(push)
    return started_s if started_s is not None else RECEIVED_S if push.impossible else None


def signs(push: TruePush, media_s: list[Medium]) -> list[tuple[int, int]]:
    """All signs of a push without a stop, with their begin and end: its start, push errors, media."""
    started_s = start_sign(push)
    start = [] if started_s is None else [started_s]
    moments = [*start, *push.errors_s]
    return [*((at_s, at_s) for at_s in moments), *((each.at_s, each.until_s) for each in media_s)]


def latest_sign(push: TruePush, media_s: list[Medium]) -> int | None:
    """When a push without a stop gave its latest sign."""
    return max((until_s for _, until_s in signs(push, media_s)), default=None)


def heard(history: History, from_s: int, until_s: int) -> int:
    """The seconds between two moments in which the receiver was there."""
    return until_s - from_s - len(history.away & set(range(from_s, until_s)))


def patience(push: TruePush, history: History, media_s: list[Medium]) -> int:
    """For how long a push may be silent: by its own rhythm, twice its longest file or time without a sign."""
    latest = sorted(signs(push, media_s))[-32:]
    held = {second for at_s, until_s in latest for second in range(at_s, until_s)}
    times = {time_s for sign in latest for time_s in sign}
    pauses = [
        heard(history, sooner_s, later_s)
        for sooner_s, later_s in itertools.pairwise(sorted(times))
        if sooner_s not in held
    ]
    longest_s = max([*pauses, *(heard(history, at_s, until_s) for at_s, until_s in latest)], default=0)
    return max(LIMITS_S["silence"], min(2 * longest_s, DAY_S))


def on_air(push: TruePush, media_s: list[Medium], now_s: int, reasons: set[str] | None) -> tuple[int, int]:
    """From when until when a push counts for its broadcast, given what `suspect` says of it."""
    from_s, _ = began(push)
    ended_s = over(push)
    if from_s is None:
        from_s = min([*push.errors_s, *([] if ended_s is None else [ended_s])], default=-BEGIN_S)
    if push.has_stop:
        return from_s, max(from_s, from_s if ended_s is None else ended_s)
    if ended_s is None:
        sign_s = latest_sign(push, media_s)
        ended_s = (from_s if sign_s is None else sign_s) if reasons else now_s
    return from_s, max(from_s, ended_s)


def suspect(push: TruePush, history: History, media_s: list[Medium], now_s: int) -> set[str] | None:
    """The reasons against an open push; None when it has a stop.

    `media_s` are the media attributed to it. Limits are those of `LIMITS_S`.
    """
    if push.has_stop:
        return None
    sign_s = latest_sign(push, media_s)
    if sign_s is None:
        return {"unheard"}  # only types that are not modelled name it
    reasons = set()
    # A recorder that reports with the start that it begins says no more than the start does.
    told_s = start_sign(push)
    with_start = [
        each
        for each in media_s
        if each.kind == "recording_status" and told_s is not None and each.at_s <= told_s + 5
    ]
    gives_signs = bool(push.errors_s) or len(media_s) > len(with_start)
    if gives_signs and heard(history, sign_s, now_s) > patience(push, history, media_s):
        reasons.add("silence")
    if not gives_signs and heard(history, sign_s, now_s) > LIMITS_S["unheard"]:
        reasons.add("unheard")
    started_s, _ = began(push)
    from_s = started_s if started_s is not None else min(push.errors_s, default=None)
    # One that began within the slack stands beside it from the start, as a backup does.
    newer = None if from_s is None else follower(push, history.known(), from_s + SLACK_S)
    if newer is not None and heard(history, newer, now_s) > LIMITS_S["newer_push"] and sign_s <= newer:
        reasons.add("newer_push")
    over_s = recording_ended(media_s, push_param(push) is not None)
    if (
        over_s is not None
        and heard(history, over_s, now_s) > LIMITS_S["recording_ended"]
        and sign_s <= over_s
    ):
        reasons.add("recording_ended")
    return reasons


def recorded(push: TruePush, media_s: list[Medium], may: set[int]) -> tuple[int, int]:
    """The seconds of a push that its files hold, each once, and the sum of the files."""
    ran = may if push.has_stop else set(range(min(may, default=0), LATEST_S))
    files = [each for each in media_s if each.kind == "recording"]
    held = {second for each in files for second in range(each.at_s, each.until_s)}
    last = max(ran, default=0)
    return len(held & (ran - {last})), sum(each.until_s - each.at_s for each in files)


def domain_of(push: TruePush) -> str | None:
    """The push domain of a session: that of its start, else of its stop."""
    return push.app if push.names_place else None


LIMITS_S = {"silence": 20, "newer_push": 20, "recording_ended": 30, "unheard": 300}
