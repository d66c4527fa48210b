"""One stream put right, projections verified, and poison events parked and tried again."""

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from streamledger.domain.errors import ParameterInvalid, StreamUnknown
from streamledger.ledger import transaction
from streamledger.ledger.transaction import Batch
from streamledger.operations.export_table import TABLE_KEYS
from streamledger.operations.rebuild import Order
from streamledger.operations.repair_stream import DigestsNotCounted, ProjectionsApart, repair_stream
from streamledger.operations.verify_projections import verify_projections
from streamledger.postgres.connection import Database, connect
from streamledger.postgres.embedded import EmbeddedServer
from streamledger.readmodel.facts import Fact
from streamledger.readmodel.rebuild.crew import RebuildCancelled
from streamledger.readmodel.session_projection import PROJECTIONS, SessionsProjection
from streamledger.readmodel.unparking import retry_parked
from streamledger.simulator.truth import Shape
from tests.conftest import clone
from tests.integration.readmodel.histories import (
    CAPS,
    STARTS_AT_MS,
    bodies,
    digests,
    event_of,
    opened,
    project,
    rows_of,
    store,
)

SHAPE = Shape(streams=3, sessions_per_stream=3, duration_s=600, stream_prefix="room")


def tamper(connection: psycopg.Connection[Any], stream_id: str) -> None:
    connection.execute("UPDATE sessions SET screenshots = 99 WHERE stream_id = %s", (stream_id,))
    connection.execute("DELETE FROM timeline WHERE stream_id = %s AND kind = 'screenshot'", (stream_id,))
    connection.execute("INSERT INTO streams VALUES ('invented', 1, 1, 1, 1, 1, 1, 1, 1)")


