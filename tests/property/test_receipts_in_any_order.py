"""Receipts that do not rise with positions, as imports and releases bring them.

Which times of a content can be is told by its earliest receipt, whenever that comes.
"""

import json
from collections.abc import Sequence
from itertools import permutations
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamledger.domain.events import Delivery, event_name
from streamledger.domain.session import ended_ms, started_ms
from streamledger.readmodel.fold.facts import Event, read_event
from streamledger.tencent.envelope import read_envelope
from tests.oracle.memory_view import MemoryView
from tests.property.test_sessions_equal_the_oracle import projected

BEGIN_S = 1_764_000_000
STREAM = "room"


def bodies(random: Random) -> list[dict[str, Any]]:
    """Some pushes and media of one stream, of media several contents under one identity."""
    found: list[dict[str, Any]] = []
    for number in range(random.randint(0, 3)):
        began_s = random.randint(0, 4000)
        push = {"sequence": str(number), "app": random.choice(["a", "b"])}
        found.append({"event_type": 1, "event_time": BEGIN_S + began_s, **push})
        if random.random() < 0.6:
            lasted_s = random.randint(1, 3000)
            found.append({"event_type": 0, "event_time": BEGIN_S + began_s + lasted_s, **push})
    for _ in range(random.randint(1, 4)):
        at_s = BEGIN_S + random.randint(0, 6000)
        if random.random() < 0.5:
            found.append({"event_type": 200, "create_time": at_s, "pic_url": f"/{at_s}.jpg"})
        else:
            until_s = at_s + random.randint(0, 3000)
            file_id = random.choice(["f", "g"])
            found.append({"event_type": 100, "file_id": file_id, "start_time": at_s, "end_time": until_s})
    return found


def delivery(body: dict[str, Any], received_s: int) -> Delivery:
    """A body as it was received then."""
    signed = {**body, "stream_id": STREAM, "t": received_s + 600, "sign": "0" * 32}
    return Delivery(body=json.dumps(signed).encode(), received_at_us=received_s * 1_000_000)


def deliveries(random: Random) -> list[Delivery]:
    """Each body some times, in any order, and received at any time: around 900 s before what it tells."""
    sent = []
    for body in bodies(random):
        times = [value for name, value in body.items() if name.endswith("_time")]
        for _ in range(random.choice([1, 1, 2, 3])):
            received_s = max(times) + random.choice([-4000, -2000, -901, -899, 1, 60, 3000])
            sent.append(delivery(body, received_s))
    random.shuffle(sent)
    return sent


def events_of(sent: Sequence[Delivery]) -> list[Event]:
    """The deliveries as events of the ledger, in this order."""
    return [
        read_event(position, event_name(read_envelope(each.body).event_type), STREAM, each)
        for position, each in enumerate(sent, start=1)
    ]


def told(tables: MemoryView) -> tuple[object, ...]:
    """What does not depend on positions: the sessions, and where media are, and belong."""
    sessions = {
        row.sequence: (
            started_ms(row.fold),
            ended_ms(row.fold),
            (row.span_from_ms, row.span_until_ms, row.newer_ms, row.rival_ms, row.reach_ms),
            (row.recordings, row.screenshots, row.files_ms),
        )
        for row in tables.session_rows.values()
    }
    media = {
        key: (
            *(row.sequence, row.confidence, row.because, row.alternatives),
            *(row.at_ms, row.until_ms, row.received_ms),
        )
        for key, row in tables.timeline_rows.items()
        if row.kind in ("recording", "screenshot")
    }
    return sessions, media


@settings(max_examples=200)
@given(st.integers(0, 2**32))
def test_what_is_folded_does_not_depend_on_where_batches_are_cut(seed: int) -> None:
    random = Random(seed)
    sent = deliveries(random)
    events = events_of(sent)
    whole, cut = projected(events), projected(events, random)
    assert sorted(map(repr, cut.all_rows())) == sorted(map(repr, whole.all_rows()))


@settings(max_examples=200)
@given(st.integers(0, 2**32))
def test_what_is_folded_does_not_depend_on_the_order_of_deliveries(seed: int) -> None:
    random = Random(seed)
    sent = deliveries(random)
    before = told(projected(events_of(sent), random))
    random.shuffle(sent)
    assert told(projected(events_of(sent), random)) == before


def _start(sequence: str, at_s: int) -> dict[str, Any]:
    return {"event_type": 1, "sequence": sequence, "event_time": BEGIN_S + at_s}


def _file(until_s: int) -> dict[str, Any]:
    return {"event_type": 100, "file_id": "f", "start_time": BEGIN_S, "end_time": BEGIN_S + until_s}


@pytest.mark.parametrize(
    "sent",
    [
        [(_start("1", 0), 1), (_start("1", 0), -1000), (_start("2", 500), 501)],
        [(_start("1", 0), 1), (_file(3000), 3001), (_file(3000), 100), (_file(2900), 3001)],
        [
            (_file(3000), 3001),
            (_file(3000), 100),
            (_file(2900), 3001),
            (_file(2900), 50),
            (_file(2800), 3001),
        ],
        [(_file(3000), 3001), (_file(3000), 100), (_file(3000), -2000), (_file(2900), -1500)],
        [
            (_file(2900), 3001),
            (_file(2900), 100),
            (_file(2900), -2000),
            (_file(3000), 3001),
            (_file(3000), -1500),
        ],
    ],
    ids=["a start", "a file", "files that differ", "without any time", "told three times"],
)
def test_in_each_order_the_same_is_told(sent: list[tuple[dict[str, Any], int]]) -> None:
    orders = [[delivery(body, BEGIN_S + at_s) for body, at_s in order] for order in permutations(sent)]
    first = told(projected(events_of(orders[0])))
    for order in orders:
        tables = MemoryView()
        for event in events_of(order):
            tables.take_in([event])
        assert told(tables) == told(projected(events_of(order))) == first
