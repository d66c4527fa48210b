"""A plain screenshot that another place than its only push names is judged as the ordinary rules judge it."""

import pytest

from streamledger.domain.events import Delivery, event_name
from streamledger.readmodel.facts import Event, PlainScreenshot, as_fact, read_event
from tests.oracle.memory_tables import MemoryTables
from tests.received import BEGAN_S, screenshot, signed, started, stopped


def event(position: int, body: dict[str, object]) -> Event:
    delivery = Delivery(body=signed(body, BEGAN_S), received_at_us=(BEGAN_S + position) * 1_000_000)
    return read_event(position, event_name(int(str(body["event_type"]))), "room", delivery)


@pytest.mark.parametrize(
    ("app", "appname", "sequence"),
    [("a.example", "live", "7"), (None, None, "7"), ("b.example", "live", ""), ("a.example", "vod", "")],
)
def test_the_place_is_looked_at_in_the_lane_too(app: str | None, appname: str | None, sequence: str) -> None:
    place = {"app": app, "appname": appname} if app else {}
    events = [
        event(1, {**started("room", "7", BEGAN_S), "app": "a.example", "appname": "live"}),
        event(2, {**screenshot("room", BEGAN_S + 30), **place}),
        event(3, {**stopped("room", "7", BEGAN_S + 60), "app": "a.example", "appname": "live"}),
    ]
    assert isinstance(events[1], PlainScreenshot)
    lane, beside = MemoryTables(), MemoryTables()
    lane.take_in(events)
    beside.take_in([as_fact(each) for each in events])
    assert lane.timeline_rows == beside.timeline_rows
    assert lane.digest == beside.digest
    assert [row.sequence for row in lane.timeline_rows.values() if row.kind == "screenshot"] == [sequence]