def test_a_tampered_stream_is_repaired_and_no_other_row_is_touched(database: Database) -> None:
    with opened(database) as connection:
        found = bodies(1, SHAPE)
        store(connection, database.schema, found[: len(found) // 2])
        project(connection, database.schema)
        rows = rows_of(connection)
        stream_id = connection.execute("SELECT min(stream_id) FROM streams").fetchall()[0][0]
        places = "SELECT stream_id, sequence, ctid FROM sessions WHERE stream_id <> %s ORDER BY 1, 2"
        others = connection.execute(places, (stream_id,)).fetchall()
        tamper(connection, stream_id)
        tried = repair_stream(database, PROJECTIONS, stream_id, clock_us=lambda: 1, dry_run=True)
        assert {each.table for each in tried.differences if each.changed or each.added} == {
            "sessions",
            "timeline",
        }
        assert rows_of(connection) != rows
        done = repair_stream(database, PROJECTIONS, stream_id, clock_us=lambda: 1)
        assert done.repaired
        assert connection.execute(places, (stream_id,)).fetchall() == others
        assert digests(connection)["sessions"] is not None
        repair_stream(database, PROJECTIONS, "invented", clock_us=lambda: 1)
        assert rows_of(connection) == rows


TABLES = [table for each in PROJECTIONS for table in each.tables]
KEYS = TABLE_KEYS
DAYS_US = 3 * 86_400 * 1_000_000


def store_over_days(connection: psycopg.Connection[Any], database: Database, found: list[bytes]) -> None:
    """As `store`, but received over six days, one stream on days of its own."""
    step_us = DAYS_US // len(found)
    last = max(event_of(body, 0).originator_id for body in found)
    events = []
    for at, body in enumerate(found):
        received_us = STARTS_AT_MS * 1000 + step_us * at
        events.append(event_of(body, received_us))
        if events[-1].originator_id == last:
            events[-1] = event_of(body, received_us + DAYS_US)
    transaction.store(connection, database.schema, Batch(events=events), CAPS)


def column_of(connection: psycopg.Connection[Any], table: str) -> str:
    """A column that is a number and no part of the key."""
    names = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
        " AND atttypid IN ('int4'::regtype, 'int8'::regtype) ORDER BY attnum DESC",
        (table,),
    ).fetchall()
    return next(name for (name,) in names if name not in KEYS[table])


def whose_rows(connection: psycopg.Connection[Any], table: str, stream_id: str) -> str:
    """The condition for the rows that a repair of the stream may write: SQL without parameters."""
    if (
        "stream_id" in KEYS[table]
        or connection.execute(
            "SELECT FROM pg_attribute WHERE attrelid = %s::regclass AND attname = 'stream_id'", (table,)
        ).fetchall()
    ):
        return f"stream_id = '{stream_id}'"
    unit = {"day": 86_400_000, "minute_ms": 60_000}[KEYS[table][0]]
    factor = 1 if KEYS[table][0] == "day" else unit
    return (
        f"{KEYS[table][0]} IN (SELECT received_ms / {unit} * {factor} FROM deliveries"
        f" WHERE stream_id = '{stream_id}')"
    )


def tamper_with(connection: psycopg.Connection[Any], table: str, how: str, whose: str) -> None:
    """One row changed, deleted or invented: one that a repair of the stream must put right."""
    one = f"ctid = (SELECT ctid FROM {table} WHERE {whose} ORDER BY ctid LIMIT 1)"
    if how == "changed":
        column = column_of(connection, table)
        connection.execute(f"UPDATE {table} SET {column} = coalesce({column}, 0) / 3 + 7 WHERE {one}")
    elif how == "deleted":
        connection.execute(f"DELETE FROM {table} WHERE {one}")
    else:
        last = KEYS[table][-1]
        connection.execute(
            f"INSERT INTO {table} SELECT (jsonb_populate_record(NULL::{table}, to_jsonb(own) ||"
            f" jsonb_build_object('{last}', CASE WHEN pg_typeof(own.{last}) = 'text'::regtype"
            " THEN to_jsonb('invented'::text) ELSE to_jsonb(99999999) END))).*"
            f" FROM {table} AS own WHERE {one}"
        )


def unsound(database: Database) -> list[str]:
    """The projections that `verify` finds a fault with."""
    found = verify_projections(database, Order(projections=PROJECTIONS), clock_us=lambda: 1)
    return [each.projection for each in found if not each.sound]


def places_of(connection: psycopg.Connection[Any], but: dict[str, str]) -> dict[str, list[Any]]:
    """Where each row lies and who wrote it, less those of some condition."""
    return {
        table: connection.execute(
            f"SELECT ctid::text, xmin::text, own::text FROM {table} AS own"
            f" WHERE NOT coalesce({but[table]}, false) ORDER BY ctid"
        ).fetchall()
        for table in TABLES
    }


@pytest.fixture(scope="module")
def over_days(postgres_server: EmbeddedServer, template_database: str) -> Iterator[str]:
    """The name of a database with a history of six days and its read model, to be cloned."""
    with clone(postgres_server.dsn, template_database) as database:
        with opened(database) as connection:
            store_over_days(connection, database, bodies(1, SHAPE))
            project(connection, database.schema)
        yield conninfo_to_dict(database.dsn)["dbname"]


@pytest.mark.parametrize("how", ["changed", "deleted", "invented"])
@pytest.mark.parametrize("table", TABLES)
def test_whatever_was_done_to_a_streams_rows_is_undone_and_no_other_row_is_written(
    postgres_server: EmbeddedServer, over_days: str, table: str, how: str
) -> None:
    with clone(postgres_server.dsn, over_days) as database, opened(database) as connection:
        rows, marks = rows_of(connection), digests(connection)
        stream_id = connection.execute("SELECT min(stream_id) FROM streams").fetchall()[0][0]
        whose = {each: whose_rows(connection, each, stream_id) for each in TABLES}
        before = places_of(connection, whose)
        assert all(before.values())
        tamper_with(connection, table, how, whose[table])
        assert rows_of(connection)[table] != rows[table]
        assert unsound(database) == [each.name for each in PROJECTIONS if table in each.tables]
        if (table, how) == ("streams", "invented"):
            stream_id = "invented"
        done = repair_stream(database, PROJECTIONS, stream_id, clock_us=lambda: 1)
        wrong = {each.table: each.changed + each.added + each.removed for each in done.differences}
        assert {name: count for name, count in wrong.items() if count} == {table: 1}
        assert (rows_of(connection), digests(connection)) == (rows, marks)
        if how == "changed":  # what is equal to rows and digests that were sound is sound
            assert unsound(database) == []
        assert places_of(connection, whose) == before
        if stream_id == "invented":
            with pytest.raises(StreamUnknown):  # now it is
                repair_stream(database, PROJECTIONS, stream_id, clock_us=lambda: 1)


def test_of_the_counts_of_a_day_only_the_wrong_ones_are_written(database: Database) -> None:
    with opened(database) as connection:
        store(connection, database.schema, bodies(1, SHAPE))  # one day, one minute
        project(connection, database.schema)
        stream_id = connection.execute("SELECT min(stream_id) FROM streams").fetchall()[0][0]
        for table in ("delivery_days", "minutes"):
            tamper_with(connection, table, "changed", "true")
            right = f"SELECT ctid::text, xmin::text, own::text FROM {table} AS own ORDER BY ctid"
            before = connection.execute(right).fetchall()
            assert len(before) > 1
            tried = repair_stream(database, PROJECTIONS, stream_id, clock_us=lambda: 1, dry_run=True)
            assert {each.table: each.changed for each in tried.differences}[table] == 1
            assert connection.execute(right).fetchall() == before
            repair_stream(database, PROJECTIONS, stream_id, clock_us=lambda: 1)
            after = connection.execute(right).fetchall()
            assert len(set(before) - set(after)) == len(set(after) - set(before)) == 1


def test_what_is_added_up_is_not_repaired_without_what_it_is_added_up_from(database: Database) -> None:
    minutes = [each for each in PROJECTIONS if each.name == "minutes"]
    with pytest.raises(ParameterInvalid, match="deliveries too"):
        repair_stream(database, minutes, "room", clock_us=lambda: 1)


def test_projections_that_stand_apart_are_not_repaired(database: Database) -> None:
    with opened(database) as connection:
        found = bodies(1, SHAPE)
        store(connection, database.schema, found[:50])
        project(connection, database.schema)
        rows = rows_of(connection)
        store(connection, database.schema, found[50:])
        project(connection, database.schema, projections=PROJECTIONS[:1])
        stream_id = connection.execute("SELECT min(stream_id) FROM streams").fetchall()[0][0]
        with pytest.raises(ProjectionsApart):
            repair_stream(database, PROJECTIONS, stream_id, clock_us=lambda: 1)
        project(connection, database.schema)
        repair_stream(database, PROJECTIONS, stream_id, clock_us=lambda: 1)
        assert rows != rows_of(connection)
        assert unsound(database) == []


def test_a_repair_interrupted_behind_its_exchange_says_that_the_rows_are_repaired(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> int:
        raise KeyboardInterrupt

    with opened(database) as connection:
        store(connection, database.schema, bodies(1, SHAPE)[:100])
        project(connection, database.schema)
        rows = rows_of(connection)
        stream_id = connection.execute("SELECT min(stream_id) FROM streams").fetchall()[0][0]
        connection.execute("DELETE FROM sessions WHERE stream_id = %s", (stream_id,))
        monkeypatch.setattr("streamledger.operations.repair_stream.correct", interrupt)
        with pytest.raises(DigestsNotCounted, match="are repaired"):
            repair_stream(database, PROJECTIONS, stream_id, clock_us=lambda: 1)
        assert rows_of(connection) == rows
        assert connection.execute("SELECT FROM pg_tables WHERE tablename LIKE '%%\\_g0'").fetchall() == []


@pytest.mark.parametrize(
    ("asleep_in", "outcome"), [("compare", RebuildCancelled), ("correct", DigestsNotCounted)]
)
def test_a_signal_in_the_midst_of_a_statement_of_a_repair_is_told_as_what_it_did(
    database: Database, monkeypatch: pytest.MonkeyPatch, asleep_in: str, outcome: type[Exception]
) -> None:
    def last_an_hour(connection: psycopg.Connection[Any], *_: Any) -> None:
        connection.execute("SELECT pg_sleep(3600)")

    asleep = "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    with opened(database) as connection, connect(database, application_name="other") as other:
        store(connection, database.schema, bodies(1, SHAPE)[:100])
        project(connection, database.schema)
        stream_id = connection.execute("SELECT min(stream_id) FROM streams").fetchall()[0][0]
        right = rows_of(connection)
        connection.execute("DELETE FROM sessions WHERE stream_id = %s", (stream_id,))
        tampered = rows_of(connection)
        monkeypatch.setattr(f"streamledger.operations.repair_stream.{asleep_in}", last_an_hour)
        with pytest.raises(outcome):
            repair_stream(
                database,
                PROJECTIONS,
                stream_id,
                clock_us=lambda: 1,
                is_cancelled=lambda: bool(other.execute(asleep).fetchall()),
            )
        assert not other.execute(asleep).fetchall()
        assert rows_of(connection) == (tampered if outcome is RebuildCancelled else right)
        assert connection.execute("SELECT FROM pg_tables WHERE tablename LIKE '%%\\_g0'").fetchall() == []


def test_a_parked_event_that_a_repair_takes_in_is_parked_no_longer(database: Database) -> None:
    with opened(database) as connection:
        store(connection, database.schema, bodies(1, SHAPE))
        choosy = Choosy()
        row = connection.execute(
            "SELECT max(notification_id), originator_id FROM ledger_events WHERE topic LIKE 'screenshot%'"
            " GROUP BY originator_id ORDER BY 2 LIMIT 1"
        ).fetchall()[0]
        choosy.poison = frozenset(row[:1])
        project(connection, database.schema, projections=[choosy, *PROJECTIONS[1:]])
        assert connection.execute("SELECT position FROM parked").fetchall() == [row[:1]]
        repair_stream(database, PROJECTIONS, row[1], clock_us=lambda: 1)
        assert connection.execute("SELECT position FROM parked").fetchall() == []
        assert unsound(database) == []


def test_what_the_runner_made_of_tampered_rows_is_put_right_with_the_digest(database: Database) -> None:
    with opened(database) as connection:
        found = bodies(1, SHAPE)
        store(connection, database.schema, found[: len(found) // 2])
        project(connection, database.schema)
        stream_id = connection.execute("SELECT min(stream_id) FROM streams").fetchall()[0][0]
        connection.execute("UPDATE sessions SET screenshots = 99 WHERE stream_id = %s", (stream_id,))
        store(connection, database.schema, found[len(found) // 2 :])
        project(connection, database.schema)
        verified = verify_projections(database, Order(projections=PROJECTIONS, workers=1), clock_us=lambda: 1)
        assert not verified[0].sound
        repair_stream(database, PROJECTIONS, stream_id, clock_us=lambda: 1)
        verified = verify_projections(database, Order(projections=PROJECTIONS, workers=1), clock_us=lambda: 1)
        assert verified[0].sound
        assert verified[0].kept_digest == verified[0].row_digest == verified[0].history_digest


def test_a_stream_that_nobody_named_is_unknown(database: Database) -> None:
    with pytest.raises(StreamUnknown):
        repair_stream(database, PROJECTIONS, "nobody", clock_us=lambda: 1)


class Choosy(SessionsProjection):
    """Cannot take in what its class lists as poison."""

    poison: frozenset[int] = frozenset()

    def take_in(self, connection: psycopg.Connection[Any], facts: Sequence[Fact], suffix: str = "") -> int:
        if any(fact.position in self.poison for fact in facts):
            raise RuntimeError("poison\nand more")
        return super().take_in(connection, facts, suffix)


def test_poison_events_are_parked_and_taken_in_when_the_version_changes(database: Database) -> None:
    with opened(database) as connection:
        store(connection, database.schema, bodies(1, SHAPE))
        choosy = Choosy()
        positions = [
            row[0]
            for row in connection.execute(
                "SELECT max(notification_id) FROM ledger_events WHERE topic LIKE 'screenshot%'"
                " GROUP BY originator_id"
            ).fetchall()
        ]
        choosy.poison = frozenset(positions)
        project(connection, database.schema, projections=[choosy])
        parked = "SELECT position, error, version, tries FROM parked ORDER BY position"
        expected = [(position, "RuntimeError: poison", choosy.version, 1) for position in sorted(positions)]
        assert connection.execute(parked).fetchall() == expected
        head = connection.execute("SELECT max(notification_id) FROM ledger_events").fetchall()[0][0]
        assert digests(connection)["sessions"][0] == head

        assert retry_parked(connection, choosy, 2) == (0, len(positions))
        assert connection.execute(parked).fetchall()[0][3] == 2
        choosy.poison = frozenset(positions[:1])
        assert retry_parked(connection, choosy, 2, only_of_other_versions=True) == (0, 0)
        choosy.version += 1
        assert retry_parked(connection, choosy, 2, only_of_other_versions=True) == (len(positions) - 1, 1)
        choosy.poison = frozenset()
        assert retry_parked(connection, choosy, 2) == (1, 0)
        verified = verify_projections(database, Order(projections=PROJECTIONS, workers=1), clock_us=lambda: 1)
        assert verified[0].sound


def test_an_event_of_a_later_version_is_parked_and_the_others_are_taken_in(database: Database) -> None:
    with opened(database) as connection:
        store(connection, database.schema, bodies(1, SHAPE))
        connection.execute(
            "INSERT INTO ledger_events (originator_id, originator_version, topic, state)"
            " VALUES ('x', 1, 'not-known-yet.v9', '')"
        )
        project(connection, database.schema)
        rows = connection.execute("SELECT projection, error FROM parked").fetchall()
        assert [name for name, _ in rows] == [each.name for each in PROJECTIONS]
        assert "not-known-yet.v9" in rows[0][1]
        assert rows_of(connection)["sessions"]
