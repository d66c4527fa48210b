"""The append: versions per stream, positions in order, caps of the quarantine, and no change afterwards."""

from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from streamledger.ledger import reader
from streamledger.ledger.acts import Actor
from streamledger.ledger.application import Batch, Ledger, environment
from streamledger.ledger.quarantining import QuarantineCaps
from streamledger.ledger.reader import HeadMismatch
from streamledger.operations.diagnose import diagnose
from streamledger.postgres.connection import Database, connect
from streamledger.postgres.schema import migrate
from tests.deliveries import AMPLE, LEDGER, NOON_S, any_event, new_event, push_started, quarantined, store


def open_connection(database: Database) -> psycopg.Connection[Any]:
    return connect(database, application_name="test")


def bad_findings(connection: psycopg.Connection[Any]) -> list[str]:
    return [each.detail for each in diagnose(connection, NOON_S * 1_000_000) if each.level == "bad"]


def test_versions_count_per_stream_and_positions_rise_in_the_order_of_the_batch(
    any_database: Database,
) -> None:
    streams = ["a", "b", "a", "c", "a", "b"]
    with open_connection(any_database) as connection:
        first = [any_event(stream) for stream in streams]
        second = [any_event(stream) for stream in reversed(streams)]
        positions = [*store(connection, first).positions, *store(connection, second).positions]
        events = reader.read_after(connection, 0, 100)
    assert positions == sorted(set(positions))
    assert [event.position for event in events] == positions
    assert [event.delivery_id for event in events] == [str(each.delivery_id) for each in first + second]
    assert [(event.originator_id, event.originator_version) for event in events] == [
        ("a", 1),
        ("b", 1),
        ("a", 2),
        ("c", 1),
        ("a", 3),
        ("b", 2),
        ("b", 3),
        ("a", 4),
        ("c", 2),
        ("a", 5),
        ("b", 4),
        ("a", 6),
    ]


def test_what_is_read_is_what_was_appended(database: Database) -> None:
    body = b'{"event_type":1,\xe3\x80\x80"stream_id":"room","sequence":"7"} //'
    with open_connection(database) as connection:
        store(connection, [new_event(body, received_s=NOON_S + 0.000001)])
        (event,) = reader.read_after(connection, 0, 100)
    assert event.name == "push-started.v1"
    assert event.delivery.body == body
    assert event.delivery.received_at_us == NOON_S * 1_000_000 + 1
    assert event.delivery.mended == ("json5",)


def test_pages_of_any_size_give_the_whole_ledger_once(database: Database) -> None:
    with open_connection(database) as connection:
        positions = store(connection, [any_event() for _ in range(25)]).positions
        for page_size in (1, 7, 25, 100):
            found = [event.position for event in reader.read_all(connection, page_size=page_size)]
            assert found == list(positions)
        assert reader.head(connection) == positions[-1]
        at = reader.read_at(connection, [positions[3], positions[-1] + 5, positions[1]])
    assert [event.position for event in at] == [positions[1], positions[3]]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_events SET topic = 'x'",
        "UPDATE ledger_events SET topic = topic WHERE false",
        "DELETE FROM ledger_events",
        "TRUNCATE ledger_events",
    ],
)
def test_the_database_refuses_every_change_of_the_ledger(any_database: Database, statement: str) -> None:
    with open_connection(any_database) as connection:
        store(connection, [any_event()])
        with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
            connection.execute(statement)
        assert len(reader.read_after(connection, 0, 10)) == 1


def test_a_batch_that_fails_leaves_nothing_behind_not_even_a_gap(any_database: Database) -> None:
    with open_connection(any_database) as connection:
        store(connection, [any_event()])
        twice = any_event()
        with pytest.raises(psycopg.errors.UniqueViolation):
            store(connection, [any_event(), twice, twice], [quarantined("unsigned")])
        assert store(connection, [any_event()]).positions == [2]
        assert [event.position for event in reader.read_after(connection, 0, 10)] == [1, 2]
        assert connection.execute("SELECT count(*) FROM quarantine").fetchone() == (0,)
        assert bad_findings(connection) == []


def test_positions_count_the_events_whatever_came_in_by_which_command(database: Database) -> None:
    actor = Actor(by="operator", reason="", at_us=NOON_S * 1_000_000)
    with open_connection(database) as connection:
        store(connection, [any_event(), any_event()])
        assert LEDGER.act(connection, "token-created", actor, {"name": "ops"}) == 3
        known = any_event()
        assert LEDGER.take_over(connection, [known, any_event(), known]) == 2
        assert LEDGER.take_over(connection, [any_event(), known]) == 1
        assert store(connection, [any_event()]).positions == [7]
        assert [event.position for event in reader.read_all(connection)] == list(range(1, 8))
        assert reader.head(connection) == 7
        counted = counters(connection)
        assert (counted["ledger"], counted["acted"], counted["imported"]) == (3, 1, 3)
        assert bad_findings(connection) == []


