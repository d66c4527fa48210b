"""Given events, then rows: what the sessions projection makes of a history."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from streamledger.domain.session import OPEN_END_MS
from streamledger.ledger import reader
from streamledger.postgres.connection import Database, connect
from streamledger.readmodel.projections import checkpoints as projection
from streamledger.readmodel.projections.checkpoints import ProjectionMoved
from streamledger.readmodel.projections.reading import events_and_errors
from streamledger.readmodel.projections.sessions import SessionsView
from streamledger.readmodel.projections.view import ProjectionView
from tests.deliveries import (
    NOON_S,
    SCHEMA,
    new_event,
    push_started,
    push_stopped,
    recording,
    screenshot,
    store,
)
from tests.integration.readmodel.reading import (
    NOW_US,
    SESSIONS,
    given,
    project,
    sessions,
    stream,
    timeline,
)

MAIN, NEXT = "2210464508206756938", "2210464508206756939"


@pytest.fixture
def connection(any_database: Database) -> Iterator[psycopg.Connection[Any]]:
    with connect(any_database, application_name="test") as opened:
        yield opened


def started(sequence: str, at_s: int, **more: Any) -> Any:
    return new_event(push_started("room", sequence, NOON_S + at_s, **more))


def stopped(sequence: str, at_s: int, **more: Any) -> Any:
    return new_event(push_stopped("room", sequence, NOON_S + at_s, **more))


def file(file_id: str, end_s: int, duration_s: int, **more: Any) -> Any:
    return new_event(recording("room", file_id, NOON_S + end_s, duration_s, **more))


def picture(at_s: int, **more: Any) -> Any:
    return new_event(screenshot("room", NOON_S + at_s, **more))


def take_in(connection: psycopg.Connection[Any], views: Any) -> None:
    """Let views take in the first ten events of the ledger."""
    rows = reader.read_rows_after(connection, 0, 10)
    events, _ = events_and_errors(rows)
    projection.project(connection, views, events, after=0, until=rows[-1][0], now_us=NOW_US, schema=SCHEMA)


def attributed(connection: psycopg.Connection[Any]) -> list[tuple[str, str, str | None, str | None]]:
    """Media as (key's end, sequence, confidence, because)."""
    return [
        (row.key.rpartition("-")[0].rpartition("-")[2] or row.key, row.sequence, row.confidence, row.because)
        for row in timeline(connection)
        if row.kind in ("recording", "screenshot")
    ]


def test_a_start_alone_is_an_open_session(connection: psycopg.Connection[Any]) -> None:
    given(connection, started(MAIN, 0))
    row = sessions(connection)[MAIN]
    assert (row.ended, row.deliveries) == (False, 1)
    assert (row.span_from_ms, row.span_until_ms) == (NOON_S * 1000, OPEN_END_MS)
    assert (stream(connection).sessions, stream(connection).unattributed) == (1, 0)


def test_a_stop_that_arrives_first_is_joined_by_its_start(connection: psycopg.Connection[Any]) -> None:
    given(connection, stopped(MAIN, 60))
    assert sessions(connection)[MAIN].ended
    given(connection, started(MAIN, 0))
    row = sessions(connection)[MAIN]
    assert (row.ended, row.sort_ms, row.deliveries) == (True, NOON_S * 1000, 2)
    assert [entry.kind for entry in timeline(connection)] == ["push_started", "push_stopped"]
    assert stream(connection).sessions == 1


def test_copies_signed_anew_are_counted_and_change_nothing_else(connection: psycopg.Connection[Any]) -> None:
    body = push_started("room", MAIN, NOON_S)
    given(connection, *(new_event(body, t_s=NOON_S + 600 + number) for number in range(4)))
    assert sessions(connection)[MAIN].deliveries == 4
    (entry,) = timeline(connection)
    assert (entry.deliveries, entry.rivals) == (4, None)


def test_a_file_that_comes_after_the_stop_finds_the_push_that_it_was_made_of(
    connection: psycopg.Connection[Any],
) -> None:
    given(connection, started(MAIN, 0), stopped(MAIN, 60), started(NEXT, 100), file("f1", 60, 58))
    assert attributed(connection) == [("f1", MAIN, None, None)]
    row = sessions(connection)[MAIN]
    assert (row.recordings, row.files_ms, row.recording_bytes) == (1, 58_000, 58_000)
    assert sessions(connection)[NEXT].recordings == 0


def test_media_that_come_before_any_push_wait_and_are_attributed_when_it_is_told_of(
    connection: psycopg.Connection[Any],
) -> None:
    given(connection, file("f1", 50, 40), picture(20))
    assert [sequence for _, sequence, _, _ in attributed(connection)] == ["", ""]
    assert stream(connection).unattributed == 2
    given(connection, started(MAIN, 0))
    assert [sequence for _, sequence, _, _ in attributed(connection)] == [MAIN, MAIN]
    assert (stream(connection).unattributed, sessions(connection)[MAIN].screenshots) == (0, 1)


def test_a_late_stop_takes_back_what_was_attributed_to_a_push_that_seemed_open(
    connection: psycopg.Connection[Any],
) -> None:
    given(connection, started(MAIN, 0), picture(500))
    assert sessions(connection)[MAIN].screenshots == 1
    given(connection, stopped(MAIN, 60))
    assert sessions(connection)[MAIN].screenshots == 0
    assert stream(connection).unattributed == 1
    given(connection, started(NEXT, 490))
    assert sessions(connection)[NEXT].screenshots == 1


def test_one_file_that_spans_two_pushes_is_in_both(connection: psycopg.Connection[Any]) -> None:
    given(
        connection,
        *(started(MAIN, 0), stopped(MAIN, 100), started(NEXT, 110), stopped(NEXT, 200)),
        file("resumed", 200, 195),
    )
    assert [(sequence, because) for _, sequence, _, because in attributed(connection)] == [
        (MAIN, "several"),
        (NEXT, "several"),
    ]
    assert stream(connection).recordings == 1
    assert [sessions(connection)[each].recordings for each in (MAIN, NEXT)] == [1, 1]


def test_of_two_pushes_at_once_stream_param_tells_whose_picture_it_is(
    connection: psycopg.Connection[Any],
) -> None:
    given(
        connection,
        started(MAIN, 0, stream_param="line=main"),
        started(NEXT, 1, stream_param="line=backup"),
        picture(30, stream_param="line=backup"),
        picture(31),
        stopped(MAIN, 60),
        stopped(NEXT, 60),
    )
    assert [(sequence, confidence) for _, sequence, confidence, _ in attributed(connection)] == [
        (NEXT, "probable"),
        (MAIN, "ambiguous"),
    ]


def test_of_two_contents_of_a_start_the_earlier_counts_and_the_other_is_a_rival(
    connection: psycopg.Connection[Any],
) -> None:
    given(connection, started(MAIN, 7), started(MAIN, 0), started(MAIN, 9))
    (entry,) = timeline(connection)
    assert (entry.at_ms, entry.deliveries, len(entry.rivals or ())) == (NOON_S * 1000, 3, 2)
    assert len(sessions(connection)[MAIN].fold.starts) == 3


def test_a_content_without_a_readable_time_stands_at_its_receipt_until_one_with_a_time_comes(
    connection: psycopg.Connection[Any],
) -> None:
    given(connection, stopped(MAIN, 0, event_time="soon"))
    assert [(row.at_ms, row.because) for row in timeline(connection)] == [(NOON_S * 1000, "no_time")]
    given(connection, started(MAIN, -60), stopped(MAIN, -5), picture(-9, pic_url="/a.jpg"))
    assert [(row.kind, row.at_ms, row.sequence, row.because) for row in timeline(connection)] == [
        ("push_started", (NOON_S - 60) * 1000, MAIN, None),
        ("screenshot", (NOON_S - 9) * 1000, MAIN, None),
        ("push_stopped", (NOON_S - 5) * 1000, MAIN, None),
    ]


def test_the_same_picture_without_a_readable_time_is_another_notification(
    connection: psycopg.Connection[Any],
) -> None:
    given(connection, picture(0, create_time=[], pic_url="/a.jpg"), picture(-9, pic_url="/a.jpg"))
    assert sorted(row.at_ms for row in timeline(connection)) == [(NOON_S - 9) * 1000, NOON_S * 1000]


def test_a_file_told_of_again_with_other_facts_is_counted_once_with_what_counts(
    connection: psycopg.Connection[Any],
) -> None:
    given(connection, started(MAIN, 0), file("f1", 60, 50), file("f1", 80, 70), file("f1", 60, 40))
    row = sessions(connection)[MAIN]
    assert (row.recordings, row.files_ms, row.recording_bytes) == (1, 70_000, 70_000)


def test_a_sequence_under_two_streams_is_two_sessions(connection: psycopg.Connection[Any]) -> None:
    given(connection, started(MAIN, 0), new_event(push_started("other", MAIN, NOON_S)))
    rows = connection.execute("SELECT stream_id FROM sessions ORDER BY 1").fetchall()
    assert rows == [("other",), ("room",)]


def test_what_names_no_stream_or_no_sequence_is_passed_over_without_harm(
    connection: psycopg.Connection[Any],
) -> None:
    given(
        connection,
        new_event(b'{"event_type":1}'),
        new_event(b'{"event_type":0,"stream_id":"room"}'),
        new_event(b'{"event_type":777,"stream_id":"room"}'),
        new_event(b'{"event_type":100,"stream_id":"room"}'),
        started(MAIN, 0),
    )
    assert list(sessions(connection)) == [MAIN]
    assert (stream(connection).others, stream(connection).recordings) == (1, 1)


def test_a_checkpoint_that_somebody_else_has_moved_is_left_alone(
    connection: psycopg.Connection[Any],
) -> None:
    given(connection, started(MAIN, 0))
    store(connection, [stopped(MAIN, 60)])
    with pytest.raises(ProjectionMoved, match="another runner"):
        take_in(connection, [SessionsView(connection, SCHEMA)])
    assert not sessions(connection)[MAIN].ended
    project(connection)
    assert (sessions(connection)[MAIN].ended, sessions(connection)[MAIN].deliveries) == (True, 2)


def test_rows_and_checkpoint_come_together_or_not_at_all(connection: psycopg.Connection[Any]) -> None:
    class Breaks(ProjectionView):
        """A second projection that loses the store after the first has written."""

        name, version, tables = "breaks", 1, ()

        def take_in(self, events: object) -> None:
            raise psycopg.OperationalError("the connection is lost")

    store(connection, [started(MAIN, 0)])
    both = (*SESSIONS, Breaks)
    projection.checkpoints(connection, both)
    views = [each(connection, SCHEMA) for each in both]
    with pytest.raises(psycopg.OperationalError):
        take_in(connection, views)
    assert sessions(connection) == {}
    assert list(views[0].memory) == []
    assert projection.checkpoints(connection, both) == {"sessions": 0, "breaks": 0}
    project(connection)
    assert list(sessions(connection)) == [MAIN]


@pytest.mark.parametrize("lasted_ms", [30 * 365 * 86_400 * 1000, 2**63 - 1])
def test_a_stop_whose_duration_cannot_be_takes_no_time_that_others_run_in(
    connection: psycopg.Connection[Any], lasted_ms: int
) -> None:
    given(
        connection,
        started(MAIN, 0),
        stopped(MAIN, 0, event_time="soon", push_duration=lasted_ms),
        started(NEXT, 100),
        picture(150),
    )
    assert connection.execute("SELECT position, error FROM parked").fetchall() == []
    rows = sessions(connection)
    assert (rows[MAIN].ended, rows[MAIN].span_until_ms) == (True, NOON_S * 1000)
    (shot,) = [row for row in timeline(connection) if row.kind == "screenshot"]
    assert (shot.sequence, shot.confidence) == (NEXT, None)  # nothing else comes near
