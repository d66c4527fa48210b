"""Time in which the receiver itself was away speaks against no push: over HTTP, wherever presence is told."""

import time
from collections.abc import Sequence
from random import Random
from typing import Any

import psycopg
import pytest
from litestar.testing import TestClient

from streamledger.domain.events import NewEvent
from streamledger.domain.instants import instant_ms
from streamledger.postgres.connection import Database, connect
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.projections.runner import catch_up
from tests.received import SCHEMA, keep, received, screenshot, started, stopped

HOUR = 3600


def tell(connection: psycopg.Connection[Any], events: Sequence[NewEvent]) -> list[int]:
    positions = keep(connection, events)
    catch_up(connection, SCHEMA, PROJECTIONS)
    return positions


def was_away(connection: psycopg.Connection[Any], from_s: float, until_s: float) -> None:
    connection.execute(
        "INSERT INTO absences VALUES (%s, %s)", (round(from_s * 1_000_000), round(until_s * 1_000_000))
    )


def states(client: TestClient[Any], sequence: str, stream: str) -> set[str]:
    """The state of a session, asked for in every way."""
    found = [client.get(f"/v1/sessions/{sequence}").json()["state"]]
    (listed,) = client.get("/v1/sessions", params={"stream_id": stream}).json()["items"]
    found.append(listed["state"])
    for state in ("live", "suspect"):
        items = client.get("/v1/sessions", params={"state": state, "stream_id": stream}).json()["items"]
        found += [state] if items else []
    found.append(client.get(f"/v1/streams/{stream}").json()["presence"])
    live = client.get("/v1/streams", params={"presence": "live"}).json()["items"]
    found.append("live" if [each for each in live if each["stream_id"] == stream] else "suspect")
    (broadcast,) = client.get(f"/v1/streams/{stream}/broadcasts").json()["items"]
    found.append(broadcast["state"])
    found.append(client.get(f"/v1/sessions/{sequence}", params={"known_at": 10**6}).json()["state"])
    return set(found)


ORDERS = ("as it happened", "backwards", "shuffled")


def arranged(events: list[NewEvent], order: str) -> list[NewEvent]:
    if order == "shuffled":
        return Random(3).sample(events, len(events))
    return events[::-1] if order == "backwards" else events


@pytest.mark.parametrize("order", ORDERS)
def test_a_push_is_not_silent_for_what_nobody_was_there_to_hear(
    database: Database, client: TestClient[Any], order: str
) -> None:
    now_s = int(time.time())
    shots = [now_s - 5 * HOUR - 60 * number for number in range(5)]
    events = [received(started("room", "1", now_s - 6 * HOUR), now_s - 6 * HOUR)]
    events += [received(screenshot("room", at_s), at_s + 1) for at_s in shots]
    with connect(database, application_name="test") as connection:
        tell(connection, arranged(events, order))
        assert states(client, "1", "room") == {"suspect"}
        was_away(connection, now_s - 5 * HOUR + 60, now_s - 600)
        assert states(client, "1", "room") == {"live"}
        # What an absence explains is not longer than it: before it nothing was heard for more than an hour.
        connection.execute("UPDATE absences SET began_at_us = %s", ((now_s - 3 * HOUR) * 1_000_000,))
        assert states(client, "1", "room") == {"suspect"}


@pytest.mark.parametrize("order", ORDERS)
def test_no_other_evidence_grows_older_meanwhile_and_no_rhythm_longer(
    database: Database, client: TestClient[Any], order: str
) -> None:
    now_s = int(time.time())
    unheard = [received(started("unheard", "1", now_s - 30 * HOUR), now_s - 30 * HOUR)]
    older, newer = started("older", "2", now_s - 3 * HOUR), started("older", "3", now_s - 2 * HOUR - 30)
    replaced = [received(older, now_s - 3 * HOUR), received(newer, now_s - 2 * HOUR - 29)]
    replaced += [received(stopped("older", "3", now_s - 2 * HOUR - 1), now_s - 20)]
    rhythm = [received(started("rhythm", "4", now_s - 26 * HOUR), now_s - 26 * HOUR)]
    rhythm += [
        received(screenshot("rhythm", now_s - at_s), now_s - at_s + 1)
        for at_s in (26 * HOUR - 60, 26 * HOUR - 120, 1 * HOUR + 1800, 1 * HOUR + 1740)
    ]
    with connect(database, application_name="test") as connection:
        tell(connection, arranged([*unheard, *replaced, *rhythm], order))
        assert states(client, "1", "unheard") == {"suspect"}
        assert client.get("/v1/sessions/2").json()["state_reasons"] == ["newer_push"]
        assert states(client, "4", "rhythm") == {"live"}  # it was silent for a day before
        was_away(connection, now_s - 2 * HOUR - 10, now_s - 30)
        assert client.get("/v1/sessions/2").json()["state"] == "live"
        was_away(connection, now_s - 26 * HOUR, now_s - 2 * HOUR - 60)
        assert states(client, "1", "unheard") == {"live"}
        assert states(client, "4", "rhythm") == {"live"}  # of the time since, nobody was there either
        connection.execute(
            "UPDATE absences SET ended_at_us = began_at_us + 1 WHERE began_at_us > %s",
            ((now_s - 3 * HOUR) * 1_000_000,),
        )
        assert states(client, "4", "rhythm") == {"suspect"}


