"""True histories of one stream, small and nasty: what was pushed, and what Tencent reports of it.

All times are whole seconds after BEGIN_S, so that the oracle can count seconds one by one.
"""

import itertools
from dataclasses import dataclass, field, replace
from random import Random

BEGIN_S = 1_713_731_000
STREAM = "stream"
HORIZON_S = 400
RECEIVED_S = HORIZON_S
"""Everything is received from then on."""
FORGED = "forged"
"""The node of what is to be signed long before what it tells."""
SKEW_S = 3
"""How far the times of media are off, at either end; less than the slack."""


@dataclass(frozen=True)
class TruePush:
    """One push as it was, and which of its notifications there are."""

    sequence: str
    start_s: int
    end_s: int | None
    app: str | None
    param: str | None
    reported_starts: tuple[int, ...] = ()
    """Times in the starts that are delivered: none, one, or several that conflict."""
    reported_stops: tuple[int, ...] = ()
    duration_s: int | None = None
    """push_duration in every stop."""
    errors_s: tuple[int, ...] = ()
    """Times of its push errors."""
    errcode: int = 1
    """In every stop; 18 and 19 say that the push was refused."""
    impossible: tuple[int | None, ...] = ()
    """event_time of starts and stops that cannot be, as sent; None is something that is no number."""
    forged_stops: tuple[int, ...] = ()
    """Times of stops that were signed long before them, beside reported ones."""
    untimed_stops: tuple[int | None, ...] = ()
    """push_duration of stops whose time cannot be read, where no other stop is reported."""
    others: int = 0
    """How many notifications of types that are not modelled name it."""

    @property
    def has_stop(self) -> bool:
        """Whether a stop is reported, with a time or without one."""
        return bool(self.reported_stops or self.untimed_stops)

    @property
    def names_place(self) -> bool:
        """Whether anything is reported that names its push domain and stream_param."""
        return bool(self.reported_starts or self.impossible or self.has_stop)


@dataclass(frozen=True)
class TrueItem:
    """A recording, screenshot or recorder's report, with the times it is reported with."""

    kind: str
    key: str
    at_s: int
    until_s: int
    origins: tuple[str, ...]
    """The pushes it truly belongs to."""
    app: str | None = None
    param: str | None = None
    note: str | None = None
    writing_s: int | None = None
    """When the writing of a file began, where that is not a second before its content."""
    lasting: str = "given"
    """How its duration is reported: given, float, zero, absent, or longer than the writing."""
    task: str | None = None
    name: str | None = None
    """A screenshot's file name, where it is not its own: the customer's template may be constant."""

    @property
    def began_s(self) -> int:
        """start_time of a file, else its time."""
        if self.kind != "recording" or self.until_s == self.at_s:
            return self.at_s
        return self.at_s - (self.lasting in ("given", "float")) if self.writing_s is None else self.writing_s


@dataclass
class History:
    """Pushes and items of one stream."""

    pushes: list[TruePush] = field(default_factory=list)
    items: list[TrueItem] = field(default_factory=list)
    relays: int = 0
    altered: set[str] = field(default_factory=set)
    """Keys of the recordings that are delivered with another content too."""
    away: set[int] = field(default_factory=set)
    """Seconds in which the receiver was away."""

    def known(self) -> list[TruePush]:
        """The pushes of which any notification is delivered."""
        return [push for push in self.pushes if push.names_place or push.errors_s or push.others]


