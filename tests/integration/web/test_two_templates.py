"""Two callback templates report every fact twice: sessions are the same, in whatever order both arrive."""

from random import Random
from typing import Any

import pytest
from litestar.testing import TestClient

from streamledger.domain.events import NewEvent
from streamledger.postgres.connection import Database, connect
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.projections.runner import catch_up
from tests.deliveries import recording
from tests.received import BEGAN_S, SCHEMA, keep, received, screenshot, started, stopped


def told() -> list[NewEvent]:
    """A push with media, a refused rival and a second push, each fact by both templates within a second."""
    facts = [
        (started("room", "1", BEGAN_S), 1),
        (screenshot("room", BEGAN_S + 50), 51),
        (started("room", "9", BEGAN_S + 60), 61),
        (stopped("room", "9", BEGAN_S + 60, errcode=18), 62),
        (recording("room", "file", BEGAN_S + 90, 60), 95),
        (stopped("room", "1", BEGAN_S + 100, push_duration="100000"), 101),
        (started("room", "2", BEGAN_S + 130), 131),
        (stopped("room", "2", BEGAN_S + 200, push_duration="70000"), 201),
    ]
    return [
        received(body, BEGAN_S + after_s + late_s, key=key)
        for body, after_s in facts
        for key, late_s in (("first", 0.0), ("second", 0.4))
    ]


@pytest.mark.parametrize("order", ["as it happened", "backwards", "shuffled"])
def test_each_fact_counts_once_and_no_template_is_accused(
    database: Database, client: TestClient[Any], order: str
) -> None:
    events = told()
    if order != "as it happened":
        events = events[::-1] if order == "backwards" else Random(5).sample(events, len(events))
    with connect(database, application_name="test") as connection:
        keep(connection, events)
        catch_up(connection, SCHEMA, PROJECTIONS)
    session = client.get("/v1/sessions/1").json()
    assert (session["state"], session["duration_ms"], session["anomalies"]) == ("ended", 100_000, [])
    assert (session["recordings"]["count"], session["screenshots"]["count"]) == (1, 1)
    assert session["deliveries"] == {"count": 4, "repeated": 2}
    for kind in ("recordings", "screenshots"):
        (entry,) = client.get(f"/v1/sessions/1/{kind}").json()["items"]
        assert entry["attribution"]["confidence"] == "certain"
        assert client.get(f"/v1/sessions/9/{kind}").json()["items"] == []
    (broadcast,) = client.get("/v1/streams/room/broadcasts").json()["items"]
    assert broadcast["recordings"]["count"] == 1
    assert client.get("/v1/streams/room").json()["sessions"] == 3
    found = client.get("/v1/deliveries", params={"limit": 500}).json()["items"]
    classes = sorted(each["class"] for each in found)
    assert classes.count("first") == 8
    assert set(classes) == {"first", "twin"}
