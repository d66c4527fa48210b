"""What speaks against a session that has no stop: the rules, and their application.

Evidence is only what would have come: the silence of one that used to give signs, the next file of a
task that records on. From when a rule holds is a moment, so that presence is a comparison with now.
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final, Literal

import msgspec

from streamledger.domain.notification import Kind
from streamledger.domain.session import BEGAN_TOGETHER_MS

NEWER_PUSH_MS_MAX: Final = 60_000
RECORDING_ENDED_MS_MAX: Final = 300_000
"""Recording files come up to 5 min after their end (protocol section 2), so nothing is missed before."""
UNHEARD_MS_MAX: Final = 86_400_000

SIGNS_MAX: Final = 32
"""Of so many of the latest signs the rhythm is told."""
RHYTHM_MS_MAX: Final = 86_400_000
"""No rhythm excuses a longer silence."""
FOLLOWS_MS: Final = 5_000
"""A file that begins no sooner than this before another's end is another interval, not another format."""

Interval = tuple[int, int]


class SuspectLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How old the evidence of each rule must be before it counts."""

    silence_ms_max: int
    """The least: of a push that gives its signs further apart, twice the longest pause."""
    newer_push_ms_max: int = NEWER_PUSH_MS_MAX
    recording_ended_ms_max: int = RECORDING_ENDED_MS_MAX
    unheard_ms_max: int = UNHEARD_MS_MAX
    absences: tuple[Interval, ...] = ()
    """Times in which nobody was there to hear, in order and apart: in them nothing grows older."""


DEFAULT_LIMITS: Final = SuspectLimits(silence_ms_max=3_600_000)
"""Those of the settings, where nothing else is set."""


Suspicion = Literal["silence", "newer_push", "recording_ended", "unheard"]
"""The rules, in the order in which the reasons are shown. One holds when its evidence is older than its limit
and no sign came after it: docs/sessions.md says what each means, and which setting is its limit."""


def rhythm_ms(signs: Iterable[Interval], absences: Sequence[Interval] = ()) -> int:
    """How long a silence a push has accustomed us to: twice its longest pause, at most a day.

    Of each sign its begin and end: of a file its content, of the start and of a moment that alone. Only
    the latest ones by their beginnings count; a pause is a time that none of them holds, or a file's own
    length (ADR 0049). `absences` are times in which nobody was there to hear.
    """
    latest = sorted(signs)[-SIGNS_MAX:]
    over = accumulate((until for _, until in latest), max)
    pauses = [*zip(over, (at for at, _ in latest[1:]), strict=False), *latest]
    longest_ms = max((until - at - _away_ms(at, until, absences) for at, until in pauses), default=0)
    return min(2 * longest_ms, RHYTHM_MS_MAX)


def _away_ms(from_ms: int, until_ms: int, absences: Sequence[Interval]) -> int:
    return sum(max(0, min(until_ms, until) - max(from_ms, begin)) for begin, until in absences)


def after_ms(at_ms: int, limit_ms: int, absences: Sequence[Interval] = ()) -> int:
    """When so much time will have passed after a moment, those left out in which nobody was there to hear.

    `absences` are in order and do not overlap.
    """
    moment_ms = at_ms + limit_ms
    for begin_ms, until_ms in absences:
        if begin_ms <= moment_ms:
            moment_ms += max(0, until_ms - max(begin_ms, at_ms))
    return moment_ms


def before_ms(at_ms: int, limit_ms: int, absences: Sequence[Interval] = ()) -> int:
    """The earliest moment from which no more than so much time had passed until another, likewise."""
    moment_ms = at_ms - limit_ms
    for begin_ms, until_ms in reversed(absences):
        if until_ms >= moment_ms:
            moment_ms -= max(0, min(until_ms, at_ms) - begin_ms)
    return moment_ms


def heard_ms(at_ms: int, absences: Sequence[Interval] = ()) -> int:
    """A moment by a clock that stands still while nobody is there to hear."""
    return at_ms - sum(max(0, min(at_ms, until_ms) - begin_ms) for begin_ms, until_ms in absences)


def apart(absences: Iterable[Interval]) -> tuple[Interval, ...]:
    """The same times in order, those that touch each other as one."""
    found: list[Interval] = []
    for begin_ms, until_ms in sorted(absences):
        if found and begin_ms <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], until_ms))
        else:
            found.append((begin_ms, until_ms))
    return tuple(found)


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A file, or the recorder's word (332), of a session: what tells whether it is recorded still."""

    task: str | None
    at_ms: int
    until_ms: int
    key: str
    record_event: str | None = None
    """Of the recorder's word."""
    is_file: bool = True
    has_param: bool = True
    """Whether it carries a stream_param: files of CreateRecordTask do not (267/38082)."""


