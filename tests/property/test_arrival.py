"""Laws of the read model through the real store: the truth does not depend on arrival, nor on batches."""

import random
from typing import Any

import psycopg
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from streamledger.postgres.connection import Database, connect
from streamledger.simulator.history import generate, randomness
from streamledger.simulator.truth import History, Shape
from tests.deliveries import (
    NOON_S,
    new_event,
    push_started,
    push_stopped,
    recording,
    screenshot,
    shuffled,
    signed,
    store,
)
from tests.integration.readmodel import reading

SHAPE = Shape(
    streams=2,
    sessions_per_stream=2,
    duration_s=240,
    screenshot_interval_s=20,
    recording_interval_s=50,
    recording_formats=("flv",),
    reconnected=0.5,
    backed_up=0.4,
    start_unreported=0.2,
    stop_unreported=0.2,
    troubled=0.5,
    stream_prefix="room",
)
one_database_for_all_examples = settings(
    # A smaller example of a failure is not worth minutes: each try goes through the database.
    phases=[phase for phase in Phase if phase is not Phase.explain],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
RECEIVED_S = NOON_S + 130
"""The very moment of some of the facts below: nothing may hang on that coincidence."""


def history(seed: int) -> History:
    return generate(SHAPE, starts_at_ms=NOON_S * 1000, random=randomness(seed, NOON_S * 1000, "history"))


def connect_quickly(database: Database) -> psycopg.Connection[Any]:
    """Without waiting for the disk: these tests ask what is written, not whether it stays."""
    connection = connect(database, application_name="test")
    connection.execute("SET synchronous_commit = off")
    return connection


def deliver(connection: psycopg.Connection[Any], bodies: list[dict[str, Any]]) -> None:
    """Each delivery is signed anew, so no two of them are the same bytes."""
    store(
        connection,
        [
            new_event(signed(body, RECEIVED_S + number), received_s=RECEIVED_S)
            for number, body in enumerate(bodies)
        ],
    )


def truth_of(database: Database, bodies: list[dict[str, Any]], cuts: list[int]) -> dict[str, list[Any]]:
    with connect_quickly(database) as connection:
        reading.empty_ledger(connection)
        deliver(connection, bodies)
        reading.project(connection, cuts)
        return reading.truth(connection)


@settings(one_database_for_all_examples, max_examples=15)
@given(seed=st.integers(0, 50), order=st.integers(0, 2**32), cuts=st.lists(st.integers(0, 500), max_size=6))
def test_any_order_and_one_to_four_copies_of_a_history_give_the_same_truth(
    database: Database, seed: int, order: int, cuts: list[int]
) -> None:
    bodies = [fact.body for fact in history(seed).facts]
    source = random.Random(order)
    copies = shuffled([body for body in bodies for _ in range(source.randint(1, 4))], source)
    assert truth_of(database, copies, cuts) == truth_of(database, bodies, [])


@settings(one_database_for_all_examples, max_examples=40)
@given(data=st.data(), seed=st.integers(0, 20), cuts=st.lists(st.integers(0, 60), max_size=6))
def test_any_part_of_a_history_gives_the_same_truth_in_any_order(
    database: Database, data: st.DataObject, seed: int, cuts: list[int]
) -> None:
    facts = history(seed).facts
    arrived = data.draw(st.lists(st.integers(0, len(facts) - 1), min_size=1, max_size=30))
    once = sorted(set(arrived))
    assert truth_of(database, [facts[index].body for index in arrived], cuts) == truth_of(
        database, [facts[index].body for index in once], []
    )


TIMES = st.sampled_from([0, 3, 60, 61, 64, 70, 128, 130])
sequences = st.sampled_from(["2210464508206756938", "9"])
unreadable = st.sampled_from([{}, {}, {}, {"event_time": "soon"}])
conflicting = st.one_of(
    st.builds(
        lambda sequence, at, more: push_started("room", sequence, NOON_S + at) | more,
        sequences,
        TIMES,
        unreadable,
    ),
    st.builds(
        lambda sequence, at, more, duration: (
            push_stopped("room", sequence, NOON_S + at, push_duration=duration) | more
        ),
        sequences,
        TIMES,
        unreadable,
        st.sampled_from(["", "60000", 3000]),
    ),
    st.builds(
        lambda file_id, end, duration, more: recording("room", file_id, NOON_S + end, duration) | more,
        st.sampled_from(["f1", "f2"]),
        TIMES,
        st.sampled_from([1, 60]),
        st.sampled_from(
            [
                {},
                {},
                {"end_time": None},
                {"end_time": None, "start_time": None},
                {"start_time": None, "duration": None},
                {"file_size": "?"},
            ]
        ),
    ),
    st.builds(
        lambda at, more: screenshot("room", NOON_S + at, pic_url="/one.jpg") | more,
        TIMES,
        st.sampled_from([{}, {}, {"create_time": "soon"}, {"width": 5}]),
    ),
)
"""Notifications of few identities and many contents: the sender, or a forger, contradicts itself."""


@settings(one_database_for_all_examples, max_examples=80)
@given(
    bodies=st.lists(conflicting, min_size=2, max_size=8),
    cuts=st.lists(st.integers(0, 8), max_size=3),
    data=st.data(),
)
def test_conflicting_deliveries_give_the_same_truth_in_any_order(
    database: Database, bodies: list[dict[str, Any]], cuts: list[int], data: st.DataObject
) -> None:
    arrived = data.draw(st.permutations(bodies))
    assert truth_of(database, arrived, cuts) == truth_of(database, bodies, [])


@settings(one_database_for_all_examples, max_examples=25)
@given(seed=st.integers(0, 50), order=st.integers(0, 2**32), cuts=st.lists(st.integers(0, 300), max_size=12))
@example(seed=1, order=1, cuts=list(range(300)))
def test_any_cut_into_batches_gives_the_same_rows_as_one_batch(
    database: Database, seed: int, order: int, cuts: list[int]
) -> None:
    source = random.Random(order)
    bodies = [fact.body for fact in history(seed).facts]
    arrived = shuffled([body for body in bodies for _ in range(source.randint(1, 2))], source)
    with connect_quickly(database) as connection:
        reading.empty_ledger(connection)
        deliver(connection, arrived)
        reading.project(connection)
        whole = reading.all_rows(connection), reading.days(connection)
        reading.empty_read_model(connection)
        reading.project(connection, cuts)
        assert (reading.all_rows(connection), reading.days(connection)) == whole


def test_a_session_whose_first_time_comes_in_a_later_batch_lies_as_if_it_had_come_in_the_first(
    database: Database,
) -> None:
    # Nothing known and a push since the year 1970 look alike but for whether there is a span at all.
    unknown = {"event_type": 999, "stream_id": "room", "sequence": "9"}
    error = {"event_type": 321, "stream_id": "room", "sequence": "9", "data_time": 0}
    with connect_quickly(database) as connection:
        reading.empty_ledger(connection)
        deliver(connection, [unknown, error])
        reading.project(connection)
        whole = reading.all_rows(connection)
        reading.empty_read_model(connection)
        reading.project(connection, [1])
        assert reading.all_rows(connection) == whole
