"""One stream put right, projections verified, and poison events parked and tried again."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from streamledger.domain.errors import StreamUnknown
from streamledger.domain.events import ForeignEvent
from streamledger.operations.export_table import TABLE_KEYS
from streamledger.operations.rebuild import Order, rebuild
from streamledger.operations.repair_stream import ProjectionsApart, repair_stream
from streamledger.operations.verify_projections import verify_projections
from streamledger.postgres.connection import Database, connect
from streamledger.postgres.embedded import EmbeddedServer
from streamledger.readmodel.fold.facts import Event
from streamledger.readmodel.projections.addresses import SendersView
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.projections.sessions import TABLES, SessionsView
from streamledger.readmodel.projections.unparking import retry_parked
from streamledger.readmodel.rebuild.worker_pool import RebuildCancelled
from streamledger.simulator.truth import Shape
from tests import deliveries
from tests.conftest import clone
from tests.integration.readmodel.histories import (
    bodies,
    opened,
    positions,
    project,
    rows_of,
    store,
)

SHAPE = Shape(streams=3, sessions_per_stream=3, duration_s=600, stream_prefix="room")


def tamper(connection: psycopg.Connection[Any], stream_id: str) -> None:
    connection.execute("UPDATE sessions SET screenshots = 99 WHERE stream_id = %s", (stream_id,))
    connection.execute("DELETE FROM timeline WHERE stream_id = %s AND kind = 'screenshot'", (stream_id,))
    connection.execute("INSERT INTO streams VALUES ('invented', 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)")


def test_a_tampered_stream_is_repaired_and_no_other_row_is_touched(database: Database) -> None:
    with opened(database) as connection:
        found = bodies(1, SHAPE)
        store(connection, found[: len(found) // 2])
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
        repair_stream(database, PROJECTIONS, "invented", clock_us=lambda: 1)
        assert rows_of(connection) == rows


REPAIRED = [table for table in TABLES if "stream_id" in TABLE_KEYS[table] or table == "repeats"]
"""Tables whose rows each belong to one stream; those that count over all are a rebuild's to put right."""


def column_of(connection: psycopg.Connection[Any], table: str) -> str:
    """A column that is a number and no part of the key."""
    names = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
        " AND atttypid IN ('int4'::regtype, 'int8'::regtype) ORDER BY attnum DESC",
        (table,),
    ).fetchall()
    return next((name for (name,) in names if name not in TABLE_KEYS[table]), "")


def tamper_with(connection: psycopg.Connection[Any], table: str, how: str, stream_id: str) -> None:
    """One row changed, deleted or invented: one that a repair of the stream must put right."""
    one = f"ctid = (SELECT ctid FROM {table} WHERE stream_id = '{stream_id}' ORDER BY ctid LIMIT 1)"
    if how == "changed":
        column = column_of(connection, table)
        change = f"{column} = coalesce({column}, 0) / 3 + 7" if column else "fold = fold || ' '"
        connection.execute(f"UPDATE {table} SET {change} WHERE {one}")
    elif how == "deleted":
        connection.execute(f"DELETE FROM {table} WHERE {one}")
    else:
        last = TABLE_KEYS[table][-1]
        connection.execute(
            f"INSERT INTO {table} SELECT (jsonb_populate_record(NULL::{table}, to_jsonb(own) ||"
            f" jsonb_build_object('{last}', CASE WHEN pg_typeof(own.{last}) = 'text'::regtype"
            " THEN to_jsonb('invented'::text) ELSE to_jsonb(9999) END))).*"
            f" FROM {table} AS own WHERE {one}"
        )


def unsound(database: Database) -> list[str]:
    """The projections that `verify` finds a fault with."""
    found = verify_projections(database, Order(projections=PROJECTIONS), clock_us=lambda: 1)
    return [each.projection for each in found if not each.sound]


def places_of(connection: psycopg.Connection[Any], stream_id: str) -> dict[str, list[Any]]:
    """Where each row lies and who wrote it, less those of a stream."""
    return {
        table: connection.execute(
            f"SELECT ctid::text, xmin::text, own::text FROM {table} AS own"
            " WHERE coalesce(to_jsonb(own) ->> 'stream_id' <> %s, true) ORDER BY ctid",
            (stream_id,),
        ).fetchall()
        for each in PROJECTIONS
        for table in each.tables
    }


@pytest.fixture(scope="module")
def projected(postgres_server: EmbeddedServer, template_database: str) -> Iterator[str]:
    """The name of a database with a history and its read model, to be cloned."""
    with clone(postgres_server.dsn, template_database) as database:
        opened(database, bodies(1, SHAPE)).close()
        yield conninfo_to_dict(database.dsn)["dbname"]


