"""A generation: a second set of a projection's tables beside the live ones, from making to dropping."""

import logging
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import psycopg

from streamledger.readmodel.projections.view import Projection

NEW: Final = "_g"
"""Before the number, in the names of tables that are being built."""
OLD: Final = "_was"
"""Before the number, in the names of tables that were live until the switch."""

DROP_WAIT_MS: Final = 5000
"""How long to wait for those who read a table that is to go: workers that were just ended, a backup."""

logger = logging.getLogger(__name__)

_INDEX_HEAD: Final = re.compile(r"^CREATE (UNIQUE )?INDEX (\S+) ON (ONLY )?(\S+) USING ")

_TABLES_SQL: Final = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename ~ %s"
_INDEXES_SQL: Final = """
SELECT i.relname, pg_get_indexdef(x.indexrelid), c.contype
FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid
LEFT JOIN pg_constraint AS c ON c.conindid = x.indexrelid AND c.contype IN ('p', 'u')
WHERE x.indrelid = %s::regclass ORDER BY c.contype IS NULL, i.relname
"""
_OTHER_CONSTRAINTS_SQL: Final = """
SELECT contype, coalesce(conkey::text, ''), pg_get_constraintdef(oid), conname FROM pg_constraint
WHERE conrelid = %s::regclass AND contype IN ('n', 'c') ORDER BY conname
"""


def tables_of(projections: Iterable[Projection]) -> list[str]:
    """The live names of all tables of these projections."""
    return [table for projection in projections for table in projection.tables]


def make(connection: psycopg.Connection[Any], tables: Sequence[str], suffix: str) -> None:
    """Make empty tables like the live ones, without indexes: rows are copied in faster so."""
    for table in tables:
        connection.execute(
            f"CREATE TABLE {table}{suffix} (LIKE {table} INCLUDING ALL EXCLUDING INDEXES)"  # constant names
            " WITH (autovacuum_enabled = false)"
        )


def index_statements(
    connection: psycopg.Connection[Any], tables: Sequence[str], suffix: str
) -> list[list[str]]:
    """Per index of the live tables, the statements that make the same on the generation's."""
    found = []
    for table in tables:
        for name, definition, constraint in connection.execute(_INDEXES_SQL, (table,)).fetchall():
            head = _INDEX_HEAD.match(definition)
            assert head is not None, definition  # noqa: S101  # PostgreSQL writes it so
            unique = head[1] or ""
            tail = definition[head.end() :]
            statements = [f"CREATE {unique}INDEX {name}{suffix} ON {table}{suffix} USING {tail}"]
            if constraint is not None:
                kind = "PRIMARY KEY" if constraint in ("p", b"p") else "UNIQUE"
                statements.append(
                    f"ALTER TABLE {table}{suffix} ADD CONSTRAINT {name}{suffix} {kind}"
                    f" USING INDEX {name}{suffix}"
                )
            found.append(statements)
    return found


def finish(connection: psycopg.Connection[Any], tables: Sequence[str], suffix: str) -> None:
    """Give the generation statistics, and the storage options and grants of the live tables."""
    for table in tables:
        connection.execute(f"ALTER TABLE {table}{suffix} RESET (autovacuum_enabled)")
        options = connection.execute(
            "SELECT unnest(reloptions) FROM pg_class WHERE oid = %s::regclass", (table,)
        ).fetchall()
        for (option,) in options:
            connection.execute(f"ALTER TABLE {table}{suffix} SET ({option})")
        grants = connection.execute(
            "SELECT format('GRANT %%s ON %%s TO %%s', a.privilege_type, %s::text,"
            " CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)"
            " FROM pg_class AS c, aclexplode(c.relacl) AS a(grantor, grantee, privilege_type, is_grantable)"
            " WHERE c.oid = %s::regclass AND a.grantee <> c.relowner",
            (table + suffix, table),
        ).fetchall()
        for (grant,) in grants:
            connection.execute(grant)
        connection.execute(f"ANALYZE {table}{suffix}")


def switch(connection: psycopg.Connection[Any], tables: Sequence[str], number: int) -> None:
    """Make the generation live and the live tables old; only renames, so that it lasts milliseconds."""
    new, old = f"{NEW}{number}", f"{OLD}{number}"
    for table in tables:
        live_indexes = [row[0] for row in connection.execute(_INDEXES_SQL, (table,)).fetchall()]
        names = _constraint_names(connection, table)
        connection.execute(f"ALTER TABLE {table} RENAME TO {table}{old}")
        for index in live_indexes:
            connection.execute(f"ALTER INDEX {index} RENAME TO {index}{old}")
        connection.execute(f"ALTER TABLE {table}{new} RENAME TO {table}")
        for index in live_indexes:
            connection.execute(f"ALTER INDEX {index}{new} RENAME TO {index}")
        for key, name in _constraint_names(connection, table).items():
            if key in names and names[key] != name:
                connection.execute(f"ALTER TABLE {table} RENAME CONSTRAINT {name} TO {names[key]}")


def _constraint_names(connection: psycopg.Connection[Any], table: str) -> dict[tuple[Any, ...], str]:
    rows = connection.execute(_OTHER_CONSTRAINTS_SQL, (table,)).fetchall()
    return {tuple(key): name for *key, name in rows}


def drop_leftovers(connection: psycopg.Connection[Any], tables: Sequence[str]) -> list[str]:
    """Drop every generation that is not live; returns the dropped tables.

    Only for the holder of the rebuild lock: to everybody else a generation may be under work. One that
    somebody reads (a backup takes every table) is left to the next call.
    """
    pattern = f"^({'|'.join(tables)})({NEW}|{OLD})[0-9]+$"
    found = [row[0] for row in connection.execute(_TABLES_SQL, (pattern,)).fetchall()]
    dropped = []
    for table in found:
        try:
            with connection.transaction():
                connection.execute(f"SET LOCAL lock_timeout = {DROP_WAIT_MS}")
                connection.execute(f"DROP TABLE IF EXISTS {table}")
        except psycopg.errors.LockNotAvailable:
            logger.warning("somebody reads %s, which is no longer of use; the next rebuild drops it", table)
        else:
            dropped.append(table)
    return dropped
