"""The troubles that true histories are meant to hold, each with a way to see whether one does."""

import itertools
from collections.abc import Callable

from tests.oracle import expectation
from tests.oracle.true_history import HORIZON_S, History, TruePush


def _pairs(history: History) -> list[tuple[TruePush, TruePush]]:
    ordered = sorted(history.pushes, key=lambda push: (push.start_s, push.sequence))
    return list(itertools.combinations(ordered, 2))


TROUBLES: dict[str, Callable[[History], bool]] = {
    "reconnect within the slack": lambda h: any(
        0 <= later.start_s - (earlier.end_s or HORIZON_S) <= 5 for earlier, later in _pairs(h)
    ),
    "main and backup overlap": lambda h: any(
        earlier.start_s <= later.start_s < (earlier.end_s or HORIZON_S) for earlier, later in _pairs(h)
    ),
    "a start is missing": lambda h: any(p.reported_stops and not p.reported_starts for p in h.pushes),
    "a stop is missing": lambda h: any(
        p.end_s is not None and p.reported_starts and not p.has_stop for p in h.pushes
    ),
    "several stops are missing": lambda h: (
        sum(not p.has_stop and bool(p.reported_starts) for p in h.pushes) >= 3
    ),
    "the time of a stop cannot be read": lambda h: any(p.untimed_stops for p in h.pushes),
    "and its duration cannot be": lambda h: any(
        p.reported_starts and duration_s is not None and duration_s > HORIZON_S
        for p in h.pushes
        for duration_s in p.untimed_stops
    ),
    "a stop alone, without a duration": lambda h: any(
        p.reported_stops and not p.reported_starts and p.duration_s is None for p in h.pushes
    ),
    "push errors alone": lambda h: any(
        p.errors_s and not p.reported_starts and not p.has_stop for p in h.pushes
    ),
    "nothing of a push is reported": lambda h: len(h.known()) < len(h.pushes),
    "starts conflict": lambda h: any(len(p.reported_starts) > 1 for p in h.pushes),
    "stops conflict": lambda h: any(len(p.reported_stops) > 1 for p in h.pushes),
    "durations disagree": lambda h: any(
        "duration_mismatch" in expectation.session(p).anomalies for p in h.known()
    ),
    "a stop before its start": lambda h: any(
        min(p.reported_stops, default=p.start_s) < p.start_s for p in h.pushes
    ),
    "a push is still open": lambda h: any(p.end_s is None for p in h.pushes),
    "two pushes begin in one second": lambda h: any(
        earlier.start_s == later.start_s for earlier, later in _pairs(h)
    ),
    "a push begins in the second in which another ends": lambda h: any(
        earlier.end_s == later.start_s for earlier, later in _pairs(h)
    ),
    "a push under ten seconds has a file": lambda h: any(
        i.kind == "recording"
        and i.origins == (p.sequence,)
        and p.end_s is not None
        and p.end_s - p.start_s < 10
        for p in h.pushes
        for i in h.items
    ),
    "one interval in two formats": lambda h: any(
        i.kind == "recording" and i.key.endswith("mp4") for i in h.items
    ),
    "a recording with two contents": lambda h: bool(h.altered),
    "a resumed file over three pushes": lambda h: any(len(i.origins) >= 3 for i in h.items),
    "media outside of their push": lambda h: any(
        i.at_s < p.start_s or i.until_s > (p.end_s or HORIZON_S)
        for p in h.pushes
        for i in h.items
        if i.origins == (p.sequence,)
    ),
    "places differ": lambda h: len({p.app for p in h.pushes} - {None}) > 1,
    "a host is spelt in another way": lambda h: any(
        i.app is not None and i.app not in {p.app for p in h.pushes} for i in h.items
    ),
    "one names an address and the other a domain": lambda h: any(
        i.app == "a.example" and p.app == "192.0.2.9" and i.origins == (p.sequence,)
        for p in h.pushes
        for i in h.items
    ),
    "a stop was forged": lambda h: any(p.forged_stops for p in h.pushes),
    "a rival was refused": lambda h: any(p.errcode != 1 for p in h.pushes),
    "only pushes are called back": lambda h: not h.items and not any(p.errors_s for p in h.pushes),
    "a time that cannot be": lambda h: any(p.impossible for p in h.pushes),
    "a time that cannot be, and none beside it": lambda h: any(
        p.impossible and not p.reported_starts for p in h.pushes
    ),
    "a type that is not modelled names a push": lambda h: any(p.others for p in h.pushes),
    "and nothing else does": lambda h: any(p.others and not (p.names_place or p.errors_s) for p in h.pushes),
    "a stream_param that no push has": lambda h: any(i.param == "txTime=strange" for i in h.items),
    "a file that was closed late": lambda h: any(i.key.startswith("late") for i in h.items),
    "a file of a task of its own": lambda h: any(i.key.startswith("task") for i in h.items),
    "a duration of zero, none, or a longer one": lambda h: any(
        i.lasting in ("zero", "absent", "longer") for i in h.items
    ),
    "one file name for several screenshots": lambda h: (
        sum(i.name is not None and i.kind == "screenshot" for i in h.items) > 1
    ),
    "two tasks record": lambda h: {"A", "B"} <= {i.task for i in h.items},
    "one stream_param for several pushes": lambda h: any(
        earlier.param == later.param for earlier, later in _pairs(h)
    ),
    "a stream_param of one push alone": lambda h: len({p.param for p in h.pushes}) > 1,
    "the recorder says that it ended": lambda h: any(i.note == "record_ended" for i in h.items),
    "a type that is not modelled": lambda h: h.relays > 0,
}
"""What the oracle's law promises to have seen."""