@pytest.mark.parametrize("how", ["changed", "deleted", "invented"])
@pytest.mark.parametrize("table", REPAIRED)
def test_whatever_was_done_to_a_streams_rows_is_undone_and_no_other_row_is_written(
    postgres_server: EmbeddedServer, projected: str, table: str, how: str
) -> None:
    with clone(postgres_server.dsn, projected) as database, opened(database) as connection:
        rows, marks = rows_of(connection), positions(connection)
        stream_id = connection.execute("SELECT min(stream_id) FROM streams").fetchall()[0][0]
        tamper_with(connection, table, how, stream_id)
        assert rows_of(connection)[table] != rows[table]
        if how == "changed":
            assert unsound(database) == ["sessions"]
        if (table, how) == ("streams", "invented"):
            stream_id = "invented"
        before = places_of(connection, stream_id)
        assert all(rows for table, rows in before.items() if table not in set(SendersView.tables))
        done = repair_stream(database, PROJECTIONS, stream_id, clock_us=lambda: 1)
        wrong = {each.table: each.changed + each.added + each.removed for each in done.differences}
        assert {name: count for name, count in wrong.items() if count} == {table: 1}
        assert (rows_of(connection), positions(connection)) == (rows, marks)
        assert places_of(connection, stream_id) == before
        if stream_id == "invented":
            with pytest.raises(StreamUnknown):  # now it is
                repair_stream(database, PROJECTIONS, stream_id, clock_us=lambda: 1)


def test_what_counts_over_all_streams_is_left_to_a_rebuild(database: Database) -> None:
    with opened(database, bodies(1, SHAPE)[:100]) as connection:
        stream_id = connection.execute("SELECT min(stream_id) FROM streams").fetchall()[0][0]
        connection.execute("UPDATE minutes SET deliveries = deliveries + 1")
        connection.execute("UPDATE delivery_days SET deliveries = deliveries + 1")
        done = repair_stream(database, PROJECTIONS, stream_id, clock_us=lambda: 1)
        assert {each.table for each in done.differences} == set(REPAIRED)
        assert unsound(database) == ["sessions", "tallies"]


def test_rows_that_were_repaired_are_not_overwritten_by_what_the_runner_had_in_memory(
    database: Database,
) -> None:
    with opened(database) as connection:
        found = bodies(1, SHAPE)
        store(connection, found[::2])
        project(connection, database.schema)
        connection.execute("UPDATE sessions SET deliveries = 99")
        views = [each(connection, database.schema) for each in PROJECTIONS]
        store(connection, found[1::2])
        project(connection, database.schema, views=views)
        for (stream_id,) in connection.execute("SELECT stream_id FROM streams").fetchall():
            repair_stream(database, PROJECTIONS, stream_id, clock_us=lambda: 1)
        assert unsound(database) == []
        store(connection, found)  # every session once more
        project(connection, database.schema, views=views)
        assert unsound(database) == []


def test_projections_that_stand_apart_are_not_repaired(database: Database) -> None:
    with opened(database) as connection:
        found = bodies(1, SHAPE)
        store(connection, found[:50])
        project(connection, database.schema)
        rows = rows_of(connection)
        store(connection, found[50:])
        project(connection, database.schema, projections=PROJECTIONS[:2])
        stream_id = connection.execute("SELECT min(stream_id) FROM streams").fetchall()[0][0]
        with pytest.raises(ProjectionsApart):
            repair_stream(database, PROJECTIONS, stream_id, clock_us=lambda: 1)
        project(connection, database.schema)
        repair_stream(database, PROJECTIONS, stream_id, clock_us=lambda: 1)
        assert rows != rows_of(connection)
        assert unsound(database) == []


