"""The two roles of a ledger: the owner migrates, the program works."""

from pathlib import Path

import psycopg
import pytest

from streamledger.postgres.connection import Database, connect
from streamledger.postgres.embedded import start_embedded
from streamledger.postgres.roles import KEPT_TABLES, share_out
from streamledger.postgres.schema import migrate
from tests.deliveries import any_event, quarantined, store


def test_the_program_can_append_and_rebuild_and_changes_nothing_that_was_appended(tmp_path: Path) -> None:
    with start_embedded(tmp_path / "data") as server:
        owner, program = Database(server.owner_dsn), Database(server.dsn)
        migrate(owner)
        share_out(owner, "streamledger")
        share_out(owner, "streamledger")  # at each start
        with connect(program, application_name="test") as connection:
            assert store(connection, [any_event()], [quarantined("expired")]).positions == [1]
            for statement in (
                "UPDATE ledger_events SET topic = 'another'",
                "DELETE FROM ledger_events",
                "TRUNCATE ledger_events",
                "ALTER TABLE ledger_events DISABLE TRIGGER ALL",
                "DROP TABLE ledger_events",
                "DELETE FROM ledger_head",
                "UPDATE schema_migrations SET sha256 = ''",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement.encode())
            connection.execute("CREATE TABLE sessions_new (LIKE sessions INCLUDING ALL)")
            connection.execute("DROP TABLE sessions")
            connection.execute("ALTER TABLE sessions_new RENAME TO sessions")
            row = connection.execute("SELECT has_parameter_privilege('wal_compression', 'SET')").fetchone()
            assert row == (True,), "a rebuild's index pages would be pressed"
            kept = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
                " AND tableowner <> current_user ORDER BY 1"
            ).fetchall()
        assert [name for (name,) in kept] == sorted(KEPT_TABLES)
        migrate(owner)
        with connect(owner, application_name="test") as connection:
            connection.execute("ALTER TABLE sessions ADD COLUMN later int")  # as a migration to come may
