"""A moment of the past: which pushes had begun by then, though only their stops tell of it."""

import json

import pytest

from streamledger.domain.events import Delivery, event_name
from streamledger.readmodel.fold.facts import as_fact, read_event
from streamledger.readmodel.moments.moment import Moment

STOPPED_S = 1_713_731_060
STOP = {"event_type": 0, "stream_id": "room", "sequence": "77", "event_time": STOPPED_S}


@pytest.mark.parametrize(
    ("lasted_s", "as_of_s", "has_begun"),
    [
        (60, STOPPED_S - 30, True),
        (60, STOPPED_S - 61, False),
        (60, STOPPED_S, False),
        (30 * 365 * 86_400, STOPPED_S - 30, False),  # it would have begun before 2010: it tells of no start
    ],
)
def test_a_stop_to_come_tells_of_a_push_that_had_begun(lasted_s: int, as_of_s: int, has_begun: bool) -> None:
    body = json.dumps(STOP | {"push_duration": str(lasted_s * 1000)}).encode()
    delivery = Delivery(body=body, received_at_us=STOPPED_S * 1_000_000)
    fact = as_fact(read_event(1, event_name(0), "room", delivery))
    assert Moment(position=1, as_of_ms=as_of_s * 1000).is_begun_by(fact) is has_begun