def test_a_signal_in_the_midst_of_a_statement_of_a_repair_leaves_all_as_it_was(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def last_an_hour(connection: psycopg.Connection[Any], *_: Any) -> None:
        connection.execute("SELECT pg_sleep(3600)")

    asleep = "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    with opened(database) as connection, connect(database, application_name="other") as other:
        store(connection, bodies(1, SHAPE)[:100])
        project(connection, database.schema)
        stream_id = connection.execute("SELECT min(stream_id) FROM streams").fetchall()[0][0]
        connection.execute("DELETE FROM sessions WHERE stream_id = %s", (stream_id,))
        tampered = rows_of(connection)
        monkeypatch.setattr("streamledger.operations.repair_stream.compare", last_an_hour)
        with pytest.raises(RebuildCancelled):
            repair_stream(
                database,
                PROJECTIONS,
                stream_id,
                clock_us=lambda: 1,
                is_cancelled=lambda: bool(other.execute(asleep).fetchall()),
            )
        assert not other.execute(asleep).fetchall()
        assert rows_of(connection) == tampered
        assert connection.execute("SELECT FROM pg_tables WHERE tablename LIKE '%%\\_g0'").fetchall() == []


def test_a_parked_event_that_a_repair_takes_in_is_parked_no_longer(database: Database) -> None:
    with opened(database) as connection:
        store(connection, bodies(1, SHAPE))
        row = connection.execute(
            "SELECT max(notification_id), originator_id FROM ledger_events WHERE topic LIKE 'screenshot%'"
            " GROUP BY originator_id ORDER BY 2 LIMIT 1"
        ).fetchall()[0]
        choosy = choosy_of(row[0])
        project(connection, database.schema, projections=[PROJECTIONS[0], choosy, *PROJECTIONS[2:]])
        assert connection.execute("SELECT position FROM parked").fetchall() == [row[:1]]
        repair_stream(database, PROJECTIONS, row[1], clock_us=lambda: 1)
        assert connection.execute("SELECT position FROM parked").fetchall() == []
        repaired = rows_of(connection)
        rebuild(database, Order(projections=PROJECTIONS), clock_us=lambda: 1)
        whole = rows_of(connection)
        # Days count over all streams: they are a rebuild's to put right.
        assert {table for table in whole if repaired[table] != whole[table]} == {"delivery_days"}


def test_what_the_runner_made_of_tampered_rows_is_put_right(database: Database) -> None:
    with opened(database) as connection:
        found = bodies(1, SHAPE)
        store(connection, found[: len(found) // 2])
        project(connection, database.schema)
        stream_id = connection.execute("SELECT min(stream_id) FROM streams").fetchall()[0][0]
        connection.execute("UPDATE sessions SET screenshots = 99 WHERE stream_id = %s", (stream_id,))
        store(connection, found[len(found) // 2 :])
        project(connection, database.schema)
        verified = verify_projections(database, Order(projections=PROJECTIONS, workers=1), clock_us=lambda: 1)
        assert not verified[1].sound
        repair_stream(database, PROJECTIONS, stream_id, clock_us=lambda: 1)
        verified = verify_projections(database, Order(projections=PROJECTIONS, workers=1), clock_us=lambda: 1)
        assert verified[1].sound
        assert verified[1].live_digest == verified[1].history_digest


def test_a_stream_that_nobody_named_is_unknown(database: Database) -> None:
    with pytest.raises(StreamUnknown):
        repair_stream(database, PROJECTIONS, "nobody", clock_us=lambda: 1)


class Choosy(SessionsView):
    """Cannot take in what its class lists as poison."""

    poison: ClassVar[frozenset[int]] = frozenset()

    def take_in(self, events: Sequence[Event]) -> None:
        """As its parent, or not at all."""
        if any(event.position in self.poison for event in events):
            raise RuntimeError("poison\nand more")
        super().take_in(events)


def choosy_of(*poison: int) -> type[Choosy]:
    """A class with a list of its own."""
    return type("ChoosyOfItsOwn", (Choosy,), {"poison": frozenset(poison)})


def test_poison_events_are_parked_and_taken_in_when_the_version_changes(database: Database) -> None:
    with opened(database) as connection:
        found = bodies(1, SHAPE)
        store(connection, found)
        poison = [
            row[0]
            for row in connection.execute(
                "SELECT max(notification_id) FROM ledger_events"
                " WHERE topic LIKE 'screenshot%' OR topic LIKE 'push-started%' GROUP BY originator_id, topic"
            ).fetchall()
        ]
        choosy = choosy_of(*poison)
        views = [choosy(connection, database.schema)]
        project(connection, database.schema, projections=[choosy], views=views)
        parked = "SELECT position, error, version, tries FROM parked ORDER BY position"
        expected = [(position, "RuntimeError: poison", choosy.version, 1) for position in sorted(poison)]
        assert connection.execute(parked).fetchall() == expected
        head = connection.execute("SELECT max(notification_id) FROM ledger_events").fetchall()[0][0]
        assert positions(connection)["sessions"] == head

        schema = database.schema
        assert retry_parked(connection, schema, choosy, 2) == (0, len(poison))
        assert connection.execute(parked).fetchall()[0][3] == 2
        choosy.poison = frozenset(poison[:1])
        assert retry_parked(connection, schema, choosy, 2, only_of_other_versions=True) == (0, 0)
        choosy.version += 1
        assert retry_parked(connection, schema, choosy, 2, only_of_other_versions=True) == (
            len(poison) - 1,
            1,
        )
        choosy.poison = frozenset()
        assert retry_parked(connection, schema, choosy, 2) == (1, 0)
        store(connection, found)  # the runner goes on, with nothing old in memory
        project(connection, database.schema, projections=[choosy], views=views)
        project(connection, database.schema)
        assert unsound(database) == []


def test_an_event_of_a_later_version_is_parked_and_the_others_are_taken_in(database: Database) -> None:
    with opened(database) as connection:
        store(connection, bodies(1, SHAPE))
        unknown = ForeignEvent(originator_id="x", name="not-known-yet.v9", state=b"")
        deliveries.store(connection, [unknown])
        project(connection, database.schema)
        rows = connection.execute("SELECT projection, error FROM parked").fetchall()
        assert [name for name, _ in rows] == [each.name for each in PROJECTIONS]
        assert "not-known-yet.v9" in rows[0][1]
        assert rows_of(connection)["sessions"]