def test_the_metrics_count_it_as_live_too(database: Database, client: TestClient[Any]) -> None:
    now_s = int(time.time())
    events = [
        received(started("room", "1", now_s - 5 * HOUR - 60), now_s - 5 * HOUR - 60),
        received(screenshot("room", now_s - 5 * HOUR), now_s - 5 * HOUR),
    ]
    with connect(database, application_name="test") as connection:
        tell(connection, events)
        was_away(connection, now_s - 5 * HOUR + 60, now_s - 600)
    told = client.get("/metrics").text
    assert 'streamledger_sessions{state="live"} 1.0' in told
    assert 'streamledger_sessions{state="suspect"} 0.0' in told


def test_at_a_moment_of_the_past_only_what_was_known_by_then_excuses_a_silence(
    database: Database, client: TestClient[Any]
) -> None:
    now_s = int(time.time())
    events = [
        received(started("room", "1", now_s - 5 * HOUR - 60), now_s - 5 * HOUR - 60),
        received(screenshot("room", now_s - 5 * HOUR), now_s - 5 * HOUR),
        received(started("other", "2", now_s - 3 * HOUR), now_s - 3 * HOUR),
        received(started("other", "3", now_s - 60), now_s - 60),
    ]
    with connect(database, application_name="test") as connection:
        positions = tell(connection, events)
        was_away(connection, now_s - 5 * HOUR + 60, now_s - 2 * HOUR)

    def state(**asked: Any) -> str:
        found: str = client.get("/v1/sessions/1", params=asked).json()["state"]
        return found

    def instant(ago_s: int) -> str:
        return instant_ms((now_s - ago_s) * 1000)

    assert state() == "suspect"
    assert state(as_of=instant(2 * HOUR - 60)) == "live"
    assert state(as_of=instant(3 * HOUR)) == "live"  # in the midst of it, as is known now
    assert state(as_of=instant(3 * HOUR), known_at=instant(3 * HOUR)) == "suspect"
    assert state(as_of=instant(3 * HOUR), known_at=positions[2]) == "suspect"
    assert state(as_of=instant(3 * HOUR), known_at=positions[3]) == "live"
    assert state(as_of=instant(2 * HOUR - 60), known_at=instant(2 * HOUR - 60)) == "live"


@pytest.mark.parametrize("seed", range(4))
def test_the_lists_and_the_rules_agree_whatever_the_absences(
    database: Database, client: TestClient[Any], seed: int
) -> None:
    random = Random(seed)
    now_s = int(time.time())
    events = []
    for number in range(40):
        begin_s = now_s - random.randint(60, 40 * HOUR)
        events.append(received(started(f"room-{number}", str(number + 1), begin_s), begin_s))
        at_s = begin_s
        for _ in range(random.randint(0, 5)):
            at_s += random.choice([30, 600, HOUR, 5 * HOUR])
            if at_s < now_s - 5:
                events.append(received(screenshot(f"room-{number}", at_s), at_s + 1))
        if random.random() < 0.3 and begin_s + 200 < now_s:
            events.append(received(started(f"room-{number}", f"9{number}", begin_s + 200), begin_s + 201))
    with connect(database, application_name="test") as connection:
        tell(connection, events)
        at_s = now_s - 45 * HOUR
        for _ in range(seed * 3):
            at_s += random.randint(60, 10 * HOUR)
            until_s = at_s + random.randint(31, 5 * HOUR)
            if until_s < now_s:
                was_away(connection, at_s, until_s)
            at_s = until_s
    listed = {
        state: {
            each["sequence"]
            for each in client.get("/v1/sessions", params={"state": state, "limit": 500}).json()["items"]
        }
        for state in ("live", "suspect")
    }
    every = client.get("/v1/sessions", params={"limit": 500}).json()["items"]
    assert len(every) >= 40
    for state, found in listed.items():
        assert found == {each["sequence"] for each in every if each["state"] == state}
    asked = {"known_at": 10**6}
    for each in every:  # judged anew from the ledger, by the rules themselves
        then = client.get(f"/v1/sessions/{each['sequence']}", params=asked).json()
        assert (then["state"], then["state_reasons"]) == (each["state"], each["state_reasons"])
    live = client.get("/v1/streams", params={"presence": "live", "limit": 500}).json()["items"]
    assert {each["stream_id"] for each in live} == {
        each["stream_id"] for each in every if each["state"] == "live"
    }
