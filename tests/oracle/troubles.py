"""The troubles that true histories are meant to hold, each with a way to see whether one does."""

import itertools
from collections.abc import Callable

from tests.oracle import expectation
from tests.oracle.true_history import HORIZON_S, History, TruePush


def _pairs(history: History) -> list[tuple[TruePush, TruePush]]:
    ordered = sorted(history.pushes, key=lambda push: (push.start_s, push.sequence))
    return list(itertools.combinations(ordered, 2))


def _short_and_recorded(history: History) -> bool:
    short = [
        push.sequence for push in history.pushes if push.end_s is not None and push.end_s - push.start_s < 10
    ]
    return any(item.kind == "recording" and item.origins[0] in short for item in history.items)


TROUBLES: dict[str, Callable[[History], bool]] = {
    "reconnect within the slack": lambda h: any(
        0 <= later.start_s - (earlier.end_s or HORIZON_S) <= 5 for earlier, later in _pairs(h)
    ),
    "main and backup overlap": lambda h: any(
        earlier.start_s <= later.start_s < (earlier.end_s or HORIZON_S) for earlier, later in _pairs(h)
    ),
    "a start is missing": lambda h: any(p.reported_stops and not p.reported_starts for p in h.pushes),
    "a stop is missing": lambda h: any(
        p.end_s is not None and p.reported_starts and not p.reported_stops for p in h.pushes
    ),
    "several stops are missing": lambda h: (
        sum(not p.reported_stops and bool(p.reported_starts) for p in h.pushes) >= 3
    ),
    "a stop alone, without a duration": lambda h: any(
        p.reported_stops and not p.reported_starts and p.duration_s is None for p in h.pushes
    ),
    "push errors alone": lambda h: any(
        p.errors_s and not p.reported_starts and not p.reported_stops for p in h.pushes
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
    "one stream_param for several pushes": lambda h: any(
        earlier.param == later.param for earlier, later in _pairs(h)
    ),
    "a stream_param of one push alone": lambda h: len({p.param for p in h.pushes}) > 1,
    "the recorder says that it ended": lambda h: any(i.note == "record_ended" for i in h.items),
    "a type that is not modelled": lambda h: h.relays > 0,
}
"""What the oracle's law promises to have seen."""
