"""No genuine retry is accused, and captured pairs leave marks: over HTTP, with receipts of the test's own."""

from collections.abc import Sequence
from typing import Any

import pytest
from litestar.testing import TestClient

from streamledger.domain.events import NewEvent
from streamledger.postgres.connection import Database, connect
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.projections.runner import catch_up
from tests.received import BEGAN_S, SCHEMA, STRANGER, TENCENT, keep, received, started, stopped

SECOND = "192.0.2.8"
START, STOP = started("room", "1", BEGAN_S), stopped("room", "1", BEGAN_S + 600)


def judged(
    database: Database, client: TestClient[Any], events: Sequence[NewEvent], *, batches: bool
) -> list[tuple[str, list[str]]]:
    """Class and reasons of each delivery, in order."""
    with connect(database, application_name="test") as connection:
        for part in [[event] for event in events] if batches else [events]:
            keep(connection, part)
            catch_up(connection, SCHEMA, PROJECTIONS)
    found = client.get("/v1/deliveries", params={"limit": 500}).json()["items"]
    return [(each["class"], each["evidence"].get("because", [])) for each in reversed(found)]


def pool(address: str, before_s: int) -> list[NewEvent]:
    """Facts of other streams, by which an address becomes known."""
    found = []
    for number in range(3):
        at_s = BEGAN_S - before_s + number
        told = started(f"other-{address}-{number}", str(number), at_s)
        found.append(received(told, at_s, source_ip=address))
    return found


@pytest.mark.parametrize("batches", [True, False])
def test_a_retry_may_wait_in_our_queue_come_from_the_pool_or_be_handled_before_the_first_try(
    database: Database, client: TestClient[Any], batches: bool
) -> None:
    known = [*pool(TENCENT, 500), *pool(SECOND, 400)]
    events = [
        *known,
        received(START, BEGAN_S + 1),
        received(START, BEGAN_S + 96),
        received(START, BEGAN_S + 160, source_ip=SECOND),
        received(STOP, BEGAN_S + 661, t_s=BEGAN_S + 1260),
        received(STOP, BEGAN_S + 661.5, t_s=BEGAN_S + 1201),
    ]
    found = [class_ for class_, _ in judged(database, client, events, batches=batches)[len(known) :]]
    assert found == ["first", "retry", "retry", "first", "retry"]


@pytest.mark.parametrize("batches", [True, False])
def test_two_templates_report_each_fact_twice_with_tries_of_their_own(
    database: Database, client: TestClient[Any], batches: bool
) -> None:
    events = [
        received(START, BEGAN_S + 1),
        received(START, BEGAN_S + 1.4, key="second"),
        received(START, BEGAN_S + 62),
        received(START, BEGAN_S + 65, key="second"),
    ]
    assert [class_ for class_, _ in judged(database, client, events, batches=batches)] == [
        "first",
        "twin",
        "retry",
        "retry",
    ]


@pytest.mark.parametrize("batches", [True, False])
def test_the_step_after_a_try_that_waited_in_our_queue_is_the_shorter(
    database: Database, client: TestClient[Any], batches: bool
) -> None:
    events = [
        received(START, BEGAN_S + 1),
        received(START, BEGAN_S + 93, t_s=BEGAN_S + 675),  # signed at 75, waited for 18
        received(START, BEGAN_S + 137, t_s=BEGAN_S + 736),
        received(STOP, BEGAN_S + 601, t_s=BEGAN_S + 1201),
        received(STOP, BEGAN_S + 661, t_s=BEGAN_S + 1261),
        received(STOP, BEGAN_S + 704, t_s=BEGAN_S + 1304),  # that one had not waited: 43 s are too few
    ]
    found = judged(database, client, events, batches=batches)
    retry = ("retry", ["on_schedule"])
    assert found == [("first", []), retry, retry, ("first", []), retry, ("replay", ["off_schedule"])]


@pytest.mark.parametrize("batches", [True, False])
def test_a_call_that_had_arrived_may_be_tried_again_beside_the_tries_after_it(
    database: Database, client: TestClient[Any], batches: bool
) -> None:
    events = [received(START, BEGAN_S + after_s) for after_s in (1, 71, 76, 136, 141, 151)]
    found = [class_ for class_, _ in judged(database, client, events, batches=batches)]
    assert found == ["first", "retry", "retry", "retry", "retry", "replay"]


@pytest.mark.parametrize("batches", [True, False])
def test_of_two_chains_nobody_knows_whose_step_it_was_so_the_longer_wait_is_granted(
    database: Database, client: TestClient[Any], batches: bool
) -> None:
    events = [
        received(START, BEGAN_S + 1),
        received(START, BEGAN_S + 79.8),  # the call that was given up, once more
        received(START, BEGAN_S + 82.3, t_s=BEGAN_S + 665),  # of the first chain; it fits 3 s after that too
        received(START, BEGAN_S + 129),
        received(STOP, BEGAN_S + 601),
        received(STOP, BEGAN_S + 664),
        received(STOP, BEGAN_S + 678),
        received(STOP, BEGAN_S + 739, t_s=BEGAN_S + 1327),  # of 664, not of 678, which fits as well
        received(STOP, BEGAN_S + 790),
    ]
    found = [class_ for class_, _ in judged(database, client, events, batches=batches)]
    assert found == ["first", "retry", "retry", "retry", "first", "retry", "retry", "retry", "retry"]


@pytest.mark.parametrize("batches", [True, False])
def test_another_template_is_none_to_be_accused_before_its_address_is_known_or_when_it_is_late(
    database: Database, client: TestClient[Any], batches: bool
) -> None:
    events = [
        received(START, BEGAN_S + 1),
        received(START, BEGAN_S + 1.4, key="second", source_ip=SECOND),
        received(START, BEGAN_S + 63, key="second", source_ip=SECOND),
        received(STOP, BEGAN_S + 601),
        received(STOP, BEGAN_S + 653, t_s=BEGAN_S + 1252, key="second"),
        received(STOP, BEGAN_S + 654, t_s=BEGAN_S + 1201, source_ip=STRANGER),
    ]
    found = judged(database, client, events, batches=batches)
    assert [class_ for class_, _ in found] == ["first", "twin", "retry", "first", "twin", "replay"]


@pytest.mark.parametrize("batches", [True, False])
def test_what_came_with_a_captured_pair_is_marked_whichever_came_first(
    database: Database, client: TestClient[Any], batches: bool
) -> None:
    known = pool(TENCENT, 500)
    forged = stopped("room", "1", BEGAN_S + 590, errcode=9)
    events = [
        *known,
        received(forged, BEGAN_S + 601, t_s=BEGAN_S + 1201, source_ip=STRANGER),
        received(STOP, BEGAN_S + 602, t_s=BEGAN_S + 1201),
    ]
    found = judged(database, client, events, batches=batches)[len(known) :]
    assert found == [("first", ["pair_elsewhere"]), ("conflict", ["other_content"])]
