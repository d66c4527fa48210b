"""Laws of forensics: one first per identity; no judgement depends on what comes later or on batches."""

from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamledger.domain import forensics
from streamledger.domain.events import RECORDING_CREATED, SCREENSHOT_CREATED, LedgerEvent
from streamledger.domain.forensics import DeliveryClass, Judged, Known, Sighting
from streamledger.ledger import reader
from streamledger.postgres.connection import Database, connect
from streamledger.readmodel import projection
from streamledger.readmodel.delivery_judging import schedules_for
from streamledger.readmodel.delivery_projection import DeliveriesProjection
from streamledger.readmodel.delivery_rows import recount_deliveries
from streamledger.readmodel.facts import Event, PlainMedia, read_event
from tests.received import BEGAN_S, STRANGER, TENCENT, keep, received, screenshot, started, stopped

ADDRESSES = ("", TENCENT, STRANGER)

sightings = st.builds(
    Sighting,
    position=st.integers(1, 10**6),
    received_ms=st.integers(0, 10_000).map(lambda tenths: BEGAN_S * 1000 + tenths * 100),
    source_ip=st.sampled_from(ADDRESSES),
    content=st.sampled_from(["this", "that"]),
    bytes_digest=st.integers(0, 3),
    t=st.one_of(st.none(), st.integers(BEGAN_S, BEGAN_S + 2000).map(str)),
    key=st.sampled_from([None, "main", "rotated"]),
    happened_ms=st.one_of(st.none(), st.just(BEGAN_S * 1000)),
    was_released=st.booleans(),
)


def judged(deliveries: Sequence[Sighting], event_type: int) -> list[Judged]:
    known: Known | None = None
    found = []
    for each in deliveries:
        if known is None:
            found.append(forensics.judge_first(each, 600))
            known = forensics.begin(each)
        else:
            found.append(forensics.judge(known, each, schedules_for(event_type), 600))
            known = forensics.remember(known, each, found[-1])
    return found


@given(st.lists(sightings, min_size=1, max_size=20), st.sampled_from([0, 1, 100, 200, 321]))
def test_the_first_is_exactly_one_unless_it_was_released(deliveries: list[Sighting], event_type: int) -> None:
    classes = [each.judged_as for each in judged(deliveries, event_type)]
    assert classes[0] is (DeliveryClass.RELEASED if deliveries[0].was_released else DeliveryClass.FIRST)
    assert DeliveryClass.FIRST not in classes[1:]


@given(st.lists(sightings, min_size=1, max_size=20), st.sampled_from([0, 1, 100, 200, 321]), st.data())
def test_what_comes_later_changes_no_judgement(
    deliveries: list[Sighting], event_type: int, data: st.DataObject
) -> None:
    whole = judged(deliveries, event_type)
    some = data.draw(st.integers(1, len(deliveries)))
    assert judged(deliveries[:some], event_type) == whole[:some]


@given(st.lists(sightings, min_size=2, max_size=20), st.sampled_from([0, 1, 100, 200, 321]))
def test_only_a_retry_has_a_number_and_numbers_stay_within_the_schedules(
    deliveries: list[Sighting], event_type: int
) -> None:
    most = max(schedule.retries for schedule in schedules_for(event_type))
    retries = {DeliveryClass.RETRY, DeliveryClass.LATE_RETRY}
    for each in judged(deliveries, event_type):
        assert (each.try_number is not None) is (each.judged_as in retries)
        assert each.try_number is None or 0 <= each.try_number <= most


@settings(max_examples=400)
@pytest.mark.parametrize("address", ADDRESSES[1:])
@given(st.data())
def test_a_sender_that_keeps_to_todays_schedule_is_never_taken_for_another(
    address: str, data: st.DataObject
) -> None:
    interval_ms, retries, event_type = data.draw(st.sampled_from([(60_000, 12, 1), (120_000, 5, 200)]))
    at_ms = BEGAN_S * 1000
    deliveries = []
    for number in range(retries + 1):
        renewed_t = str(at_ms // 1000 + 600)
        arrives = data.draw(st.booleans()) or number == 0
        if arrives:
            deliveries.append(
                Sighting(
                    position=number + 1,
                    received_ms=at_ms,
                    source_ip=address,
                    content="c",
                    bytes_digest=number,
                    t=renewed_t,
                )
            )
        at_ms += interval_ms + data.draw(st.integers(0, 20_000))
    found = judged(deliveries, event_type)[1:]
    assert {each.judged_as for each in found} <= {DeliveryClass.RETRY}
    for sent, each in zip(deliveries[1:], found, strict=True):
        grid = each.evidence.grid
        assert grid is not None
        assert grid.retry >= sent.position - 1 >= (grid.retry_min or grid.retry)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 60, 100, 185, 3600]), st.sampled_from(ADDRESSES)),
        min_size=1,
        max_size=25,
    ),
    st.lists(st.integers(1, 6), min_size=25, max_size=25),
)
def test_rows_and_digest_depend_neither_on_where_batches_are_cut_nor_on_the_lane(
    database: Database, deliveries: list[tuple[int, int, str]], cuts: list[int]
) -> None:
    bodies = [
        started("a", "1"),
        started("a", "1", BEGAN_S + 5),
        screenshot("a", BEGAN_S),
        stopped("b", "2", BEGAN_S),
    ]
    with connect(database, application_name="test") as connection:
        before = reader.head(connection)
        keep(
            connection,
            [
                received(bodies[which], BEGAN_S + after_s, t_s=BEGAN_S + 600, source_ip=address)
                for which, after_s, address in deliveries
            ],
        )
        events = reader.read_after(connection, before, 1000)
        at_once = _projected(connection, [projection.read_facts(events)])
        batches = []
        for size in cuts:
            batches.append([in_short(event) for event in events[:size]])
            events = events[size:]
        assert _projected(connection, [facts for facts in batches if facts]) == at_once


def in_short(event: LedgerEvent) -> Event:
    """As the projector reads it: media in the form of the lane."""
    read = read_event(event.position, event.name, event.originator_id, event.delivery)
    assert isinstance(read, PlainMedia) == (event.name in {RECORDING_CREATED, SCREENSHOT_CREATED})
    return read


def _projected(connection: psycopg.Connection[Any], batches: Sequence[Sequence[Any]]) -> Any:
    connection.execute("TRUNCATE deliveries, notifications, delivery_days")
    digest = sum(DeliveriesProjection().take_in(connection, facts) for facts in batches) % 2**64
    with connection.transaction():
        assert recount_deliveries(connection) == digest
    return digest, [
        connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall()
        for table in DeliveriesProjection.tables
    ]
