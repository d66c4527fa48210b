"""Laws of forensics: one first per identity; no judgement depends on what comes later or on batches."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamledger.domain import forensics
from streamledger.domain.events import SCREENSHOT_CREATED, Belief, Delivery, event_name
from streamledger.domain.forensics import DeliveryClass, Judged, Known, Sighting
from streamledger.readmodel.fold.facts import Event, PlainMedia, as_fact, read_event
from streamledger.readmodel.fold.judging import schedules_for
from tests.oracle.memory_view import MemoryView
from tests.received import BEGAN_S, STRANGER, TENCENT, screenshot, signed, started, stopped

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
            known = forensics.begin(each, 600)
        else:
            found.append(forensics.judge(known, each, schedules_for(event_type), 600))
            known = forensics.remember(known, each, found[-1], 600)
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
def test_only_a_retry_or_a_twin_has_a_number_and_numbers_stay_within_the_schedules(
    deliveries: list[Sighting], event_type: int
) -> None:
    most = max(schedule.retries for schedule in schedules_for(event_type))
    retries = {DeliveryClass.RETRY, DeliveryClass.LATE_RETRY, DeliveryClass.TWIN}
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


@st.composite
def chains(draw: st.DrawFn) -> list[Sighting]:
    """A call with its tries, the call that was given up once more, and another template's beside them."""
    interval_ms = draw(st.sampled_from([60_000, 120_000]))
    begins_ms = BEGAN_S * 1000
    again_ms = begins_ms + interval_ms + draw(st.integers(0, 20_000))
    sent: list[tuple[int, int, str]] = [(again_ms, again_ms, "main")]
    for key, begun_ms in (("main", begins_ms), ("other", begins_ms + draw(st.integers(0, 900)))):
        at_ms = begun_ms
        for number in range(4):
            waited_ms = draw(st.integers(0, 19_000)) if number and draw(st.booleans()) else 0
            sent.append((at_ms + waited_ms, at_ms, key))
            at_ms += interval_ms + draw(st.integers(0, 20_000))
    return [
        Sighting(
            position=position,
            received_ms=received_ms,
            source_ip=TENCENT,
            content="c",
            bytes_digest=position,
            t=str(sent_ms // 1000 + 600),
            key=key,
            address_known=True,
            keys_beside=("main", "other"),
        )
        for position, (received_ms, sent_ms, key) in enumerate(sorted(sent), 1)
    ]


@settings(max_examples=3000)
@given(chains(), st.sampled_from([1, 200]))
def test_no_try_is_accused_that_waited_in_our_queue_beside_another_chain(
    deliveries: list[Sighting], event_type: int
) -> None:
    apart_ms = 60_000 if event_type == 1 else 120_000
    if any(each.received_ms - deliveries[0].received_ms < apart_ms for each in deliveries[2:]):
        return  # drawn for the other schedule
    assert DeliveryClass.REPLAY not in {each.judged_as for each in judged(deliveries, event_type)}


deliveries_of_four = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 60, 100, 185, 3600]), st.sampled_from(ADDRESSES)),
    min_size=1,
    max_size=25,
)


@given(deliveries_of_four, st.lists(st.integers(1, 6), min_size=25, max_size=25))
def test_rows_depend_neither_on_where_batches_are_cut_nor_on_the_lane(
    deliveries: list[tuple[int, int, str]], cuts: list[int]
) -> None:
    bodies = [
        started("a", "1"),
        started("a", "1", BEGAN_S + 5),
        screenshot("a", BEGAN_S),
        stopped("b", "2", BEGAN_S),
    ]
    events = [
        in_short(
            position,
            bodies[which],
            Delivery(
                body=signed(bodies[which], BEGAN_S + 600),
                received_at_us=(BEGAN_S + after_s) * 1_000_000,
                source_ip=address,
                believed=Belief("key", "main"),
            ),
        )
        for position, (which, after_s, address) in enumerate(deliveries, 1)
    ]
    at_once, cut = MemoryView(), MemoryView()
    at_once.take_in([as_fact(event) for event in events])
    for size in cuts:
        cut.take_in(events[:size])
        events = events[size:]
    assert sorted(map(repr, cut.all_rows())) == sorted(map(repr, at_once.all_rows()))
    assert {row.position for row in cut.repeat_rows.values()} == {
        position
        for position, given in enumerate(deliveries, 1)
        if is_noted(given, deliveries[: position - 1])
    }


def is_noted(given: tuple[int, int, str], before: list[tuple[int, int, str]]) -> bool:
    """Whether a delivery has a row: both starts of "1" are of one notification."""
    which = [0 if each[0] == 1 else each[0] for each in before]
    return (0 if given[0] == 1 else given[0]) in which


def in_short(position: int, body: dict[str, Any], delivery: Delivery) -> Event:
    """As the projector reads it: plain media in their short form."""
    name = event_name(body["event_type"])
    read = read_event(position, name, body["stream_id"], delivery)
    assert isinstance(read, PlainMedia) == (name == SCREENSHOT_CREATED)
    return read
