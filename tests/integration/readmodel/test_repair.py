"""One stream put right, projections verified, and poison events parked and tried again."""

from collections.abc import Sequence
from typing import Any

import psycopg
import pytest

from streamledger.domain.errors import StreamUnknown
from streamledger.operations.rebuild import Order
from streamledger.operations.repair_stream import repair_stream
from streamledger.operations.verify_projections import verify_projections
from streamledger.postgres.connection import Database
from streamledger.readmodel.facts import Fact
from streamledger.readmodel.session_projection import PROJECTIONS, SessionsProjection
from streamledger.readmodel.unparking import retry_parked
from streamledger.simulator.truth import Shape
from tests.integration.readmodel.histories import bodies, digests, opened, project, rows_of, store

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
