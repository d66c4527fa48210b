"""What a dry run says would change: sessions, attributions and classes, in words a person understands."""

from typing import Any

import msgspec
import psycopg

from streamledger.cli.change_words import lines_of
from streamledger.domain.rebuild_answers import Change
from streamledger.operations.rebuild import Order, rebuild
from streamledger.operations.repair_stream import repair_stream
from streamledger.postgres.connection import Database
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.rebuild.comparison import read_kept
from tests import deliveries
from tests.deliveries import push_started, push_stopped, recording, screenshot
from tests.integration.readmodel.histories import opened, project

NOW_S = 1_713_731_478
NOW_US = NOW_S * 1_000_000


def store(connection: psycopg.Connection[Any], sent: list[tuple[dict[str, Any], int]]) -> None:
    """Bodies with the second of their receipt, in order."""
    deliveries.store(connection, [deliveries.new_event(body, at_s, at_s + 600) for body, at_s in sent])


def history() -> list[tuple[dict[str, Any], int]]:
    """Two pushes of one stream with media, one of another that gives signs, a start that is sent again."""
    start = push_started("room-1", "5", NOW_S - 4000)
    return [
        (start, NOW_S - 4000),
        (start, NOW_S - 3940),
        (push_stopped("room-1", "5", NOW_S - 3000, push_duration="1000000"), NOW_S - 3000),
        (push_started("room-1", "7", NOW_S - 2000), NOW_S - 2000),
        (recording("room-1", "a", NOW_S - 1800, 100), NOW_S - 1790),
        (recording("room-1", "b", NOW_S - 1700, 100), NOW_S - 1690),
        (push_stopped("room-1", "7", NOW_S - 1000, push_duration="1000000"), NOW_S - 1000),
        (push_started("room-2", "123", NOW_S - 600), NOW_S - 600),
        (screenshot("room-2", NOW_S - 10), NOW_S - 8),
    ]


def made_by_older_rules(connection: psycopg.Connection[Any]) -> None:
    """Rows as rules would have left them that believed otherwise."""
    for statement in (
        "UPDATE sessions SET rival_ms = 1713731000000 WHERE sequence = '123'",
        "UPDATE timeline SET at_ms = 1713730000000, until_ms = 1713730000000 WHERE stream_id = 'room-2'"
        " AND kind = 'screenshot'",
        "UPDATE timeline SET sequence = '5', confidence = 'probable' WHERE kind = 'recording'",
        "UPDATE sessions SET recordings = recordings + 2 WHERE sequence = '5'",
        "UPDATE sessions SET ended = false WHERE sequence = '7'",
        "UPDATE session_folds SET fold = jsonb_set(fold::jsonb, '{stops}', '[]')::text WHERE sequence = '7'",
        "UPDATE repeats SET judged_as = 'replay', try_number = NULL",
        "UPDATE projections SET fold_version = fold_version - 1",
    ):
        connection.execute(statement)


def run_dry(database: Database, **given: Any) -> list[Change]:
    order = Order(projections=PROJECTIONS, purpose="dry_run", **given)
    return rebuild(database, order, clock_us=lambda: NOW_US).changes


def test_a_dry_run_over_rows_of_older_rules_says_what_the_answers_would_say(database: Database) -> None:
    with opened(database) as connection:
        store(connection, history())
        project(connection, database.schema)
        assert run_dry(database) == []
        made_by_older_rules(connection)
        found = run_dry(database)
        told = "\n".join(lines_of(found))
        assert (
            "1 session: state suspect -> live\n    session 123 of room-2: suspect (newer_push) -> live"
            in told
        )
        stop = "2024-04-21T20:14:38Z"
        assert f"session 7 of room-1: live -> ended (its stop was {stop})" in told
        assert (
            "2 recordings: to another session\n    room-1: 2 recordings move, session 5 -> session 7" in told
        )
        assert "1 delivery: replay -> retry\n    delivery 2 of session 5 of room-1: replay -> retry" in told
        assert f"another stop\n    session 7 of room-1: none -> {stop}" in told
        kept = connection.execute(
            "SELECT differences::text FROM rebuilds ORDER BY id DESC LIMIT 1"
        ).fetchall()
        assert read_kept(kept[0][0])[1] == found


def test_the_repair_of_one_stream_says_the_same_of_it_alone(database: Database) -> None:
    with opened(database) as connection:
        store(connection, history())
        project(connection, database.schema)
        made_by_older_rules(connection)
        given: dict[str, Any] = {"clock_us": lambda: NOW_US, "dry_run": True}
        of_one = repair_stream(database, PROJECTIONS, "room-2", **given).changes
        assert [(each.what, each.before, each.after) for each in of_one] == [("state", "suspect", "live")]
        both = of_one + repair_stream(database, PROJECTIONS, "room-1", **given).changes
        names = {(each.what, each.before, each.after) for each in run_dry(database)}
        assert {(each.what, each.before, each.after) for each in both} == names


def test_examples_are_bounded_and_counts_are_not(database: Database) -> None:
    with opened(database) as connection:
        sent = []
        for number in range(30):
            stream = f"room-{number:02d}"
            sent += [
                (push_started(stream, f"9{number}", NOW_S - 900), NOW_S - 900),
                (screenshot(stream, NOW_S - 100), NOW_S - 98),
            ]
        store(connection, sent)
        project(connection, database.schema)
        connection.execute("DELETE FROM sessions WHERE sequence <> '90'")
        connection.execute("DELETE FROM session_folds WHERE sequence <> '90'")
        connection.execute("UPDATE timeline SET sequence = '' WHERE kind = 'screenshot'")
        found = {each.what: each for each in run_dry(database, examples_max=3)}
        assert (found["session"].count, len(found["session"].examples)) == (29, 3)
        assert (found["screenshot"].count, len(found["screenshot"].examples)) == (30, 3)
        assert (found["session"].before, found["session"].after) == (None, "live")
        assert [*lines_of([found["session"]])][-1] == "    and 26 more"
        assert [*lines_of([found["screenshot"]], 1)] == [
            "  30 screenshots: belonged to no session, belong to a session",
            "    room-00: 1 screenshot moves, no session -> session 90",
            "    and 29 more",
        ]
        assert msgspec.json.decode(msgspec.json.encode(found["session"]), type=Change) == found["session"]


def test_a_session_of_which_no_answer_can_be_made_counts_as_not_there(database: Database) -> None:
    with opened(database) as connection:
        store(connection, history())
        project(connection, database.schema)
        connection.execute("DELETE FROM session_folds WHERE sequence = '5'")
        connection.execute("UPDATE session_folds SET fold = '{\"starts\": 7}' WHERE sequence = '7'")
        (change,) = run_dry(database)
        assert (change.what, change.before, change.after, change.count) == ("session", None, "ended", 2)