def recording_ended_ms(recorded: Iterable[Recorded], *, param_known: bool) -> int | None:
    """When the last task that recorded a push is known to have ended; None while any goes on, or none tells.

    A task has ended when Tencent says so (332), or when no file followed its last one for as long as its
    longest is: a new file begins where the last one ends. One file alone has no successor to be missed.
    A task whose files carry no stream_param although the push has one was made by CreateRecordTask: it
    ends when its maker wants, and says nothing of the push (`param_known`).
    """
    tasks: dict[str, list[Recorded]] = {}
    for each in recorded:
        tasks.setdefault(each.task or "", []).append(each)
    _give_nameless(tasks)
    ends = []
    for own in tasks.values():
        files = [each for each in own if each.is_file]
        if param_known and files and not any(each.has_param for each in files):
            continue
        told = max((each for each in own if not each.is_file), key=_order, default=None)
        if told is not None and told.record_event == "record_start_failed" and not files:
            continue
        ended_ms = _ended_ms(told, files)
        if ended_ms is None:
            return None
        ends.append(ended_ms)
    return max(ends, default=None)


def _give_nameless(tasks: dict[str, list[Recorded]]) -> None:
    """What names no task is of the only one that is named."""
    if len(tasks) == 2 and "" in tasks:
        nameless = tasks.pop("")
        next(iter(tasks.values())).extend(nameless)


def _order(each: Recorded) -> tuple[int, str]:
    return each.at_ms, each.key


def _ended_ms(told: Recorded | None, files: Sequence[Recorded]) -> int | None:
    last_ms = max((each.until_ms for each in files), default=None)
    if told is not None and told.record_event == "record_ended":
        return told.at_ms if last_ms is None else max(told.at_ms, last_ms)
    if last_ms is None or (told is not None and told.at_ms > last_ms):
        return None
    if max(each.at_ms for each in files) < min(each.until_ms for each in files) - FOLLOWS_MS:
        return None
    return last_ms + max(each.until_ms - each.at_ms for each in files)


def gives_signs(kind: str, at_ms: int, started_ms: int | None) -> bool:
    """Whether a sign of a push shows that it gives signs, so that their absence tells.

    Its start does not, nor what a recorder reports with the start: that it begins, and then nothing for as
    long as it records. Where two pushes begin together the report may be the other's, too.
    """
    if kind == Kind.RECORDING_STATUS:
        return started_ms is None or at_ms > started_ms + BEGAN_TOGETHER_MS
    return kind != Kind.PUSH_STARTED


class Signs(msgspec.Struct, frozen=True, kw_only=True):
    """What the timeline of a session says for and against it."""

    latest_ms: int | None = None
    """When the latest of its signs was over; None without any."""
    heard: bool = False
    """Whether any of them shows that the push gives signs; see `gives_signs`."""
    rhythm_ms: int = 0
    recording_ended_ms: int | None = None


NO_SIGNS: Final = Signs()


class Against(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a session without a stop, as far as the rules ask for it."""

    latest_sign_ms: int | None
    """Of its start, its push errors and the media attributed to it; None when it has none of them."""
    heard: bool
    """Whether any sign showed that the push gives signs; see `gives_signs`."""
    rhythm_ms: int = 0
    newer_push_ms: int | None = None
    """When the next push of the same stream and place began, one that began with it left out."""
    recording_ended_ms: int | None = None


def moments(against: Against, limits: SuspectLimits) -> dict[Suspicion, int]:
    """From when each rule speaks against the session: after that moment, until it gives a sign."""
    found: dict[Suspicion, int] = {}
    sign_ms = against.latest_sign_ms
    if sign_ms is None:
        return {"unheard": -1}
    if against.heard:
        found["silence"] = after_ms(sign_ms, max(limits.silence_ms_max, against.rhythm_ms), limits.absences)
    if against.newer_push_ms is not None and sign_ms <= against.newer_push_ms:
        found["newer_push"] = after_ms(against.newer_push_ms, limits.newer_push_ms_max, limits.absences)
    ended_ms = against.recording_ended_ms
    if ended_ms is not None and sign_ms <= ended_ms:
        found["recording_ended"] = after_ms(ended_ms, limits.recording_ended_ms_max, limits.absences)
    if not against.heard:
        found["unheard"] = after_ms(sign_ms, limits.unheard_ms_max, limits.absences)
    return found


def suspicions(now_ms: int, against: Against, limits: SuspectLimits) -> list[str]:
    """The codes of the rules that speak against a session now."""
    return [code for code, from_ms in moments(against, limits).items() if now_ms > from_ms]
