"""How the knowledge of a session grew: steps from what its picture draws."""

from streamledger.domain.answers import TimelineEntry
from streamledger.domain.instants import instant_ms
from streamledger.readmodel.moments.growth import STEPS_MAX, EntryDelivery, growth_of
from streamledger.readmodel.queries.pages import Picture


def entry(position: int, kind: str = "screenshot") -> TimelineEntry:
    return TimelineEntry(
        at=instant_ms(position * 1000),
        until=None,
        kind=kind,
        position=position,
        received_at=instant_ms(position * 1000 + 500),
        delay_ms=500,
        deliveries=1,
        conflicts=0,
        attribution=None,
        detail={},
    )


def delivery(entry_position: int, position: int, judged_as: str = "first") -> EntryDelivery:
    return EntryDelivery(
        entry_position=entry_position,
        position=position,
        received_ms=position * 1000 + 500,
        judged_as=judged_as,
    )


def picture(*entries: TimelineEntry, screenshots: int | None = None) -> Picture:
    shots = sum(each.kind == "screenshot" for each in entries)
    return Picture(
        entries=list(entries),
        screenshots=shots if screenshots is None else screenshots,
        others=len(entries) - shots,
    )


def test_every_delivery_of_a_short_session_is_a_step_copies_too() -> None:
    drawn = picture(entry(3, "push_started"), entry(5))
    found = growth_of(drawn, [delivery(3, 3), delivery(3, 7, "retry"), delivery(5, 5)], 2)
    assert [(step.position, step.kind) for step in found.steps] == [
        (3, "push_started"),
        (5, "screenshot"),
        (7, "push_started"),
    ]
    assert found.total == 3


def test_what_the_deliveries_projection_has_not_taken_in_yet_is_a_step_all_the_same() -> None:
    assert [
        step.position for step in growth_of(picture(entry(3, "push_started"), entry(5)), [], 2).steps
    ] == [3, 5]


def test_media_that_came_before_the_session_was_known_are_no_steps() -> None:
    drawn = picture(entry(2), entry(3, "push_stopped"), entry(5))
    assert [step.position for step in growth_of(drawn, [], 3).steps] == [3, 5]


def test_of_many_deliveries_the_first_and_the_last_are_steps_and_as_many_between_as_fit() -> None:
    entries = [entry(1, "push_started"), *(entry(position) for position in range(2, 1000))]
    found = growth_of(picture(*entries), [], 999)
    assert (found.steps[0].position, found.steps[-1].position, found.total) == (1, 999, 999)
    assert STEPS_MAX / 2 < len(found.steps) <= STEPS_MAX + 1


def test_of_a_session_that_is_drawn_thinned_the_total_is_that_of_all() -> None:
    found = growth_of(picture(entry(1, "push_started"), entry(9000), screenshots=20_000), [], 20_001)
    assert (len(found.steps), found.total) == (2, 20_001)