def draw(random: Random, pushes: int, media: int) -> History:
    """A history with so many main pushes and, at most, so many media a push."""
    history = History()
    clock_s = random.randint(0, 20)
    apps = random.choice(
        [["a.example"]] * 7 + [["a.example", "b.example"]] * 2 + [["192.0.2.9", "a.example"]]
    )
    kinds = random.choice(["all"] * 8 + ["pushes", "pushes and files"])
    shared_param = "txTime=1" if random.random() < 0.5 else None
    lost_stops = random.choice([0.15, 0.15, 0.15, 0.7])
    mains: list[TruePush] = []
    for number in range(pushes):
        length_s = random.choice([1, 3, 8, 20, 45, 60])
        last = number == pushes - 1
        main = _push(random, f"1{number}", clock_s, length_s, apps, shared_param, lost_stops, live=last)
        mains.append(main)
        history.pushes.append(main)
        if random.random() < 0.25:
            begin_s = clock_s + random.randint(0, length_s)
            lasts_s = random.choice([2, 10, 30, 70])
            backup = _push(
                random,
                f"2{number}",
                begin_s,
                lasts_s,
                [main.app or "a.example"],
                shared_param,
                lost_stops,
                live=last,
            )
            history.pushes.append(backup)
        if random.random() < 0.15:
            history.pushes.append(_refused(random, f"3{number}", clock_s + random.randint(0, length_s), main))
        clock_s += length_s + random.choice([0, 0, 1, 2, 4, 6, 15, 40])
    for push in history.pushes:
        if push.errcode != 1:
            continue
        for _ in range(random.randint(0, media)):
            history.items.append(_moment(random, push, len(history.items)))
        if random.random() < 0.6:
            history.items += _files(random, push, len(history.items))
        if random.random() < 0.15:
            history.items.append(_of_a_task(random, push, len(history.items)))
    if len(mains) >= 3 and random.random() < 0.4:
        history.items.append(_resumed(random, mains, len(history.items)))
    if len(mains) >= 2 and random.random() < 0.3:
        history.items.append(_closed_late(random, mains, len(history.items)))
    _configure(history, kinds)
    taken = set()
    for place, item in enumerate(history.items):
        if item.name is not None and (item.name, item.at_s) in taken:
            history.items[place] = replace(item, name=None)
        taken.add((item.name, item.at_s))
    history.altered = {
        each.key for each in history.items if each.kind == "recording" and random.random() < 0.1
    }
    history.relays = random.randint(0, 1)
    history.pushes = [_untimed(Random(repr(push)), push) for push in history.pushes]
    return history


def _untimed(random: Random, push: TruePush) -> TruePush:
    """The same; a stop that was lost may have come without a time that can be read, and tell of decades.

    It has a chance of its own, so that those who draw draw as before.
    """
    if push.end_s is None or push.reported_stops or random.random() < 0.7:
        return push
    length_s = push.end_s - push.start_s
    return replace(push, untimed_stops=(random.choice([length_s, length_s, None, 30 * 365 * 86_400]),))


def _push(
    random: Random,
    sequence: str,
    start_s: int,
    length_s: int,
    apps: list[str],
    shared_param: str | None,
    lost_stops: float,
    live: bool,
) -> TruePush:
    end_s = None if live and random.random() < 0.4 else start_s + length_s
    push = TruePush(
        sequence=sequence,
        start_s=start_s,
        end_s=end_s,
        app=random.choice(apps) if random.random() < 0.9 else None,
        param=shared_param if random.random() < 0.5 else f"txTime={sequence}",
    )
    if random.random() < 0.9:
        starts = {start_s + random.choice([0, 0, 0, 1])}
        if random.random() < 0.1:
            starts.add(start_s + random.randint(0, 1))
        push = replace(push, reported_starts=tuple(sorted(starts)))
    if end_s is not None and random.random() >= lost_stops:
        stops = {end_s + random.choice([0, 0, 0, 1])}
        if random.random() < 0.1:
            stops.add(end_s + random.randint(0, 2))
        if random.random() < 0.04:
            stops = {start_s - random.randint(1, 3)}  # clock skew: it stops before it starts
        told_s = length_s if random.random() < 0.9 else length_s + random.randint(5, 40)
        push = replace(
            push, reported_stops=tuple(sorted(stops)), duration_s=told_s if random.random() < 0.8 else None
        )
    if random.random() < 0.25:
        seen_s = HORIZON_S if end_s is None else end_s
        times = {random.randint(start_s, max(start_s, min(seen_s, start_s + length_s))) for _ in range(2)}
        push = replace(push, errors_s=tuple(sorted(times)))
    if random.random() < 0.08:
        cannot_be = [0, 946_684_800, BEGIN_S + 10 * 365 * 86_400, None]
        push = replace(push, impossible=tuple(random.sample(cannot_be, random.randint(1, 2))))
    if push.reported_stops and random.random() < 0.08:
        later_s = max(push.reported_stops)
        push = replace(push, forged_stops=(later_s + random.choice([-20, 1, 30]),))
    return replace(push, others=random.choice([0] * 5 + [1]))


def _refused(random: Random, sequence: str, start_s: int, main: TruePush) -> TruePush:
    """A rival of a main push that was refused within a second."""
    return TruePush(
        sequence=sequence,
        start_s=start_s,
        end_s=start_s + 1,
        app=main.app,
        param=f"txTime={sequence}",
        reported_starts=(start_s,),
        reported_stops=(start_s + random.randint(0, 1),),
        duration_s=random.choice([None, 1]),
        errcode=random.choice([18, 19]),
    )


def _configure(history: History, kinds: str) -> None:
    """Leave out what is never called back."""
    if kinds == "all":
        return
    history.pushes = [replace(push, errors_s=()) for push in history.pushes]
    history.items = [item for item in history.items if kinds != "pushes" and item.kind == "recording"]


