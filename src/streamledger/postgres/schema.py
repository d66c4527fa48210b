"""Versioned migrations: plain SQL files, applied once and in order to the schema that holds one ledger."""

import hashlib
import logging
import re
from contextlib import suppress
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

import msgspec
import psycopg
from psycopg import sql

from streamledger.domain.errors import StoreUnavailable
from streamledger.postgres.connection import Database, connect
from streamledger.postgres.errors import (
    MigrationChanged,
    MigrationFailed,
    MigrationFileInvalid,
    SchemaTooNew,
    on_one_line,
)

MIGRATIONS: Final[Traversable] = files("streamledger.postgres") / "migrations"
LOCK_WAIT_S_MAX: Final = 600
"""How long a process waits for another one that is migrating the same schema."""

logger = logging.getLogger(__name__)

_FILE_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_COMMENT: Final = re.compile(rb"--[^\n]*|/\*.*?\*/", re.DOTALL)
_QUOTED: Final = rb"""'(?:[^']|%s)*'|"[^"]*"|\$(\w*)\$.*?\$\1\$""" % (b"'" * 2)
_TOKEN: Final = re.compile(_COMMENT.pattern + b"|" + _QUOTED + b"|;", re.DOTALL)
"""What may hold a semicolon that ends nothing, and the semicolon that ends a statement."""
_MADE_MEANWHILE: Final = (  # by another process that starts
    psycopg.errors.DuplicateSchema,
    psycopg.errors.DuplicateTable,
    psycopg.errors.UniqueViolation,
)


class Migration(msgspec.Struct, frozen=True):
    """One file `NNNN_name.sql`; `sha256` is of its text with \\n line ends, as git may have changed them."""

    version: int
    name: str
    text: bytes
    sha256: str


def migrate(database: Database, *, directory: Traversable = MIGRATIONS) -> list[str]:
    """Applies the migrations that the schema lacks, making the schema itself if need be; returns their names.

    Each file is one transaction under the lock of the table that notes it, so any number of processes may
    call this at once. Raises MigrationChanged, SchemaTooNew, MigrationFailed, MigrationFileInvalid or
    StoreUnavailable.
    """
    migrations = read_migrations(directory)
    with connect(database, application_name="streamledger migrate") as connection:
        _make_schema(connection, database)
        missing = _missing(connection, database, migrations)
        is_upgrade = len(missing) < len(migrations)
        applied = []
        for migration in missing:
            if is_upgrade:  # a large store may take minutes: whoever waits for the start is told why
                logger.info("upgrading the store: %s", migration.name)
            if _apply(connection, database, migrations, migration):
                applied.append(migration.name)
        if applied and is_upgrade:
            logger.info("the store is upgraded")
        return applied


def read_migrations(directory: Traversable = MIGRATIONS) -> list[Migration]:
    """The migrations of this release in order; raises MigrationFileInvalid on a bad name or number.

    Numbers may have gaps: parts of the program that grow side by side each take a range of their own.
    """
    migrations: list[Migration] = []
    names = sorted(entry.name for entry in directory.iterdir()) if directory.is_dir() else []
    for name in names:
        if not name.endswith(".sql"):
            continue
        match = _FILE_NAME.fullmatch(name)
        last = migrations[-1].version if migrations else 0
        if match is None or int(match[1]) <= last:
            raise MigrationFileInvalid(expected=f"{last + 1:04d}_name.sql or a later number", got=name)
        text = (directory / name).read_bytes().replace(b"\r\n", b"\n")
        migrations.append(Migration(int(match[1]), name, text, hashlib.sha256(text).hexdigest()))
    return migrations


def statements_of(text: bytes) -> list[bytes]:
    """A file's statements one by one, each with the comments before it: Citus takes no two in one call."""
    found, begin = [], 0
    for token in _TOKEN.finditer(text):
        if token[0] == b";":
            found.append(text[begin : token.start()].strip())
            begin = token.end()
    rest = text[begin:].strip()
    return [*found, rest] if _COMMENT.sub(b"", rest).strip() else found


def _lock(connection: psycopg.Connection, database: Database) -> None:
    """Until the transaction ends nobody else migrates this schema; whoever does is waited for."""
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(LOCK_WAIT_S_MAX * 1000))
    try:
        connection.execute("LOCK TABLE schema_migrations IN SHARE ROW EXCLUSIVE MODE")
    except psycopg.errors.LockNotAvailable as error:
        raise StoreUnavailable(
            cause=f"another process has been migrating the schema {database.schema} for {LOCK_WAIT_S_MAX} s"
        ) from error
    connection.execute("SET LOCAL lock_timeout = DEFAULT")


def _make_schema(connection: psycopg.Connection, database: Database) -> None:
    # Looked up first: CREATE SCHEMA IF NOT EXISTS needs the right to create even where the schema exists.
    found = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (database.schema,)).fetchone()
    if found is None:
        statement = sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(database.schema))
        try:
            with suppress(*_MADE_MEANWHILE):
                connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege as error:
            name = f"(making the schema {database.schema})"
            raise MigrationFailed(name=name, cause=on_one_line(error)) from error
    if not _has_table(connection, database):
        with suppress(*_MADE_MEANWHILE):
            connection.execute(
                "CREATE TABLE schema_migrations (version integer PRIMARY KEY, name text NOT NULL,"
                " sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
            )


def _has_table(connection: psycopg.Connection, database: Database) -> bool:
    return (
        connection.execute(
            "SELECT 1 FROM pg_tables WHERE schemaname = %s AND tablename = 'schema_migrations'",
            (database.schema,),
        ).fetchone()
        is not None
    )


def _missing(
    connection: psycopg.Connection, database: Database, migrations: list[Migration]
) -> list[Migration]:
    applied: dict[int, str] = {}
    if _has_table(connection, database):
        applied = dict(connection.execute("SELECT version, sha256 FROM schema_migrations").fetchall())
    found = max(applied, default=0)
    known = migrations[-1].version if migrations else 0
    if found > known:
        raise SchemaTooNew(schema=database.schema, found=found, known=known)
    for migration in migrations:
        if applied.get(migration.version, migration.sha256) != migration.sha256:
            raise MigrationChanged(schema=database.schema, name=migration.name)
    return [migration for migration in migrations if migration.version not in applied]


def _apply(
    connection: psycopg.Connection, database: Database, migrations: list[Migration], migration: Migration
) -> bool:
    """Applies one; False when another process has done so meanwhile."""
    try:
        with connection.transaction():
            _lock(connection, database)
            if migration not in _missing(connection, database, migrations):
                return False
            for statement in statements_of(migration.text):
                connection.execute(statement)  # without parameters psycopg sends it as it stands, % and all
            connection.execute(
                "INSERT INTO schema_migrations (version, name, sha256) VALUES (%s, %s, %s)",
                (migration.version, migration.name, migration.sha256),
            )
    except psycopg.OperationalError as error:
        raise StoreUnavailable(cause=on_one_line(error)) from error
    except psycopg.Error as error:
        raise MigrationFailed(name=migration.name, cause=on_one_line(error)) from error
    return True
