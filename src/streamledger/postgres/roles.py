"""Two roles for one ledger: the owner migrates, the program works and changes nothing that was appended."""

import os
import secrets
import subprocess
from pathlib import Path
from typing import Any, Final

from psycopg import sql

from streamledger.postgres.connection import Database, connect
from streamledger.postgres.errors import DirectoryUnusable, EmbeddedStartFailed

SUPERUSER: Final = "postgres"
"""Of the embedded cluster. It has no password and so no way in, but for PostgreSQL's single-user mode."""
OWNER: Final = "streamledger_owner"
PROGRAM: Final = "streamledger"
PASSWORD_BYTES: Final = 32
HBA: Final = (
    "# Made by streamledger: by the socket only, with the passwords of the file beside the cluster.\n"
    + ("local all all scram-sha-256\n")
)

KEPT_TABLES: Final = {
    "ledger_events": "SELECT, INSERT",
    "ledger_head": "SELECT, UPDATE",
    "schema_migrations": "SELECT",
    "quarantine": "SELECT, INSERT, UPDATE, DELETE",
    "quarantine_usage": "SELECT, INSERT, UPDATE",
    "intake_counters": "SELECT, INSERT, UPDATE",
    "api_tokens": "SELECT, INSERT, UPDATE",
}
"""What stays the owner's, and what the program may do there. All else can be derived, and is the program's
own: a rebuild makes, renames and drops it."""

_OWNED_SQL: Final = """
SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p', 'v', 'm')
  AND c.relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user)
"""


def password_file(data_dir: Path) -> Path:
    """Where the passwords of an embedded cluster lie, in the form of libpq's passfile."""
    return data_dir / "passwords"


def make_passwords(data_dir: Path) -> bool:
    """Makes the file of passwords, for this process's user alone; False when it is there already."""
    path = password_file(data_dir)
    if path.exists():
        if not os.access(path, os.R_OK):
            raise DirectoryUnusable(data_dir=data_dir, reason=f"{path.name} belongs to another user")
        return False
    lines = [f"*:*:*:{role}:{secrets.token_hex(PASSWORD_BYTES)}\n" for role in (OWNER, PROGRAM)]
    partial = path.with_name("passwords.new")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    return True


def make_roles(single_user: list[str], options: dict[str, Any], data_dir: Path) -> None:
    """Makes the roles of a cluster that is not running, with the passwords of the file; they may be there.

    `single_user` is the command of `postgres --single -j`.
    """
    passwords = dict(
        line.split(":")[3:5] for line in password_file(data_dir).read_text("ascii").splitlines() if line
    )
    statements = ["SET scram_iterations = 1"]  # of 256 random bits nobody makes a dictionary
    for role in (OWNER, PROGRAM):
        statements += [
            f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN"
            f" CREATE ROLE {role}; END IF; END $$",
            f"ALTER ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION"
            f" PASSWORD '{passwords[role]}'",
            f"GRANT pg_read_all_settings, pg_read_all_stats TO {role}",
            f"GRANT SET ON PARAMETER wal_compression TO {role}",  # a rebuild's indexes take half as long
        ]
    statements += [f"GRANT {PROGRAM} TO {OWNER}", f"GRANT CREATE ON DATABASE postgres TO {OWNER}"]
    done = subprocess.run(  # noqa: S603 -- the wheel's postgres with our arguments
        single_user,
        input="".join(f"{statement};\n\n" for statement in statements),
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        **options,
    )
    faults = [line for line in done.stderr.splitlines() if "ERROR" in line or "FATAL" in line]
    if done.returncode != 0 or faults:
        raise EmbeddedStartFailed(reason=f"its roles could not be made: {' '.join(faults)}", log="none")


def share_out(owner: Database, program: str) -> None:
    """Gives the program what it works with; nothing is to be done where the owner is the program.

    The owner must be a member of the program's role, to give tables to it.
    """
    role = sql.Identifier(program)
    with connect(owner, application_name="streamledger migrate") as connection, connection.transaction():
        row = connection.execute("SELECT current_user").fetchone()
        if row is None or row[0] == program:
            return
        schema = sql.Identifier(owner.schema)
        connection.execute(sql.SQL("GRANT USAGE, CREATE ON SCHEMA {} TO {}").format(schema, role))
        for (table,) in connection.execute(_OWNED_SQL).fetchall():
            name = sql.Identifier(table)
            rights = KEPT_TABLES.get(table)
            if rights is None:
                connection.execute(sql.SQL("ALTER TABLE {} OWNER TO {}").format(name, role))
            else:
                granted = sql.SQL(rights)
                connection.execute(sql.SQL("GRANT {} ON {} TO {}").format(granted, name, role))