def test_a_head_that_is_not_the_last_position_is_told_before_anything_is_appended(database: Database) -> None:
    with open_connection(database) as connection:
        store(connection, [any_event(), any_event()])
        reader.check_head(connection)
        for wrong in ("UPDATE ledger_head SET position = 1", "DELETE FROM ledger_head"):
            connection.execute(wrong.encode())
            with pytest.raises(HeadMismatch, match="its last event is at 2"):
                reader.check_head(connection)
        connection.execute("INSERT INTO ledger_head (position) VALUES (1)")
        assert bad_findings(connection) == ["the head says 1, of 2 events the last is at 2"]
        with pytest.raises(psycopg.errors.UniqueViolation):
            store(connection, [any_event()])


def test_who_owns_the_ledger_without_being_a_superuser_may_not_change_it_even_without_triggers(
    database: Database,
) -> None:
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"CREATE ROLE owner_of_{name} LOGIN")
        connection.execute(f"CREATE SCHEMA plain AUTHORIZATION owner_of_{name}")
        try:
            plain = Database(make_conninfo(database.dsn, user=f"owner_of_{name}"), "plain")
            migrate(plain)
            with connect(plain, application_name="test") as owner:
                Ledger(environment(plain)).receive(owner, Batch(events=[any_event()]), AMPLE)
                owner.execute("ALTER TABLE ledger_events DISABLE TRIGGER USER")
                for statement in ("UPDATE ledger_events SET topic = 'x'", "DELETE FROM ledger_events"):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        owner.execute(statement.encode())
        finally:
            connection.execute(f"DROP OWNED BY owner_of_{name} CASCADE")
            connection.execute(f"DROP ROLE owner_of_{name}")


def test_a_schema_without_triggers_loads_where_citus_takes_none_and_that_is_said(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    dsn = make_conninfo(database.dsn, options="-c citus.enable_unsafe_triggers=off")
    migrate(Database(dsn, "sharded"))
    for schema, said in (("streamledger", 0), ("sharded", 1)):
        with connect(Database(database.dsn, schema), application_name="test") as connection:
            reader.check_head(connection)
        assert len(caplog.records) == said
    with psycopg.connect(database.dsn) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'sharded.ledger_events'::regclass"
        ).fetchone()
    assert found == (0,)


def test_each_budget_of_the_quarantine_has_its_own_cap_of_rows(any_database: Database) -> None:
    caps = QuarantineCaps(refused_rows_max=3, refused_bytes_max=999, signed_rows_max=2, signed_bytes_max=999)
    with open_connection(any_database) as connection:
        strangers = [quarantined(reason) for reason in ("unsigned", "malformed", "bad_signature", "unsigned")]
        late = [quarantined(reason) for reason in ("expired", "too_far_ahead", "expired")]
        stored = store(connection, refused=[*strangers, *late], caps=caps)
        assert stored.kept == {each.delivery_id for each in strangers[:3] + late[:2]}
        assert not store(
            connection, refused=[quarantined("unsigned"), quarantined("expired")], caps=caps
        ).kept
        assert counters(connection) == {
            "received": 9,
            "quarantine:unsigned": 1,
            "quarantine:malformed": 1,
            "quarantine:bad_signature": 1,
            "refused:unsigned": 2,
            "quarantine:expired": 1,
            "quarantine:too_far_ahead": 1,
            "refused:expired": 2,
        }
        assert bad_findings(connection) == []


def test_the_cap_of_bytes_counts_what_is_kept_already(database: Database) -> None:
    caps = QuarantineCaps(refused_rows_max=99, refused_bytes_max=100, signed_rows_max=99, signed_bytes_max=10)
    with open_connection(database) as connection:
        first = [quarantined("unsigned", b"x" * 60), quarantined("unsigned", b"x" * 41)]
        assert store(connection, refused=first, caps=caps).kept == {first[0].delivery_id}
        fits, too_large = quarantined("malformed", b"x" * 40), quarantined("malformed", b"x")
        assert store(connection, refused=[fits], caps=caps).kept == {fits.delivery_id}
        assert not store(connection, refused=[too_large], caps=caps).kept
        usage = connection.execute(
            "SELECT budget, rows, bytes FROM quarantine_usage ORDER BY budget"
        ).fetchall()
        assert usage == [("refused", 2, 100), ("released", 0, 0), ("signed", 0, 0)]
        assert bad_findings(connection) == []


def test_received_is_ledger_plus_quarantine_plus_counted_refusals(database: Database) -> None:
    with open_connection(database) as connection:
        store(
            connection,
            [any_event() for _ in range(3)],
            [quarantined("expired"), quarantined("malformed")],
            counts={"refused:path_token": 4},
        )
        assert counters(connection) == {
            "received": 9,
            "ledger": 3,
            "quarantine:expired": 1,
            "quarantine:malformed": 1,
            "refused:path_token": 4,
        }
        assert bad_findings(connection) == []
        connection.execute("UPDATE intake_counters SET count = count + 1 WHERE outcome = 'received'")
        assert len(bad_findings(connection)) == 1


def test_a_name_that_begins_with_a_tilde_cannot_pose_as_a_kind(database: Database) -> None:
    with open_connection(database) as connection:
        store(
            connection,
            [new_event(push_started("~event-type-1", "7", NOON_S)), new_event(b'{"event_type":1}')],
        )
        events = reader.read_after(connection, 0, 10)
    assert [event.originator_id for event in events] == ["~~event-type-1", "~event-type-1"]


def counters(connection: psycopg.Connection[Any]) -> dict[str, int]:
    return dict(connection.execute("SELECT outcome, count FROM intake_counters").fetchall())