def spelt(random: Random, app: str | None) -> str | None:
    """A push domain in one of the ways in which it may be written."""
    if app is None or app[0].isdigit() or random.random() < 0.7:
        return app
    return random.choice([app.upper(), f"{app}:1935", app.title()])


def _until(push: TruePush) -> int:
    return push.start_s + 50 if push.end_s is None else push.end_s


def _moment(random: Random, push: TruePush, number: int) -> TrueItem:
    at_s = random.randint(push.start_s, _until(push)) + random.randint(-SKEW_S, SKEW_S)
    status = random.random() < 0.2
    return TrueItem(
        kind="recording_status" if status else "screenshot",
        key=f"moment-{number}",
        at_s=at_s,
        until_s=at_s,
        origins=(push.sequence,),
        app=_domain(random, push) if random.random() < 0.7 else None,
        param=_param_of(random, push),
        note=random.choice(["record_start_succeeded", "record_ended", "record_ended", "record_start_failed"])
        if status
        else None,
        task=random.choice([None, "A", "B"]) if status else None,
        name=random.choice([None, None, "constant.jpg"]),
    )


def _domain(random: Random, push: TruePush) -> str | None:
    """The push domain that a medium names: of a push to an address, mostly the domain all the same."""
    if push.app and push.app[0].isdigit() and random.random() < 0.7:
        return "a.example"
    return spelt(random, push.app)


def _param_of(random: Random, push: TruePush) -> str | None:
    """A medium's stream_param: that of its push, none, or now and then one that no push has."""
    return random.choice([push.param] * 6 + [None] * 5 + ["txTime=strange"])


def _files(random: Random, push: TruePush, number: int) -> list[TrueItem]:
    """Files of one push, in one or two intervals and formats."""
    cuts = [push.start_s, _until(push)]
    if cuts[1] - cuts[0] > 20 and random.random() < 0.5:
        cuts.insert(1, random.randint(cuts[0] + 5, cuts[1] - 5))
    files = []
    for cut_s, next_s in itertools.pairwise(cuts):
        begin_s = cut_s + random.randint(-SKEW_S, SKEW_S)
        end_s = max(begin_s, next_s + random.randint(-SKEW_S, SKEW_S))
        for file_format in ("flv", "mp4")[: random.randint(1, 2)]:
            key = f"file-{number}-{len(files)}-{file_format}"
            files.append(
                TrueItem(
                    "recording",
                    key,
                    begin_s,
                    end_s,
                    (push.sequence,),
                    _domain(random, push),
                    _param_of(random, push),
                    lasting=random.choice(["given"] * 6 + ["float", "zero", "absent", "longer"]),
                    task=random.choice([None, None, "A", "B"]),
                )
            )
    return files


def _of_a_task(random: Random, push: TruePush, number: int) -> TrueItem:
    """A file of CreateRecordTask: of a part of the push, without its stream_param."""
    begin_s = random.randint(push.start_s, _until(push))
    end_s = random.randint(begin_s, _until(push))
    return TrueItem(
        "recording", f"task-{number}", begin_s, end_s, (push.sequence,), push.app, task=f"task-{number}"
    )


def _closed_late(random: Random, mains: list[TruePush], number: int) -> TrueItem:
    """A file of one push that was held open for a resumption, and closed while the next one ran."""
    place = random.randrange(len(mains) - 1)
    push, later = mains[place], mains[place + 1]
    length_s = max(0, _until(push) - push.start_s)
    until_s = random.randint(later.start_s, max(later.start_s, _until(later)))
    writing_s = push.start_s + random.randint(0, 2)
    return TrueItem(
        kind="recording",
        key=f"late-{number}",
        at_s=max(writing_s, until_s - length_s),
        until_s=max(writing_s, until_s),
        origins=(push.sequence,),
        app=push.app,
        param=random.choice([push.param, None]),
        writing_s=writing_s,
    )


def _resumed(random: Random, mains: list[TruePush], number: int) -> TrueItem:
    """One HLS file over three or more pushes; only the last is called back."""
    first = random.randint(0, len(mains) - 3)
    over = mains[first:]
    at_s = over[0].start_s + random.randint(-SKEW_S, SKEW_S)
    return TrueItem(
        kind="recording",
        key=f"resumed-{number}",
        at_s=at_s,
        until_s=max(at_s, _until(over[-1]) + random.randint(-SKEW_S, SKEW_S)),
        origins=tuple(push.sequence for push in over),
        param=over[-1].param if random.random() < 0.5 else None,
    )
