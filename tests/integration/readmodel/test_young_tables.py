"""A young read model: look-ups by key read few rows, though nothing is known of the tables at first."""

from streamledger.postgres.connection import Database, connect
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.projections.runner import INDEXES_ONLY, catch_up
from tests.deliveries import NOON_S, SCHEMA, new_event, push_started, push_stopped, screenshot, store

STREAMS, PUSHES = 3, 400
TUPLES_READ_MAX = 30
"""Of an event: eight here; more than four hundred where the planner is told nothing."""


def test_a_busy_stream_of_a_new_ledger_is_not_read_again_for_each_event(database: Database) -> None:
    events = []
    for push in range(PUSHES):
        at_s = NOON_S + push * 60
        for number in range(STREAMS):
            stream_id, sequence = f"room-{number}", f"{number}{push:06d}"
            bodies = (
                push_started(stream_id, sequence, at_s),
                screenshot(stream_id, at_s + 10),
                screenshot(stream_id, at_s + 20),
                push_stopped(stream_id, sequence, at_s + 30),
            )
            events += [new_event(body, at_s + 40, at_s + 600) for body in bodies]
    with connect(database, application_name="test") as connection:
        for statement in INDEXES_ONLY:
            connection.execute(statement)
        for first in range(0, len(events), 200):
            store(connection, events[first : first + 200])
            catch_up(connection, SCHEMA, PROJECTIONS, (NOON_S + PUSHES * 60) * 1_000_000)
        connection.execute("SELECT pg_stat_force_next_flush()")
        read = connection.execute(
            "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname IN ('sessions', 'timeline')"
        ).fetchone()
    assert read is not None
    assert read[0] / len(events) < TUPLES_READ_MAX
