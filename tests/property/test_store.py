"""The store as the fold's view: the same rows as in memory, nothing stale in memory, and a rebuild's rows."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from streamledger.domain.session import OPEN_END_MS
from streamledger.ledger import reader
from streamledger.operations.rebuild import Order, rebuild
from streamledger.postgres.connection import Database, connect
from streamledger.readmodel.fold.pushes import WHOLE, Pushes
from streamledger.readmodel.fold.rows import NOT_READ, SessionRow, Totals
from streamledger.readmodel.projections import checkpoints, store
from streamledger.readmodel.projections.reading import events_and_errors
from streamledger.readmodel.projections.runner import INDEXES_ONLY
from streamledger.readmodel.projections.sessions import SessionsView
from tests.deliveries import event_of
from tests.deliveries import store as append
from tests.integration.readmodel import reading
from tests.moments import disordered
from tests.oracle.memory_view import MemoryView

one_database_for_all_examples = settings(
    phases=[phase for phase in Phase if phase not in (Phase.explain, Phase.shrink)],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
AMPLE, FEW, HARDLY_ANY = (20_000, 256, 32), (2, 4, 2), (1, 1, 0)
"""Streams in memory, sessions of each, and sessions of a stream that is read whole."""


@contextmanager
def bounded(streams: int, sessions: int, whole: int) -> Iterator[None]:
    """The memory of live streams made small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "STREAMS_MAX", streams)
        patch.setattr(store, "SESSIONS_MAX", sessions)
        patch.setattr(store, "WHOLE_SESSIONS_MAX", whole)
        yield


@settings(one_database_for_all_examples, max_examples=25)
@given(
    seed=st.integers(0, 2**32), bounds=st.sampled_from([AMPLE, FEW, HARDLY_ANY]), streams=st.integers(1, 3)
)
@example(seed=7, bounds=FEW, streams=3)
@example(seed=317599, bounds=HARDLY_ANY, streams=1)
@example(seed=317599, bounds=HARDLY_ANY, streams=2)
@example(seed=317599, bounds=HARDLY_ANY, streams=3)
def test_the_store_holds_what_memory_does_and_what_a_rebuild_gives(
    database: Database, seed: int, bounds: tuple[int, int, int], streams: int
) -> None:
    chance = random.Random(seed)
    with connect(database, application_name="test") as connection, bounded(*bounds):
        for statement in INDEXES_ONLY:
            connection.execute(statement)
        reading.empty_ledger(connection)
        append(connection, [event_of(each) for each in disordered(seed, streams=streams, duration_s=90)])
        checkpoints.checkpoints(connection, [SessionsView])
        view, expected = SessionsView(connection, database.schema), MemoryView()
        after = 0
        while rows := reader.read_rows_after(connection, after, chance.choice([1, 3, 30, 1000])):
            events, _ = events_and_errors(rows)
            until = rows[-1][0]
            checkpoints.project(
                connection, [view], events, after=after, until=until, now_us=1, schema=database.schema
            )
            expected.take_in(events)
            after = until
            nothing_is_stale(connection, view)
        found: list[Any] = [row for each in reading.all_rows(connection).values() for row in each]
        found += reading.days(connection).items()
        assert sorted(map(repr, found)) == sorted(map(repr, expected.all_rows()))
        order = Order(projections=[SessionsView], purpose="verify")
        assert rebuild(database, order, clock_us=lambda: 1).digests_equal is True


def nothing_is_stale(connection: psycopg.Connection[Any], view: SessionsView) -> None:
    """What is in memory of a stream is as it stands in the tables, and is all that it is said to be."""
    kept: dict[str, Pushes] = dict(view.memory)  # type: ignore[call-overload]  # it is iterable
    stored: dict[str, list[SessionRow]] = {stream_id: [] for stream_id in kept}
    for row in reading.all_rows(connection)["sessions"]:
        assert isinstance(row, SessionRow)
        if row.stream_id in kept:
            stored[row.stream_id].append(row)
    assert len(kept) <= store.STREAMS_MAX
    for stream_id, pushes in kept.items():
        assert len(pushes.rows) <= store.SESSIONS_MAX
        for row in stored[stream_id]:
            if row.sequence in pushes.rows:
                assert narrow(pushes.rows[row.sequence]) == narrow(row)
            else:
                assert pushes.from_ms != WHOLE
                # From the end of time on means that nothing is asked for by its reach, so nothing is claimed.
                assert row.reach_ms < pushes.from_ms or pushes.from_ms == OPEN_END_MS
                assert (
                    row.witness not in pushes.witnesses or row.ended or row.witness_until_ms < pushes.from_ms
                )
        assert len(pushes.rows) <= len(stored[stream_id])


def narrow(row: SessionRow) -> SessionRow:
    """Without its fold and its media's totals, which are added to in the table alone."""
    return msgspec.structs.replace(row, fold=NOT_READ, **msgspec.structs.asdict(Totals()))
