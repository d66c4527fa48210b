"""Migrations: applied once by any number of processes, never edited, never run backwards."""

import logging
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from streamledger.postgres.connection import Database, connect
from streamledger.postgres.errors import (
    MigrationChanged,
    MigrationFailed,
    MigrationFileInvalid,
    SchemaTooNew,
)
from streamledger.postgres.schema import migrate, read_migrations, statements_of

PROGRAM = """
import sys
from pathlib import Path
from streamledger.postgres.connection import Database
from streamledger.postgres.schema import migrate
sys.stdin.readline()
print(len(migrate(Database(sys.argv[1]), directory=Path(sys.argv[2]))))
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Two small migrations."""
    made = tmp_path / "migrations"
    made.mkdir()
    (made / "0001_first.sql").write_text("CREATE TABLE one (a text); INSERT INTO one VALUES ('100 %s');\n")
    (made / "0002_second.sql").write_text("CREATE TABLE two (b text);\n")
    return made


def test_migrations_are_applied_once_and_in_order(empty_database: Database, directory: Path) -> None:
    assert migrate(empty_database, directory=directory) == ["0001_first.sql", "0002_second.sql"]
    assert migrate(empty_database, directory=directory) == []
    with connect(empty_database, application_name="test") as connection:
        assert connection.execute("SELECT a FROM streamledger.one").fetchall() == [("100 %s",)]


def test_an_upgrade_says_what_it_is_at_and_a_new_store_says_nothing(
    empty_database: Database, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="streamledger"):
        migrate(empty_database, directory=directory)
        assert not caplog.messages
        (directory / "0003_third.sql").write_text("CREATE TABLE three (c text);\n")
        migrate(empty_database, directory=directory)
    assert caplog.messages == ["upgrading the store: 0003_third.sql", "the store is upgraded"]


def test_a_file_is_sent_statement_by_statement() -> None:
    text = rb"""-- first; of all
CREATE TABLE a (b text DEFAULT ''';''');  /* ; */
CREATE FUNCTION f() AS $x$ BEGIN; $$ ; END; $x$;
INSERT INTO "a;b" VALUES ($$;$$);
-- the end;
"""
    assert [each.split()[-1] for each in statements_of(text)] == [b"''';''')", b"$x$", b"($$;$$)"]
    assert statements_of(b"SELECT 1") == [b"SELECT 1"]


def test_the_migrations_of_this_release_leave_nothing_pending(any_database: Database) -> None:
    assert migrate(any_database) == []


def test_two_schemas_of_one_database_are_migrated_apart(empty_database: Database, directory: Path) -> None:
    other = Database(empty_database.dsn, schema="tenant_2")
    assert len(migrate(empty_database, directory=directory)) == 2
    assert len(migrate(other, directory=directory)) == 2


def test_eight_processes_that_start_at_once_apply_each_migration_once(
    empty_database: Database, directory: Path
) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, empty_database.dsn, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": ":".join(sys.path)},
        )
        for _ in range(8)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    outcomes = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, outcomes
    assert sum(int(out) for out, _ in outcomes) == 2


def test_an_applied_migration_that_was_edited_is_refused(empty_database: Database, directory: Path) -> None:
    migrate(empty_database, directory=directory)
    file = directory / "0001_first.sql"
    file.write_text(file.read_text() + "-- harmless\n")
    with pytest.raises(MigrationChanged, match=r"0001_first\.sql was changed after it was applied"):
        migrate(empty_database, directory=directory)


def test_line_ends_do_not_count_as_an_edit(empty_database: Database, directory: Path) -> None:
    migrate(empty_database, directory=directory)
    file = directory / "0001_first.sql"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert migrate(empty_database, directory=directory) == []


def test_a_schema_of_a_newer_release_is_refused(empty_database: Database, directory: Path) -> None:
    migrate(empty_database, directory=directory)
    (directory / "0002_second.sql").unlink()
    with pytest.raises(SchemaTooNew, match="is at version 2 and this release knows 1"):
        migrate(empty_database, directory=directory)


def test_a_migration_that_fails_leaves_those_before_it_and_nothing_of_its_own(
    empty_database: Database, directory: Path
) -> None:
    broken = directory / "0002_second.sql"
    broken.write_text("CREATE TABLE two (b text); SELECT 1 / 0;\n")
    with pytest.raises(
        MigrationFailed, match=r"0002_second\.sql failed and was rolled back: division by zero"
    ):
        migrate(empty_database, directory=directory)
    broken.write_text("CREATE TABLE two (b text);\n")
    assert migrate(empty_database, directory=directory) == ["0002_second.sql"]


def test_a_migration_and_the_note_that_it_was_applied_are_one_transaction(
    empty_database: Database, directory: Path
) -> None:
    broken = directory / "0002_second.sql"
    broken.write_text("CREATE TABLE two (b text); ALTER TABLE schema_migrations RENAME TO gone;\n")
    with pytest.raises(MigrationFailed, match="schema_migrations"):
        migrate(empty_database, directory=directory)
    broken.write_text("CREATE TABLE two (b text);\n")
    assert migrate(empty_database, directory=directory) == ["0002_second.sql"]


@pytest.mark.parametrize("name", ["2_short.sql", "0001_twice.sql", "0002-dash.sql", "0000_none.sql"])
def test_a_migration_file_out_of_line_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "0001_first.sql").touch()
    (tmp_path / name).touch()
    (tmp_path / "README.md").touch()
    with pytest.raises(MigrationFileInvalid, match=r"expected 000\d_name\.sql or a later number, got "):
        read_migrations(tmp_path)


def test_numbers_of_migrations_rise_and_may_have_gaps(empty_database: Database, directory: Path) -> None:
    (directory / "0020_later.sql").write_text("CREATE TABLE twenty (a text);\n")
    assert migrate(empty_database, directory=directory)[-1] == "0020_later.sql"
    (directory / "0010_between.sql").write_text("CREATE TABLE ten (a text);\n")
    assert migrate(empty_database, directory=directory) == ["0010_between.sql"]
    (directory / "0020_later.sql").unlink()
    with pytest.raises(SchemaTooNew, match="is at version 20 and this release knows 10"):
        migrate(empty_database, directory=directory)


def test_a_role_with_rights_on_its_own_schema_alone_can_migrate(
    empty_database: Database, directory: Path
) -> None:
    role = f"tenant_of_{conninfo_to_dict(empty_database.dsn)['dbname']}"
    named = sql.Identifier(role)
    with psycopg.connect(empty_database.dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(named))
        connection.execute(sql.SQL("CREATE SCHEMA own AUTHORIZATION {}").format(named))
    tenant = Database(make_conninfo(empty_database.dsn, user=role), schema="own")
    try:
        assert len(migrate(tenant, directory=directory)) == 2
        foreign = Database(tenant.dsn, schema="other")
        with pytest.raises(MigrationFailed, match=r"making the schema other.*permission denied"):
            migrate(foreign, directory=directory)
    finally:
        with psycopg.connect(empty_database.dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP OWNED BY {}").format(named))
            connection.execute(sql.SQL("DROP ROLE {}").format(named))
