"""Back up a ledger while it runs, and restore it, whole, into an empty place (ADR 0020)."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from streamledger.domain.errors import StreamledgerError
from streamledger.ledger.reader import check_head
from streamledger.operations.private_files import open_private
from streamledger.postgres import dump
from streamledger.postgres.connection import Database, connect
from streamledger.postgres.dump import NotABackup

_SCHEMA_ENTRY: Final = re.compile(r"^\d+; \d+ \d+ SCHEMA - (\S+) ")
_TABLE_LINE: Final = re.compile(r"(?:dumping contents of|processing data for) table \"([^\"]+)\"")

OnProgress = Callable[["Moved"], None]


class PlaceNotEmpty(StreamledgerError):
    """there is a ledger in {place} already; restore into an empty data directory, database or schema"""

    exit_code = 3


class FileThere(StreamledgerError):
    """{file} is there already; a backup overwrites nothing"""

    exit_code = 2


class Moved(msgspec.Struct):
    """How far a backup or a restore is: the tables begun, and the bytes of the file."""

    table: str = ""
    tables: int = 0
    bytes: int = 0


class Kept(msgspec.Struct, frozen=True):
    """What a backup holds, or a restore brought back; counted when it was done."""

    file: str
    bytes: int
    position: int
    quarantined: int


def back_up(database: Database, file: Path, *, embedded: bool, on_progress: OnProgress) -> Kept:
    """Write the whole schema to `file`, as of the moment it begins. The intake goes on meanwhile.

    The file has its name when it is whole and on disk, and only its owner may read it: bodies hold secrets.
    Raises FileThere, DumpFailed, ProgramAbsent or StoreUnavailable.
    """
    if file.exists():
        raise FileThere(file=file)
    program = dump.program_for(database, "pg_dump", embedded=embedded)
    position, quarantined = _counted(database)
    partial = file.with_name(f"{file.name}.partial")
    open_private(partial, "wb").close()
    try:
        dump.dump(program, database, partial, _following(partial, on_progress))
        dump.contents(dump.program_for(database, "pg_restore", embedded=embedded), partial)
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.rename(file)
    finally:
        partial.unlink(missing_ok=True)
    return Kept(file=str(file), bytes=file.stat().st_size, position=position, quarantined=quarantined)


def restore(owner: Database, file: Path, *, embedded: bool, on_progress: OnProgress) -> Kept:
    """Read a backup into the schema of `owner`, which must be empty; positions keep their numbers.

    All of it or nothing. Migrations of a newer release are to follow. Raises PlaceNotEmpty, NotABackup,
    BackupTooNew, DumpFailed, ProgramAbsent, HeadMismatch or StoreUnavailable.
    """
    if not dump.is_empty(owner):
        raise PlaceNotEmpty(place=f"the schema {owner.schema}")
    program = dump.program_for(owner, "pg_restore", embedded=embedded)
    entries = dump.contents(program, file)
    named = next((found[1] for each in entries if (found := _SCHEMA_ENTRY.match(each))), None)
    if named != owner.schema:
        raise NotABackup(file=file, cause=f"it holds the schema {named}, and not {owner.schema}")
    with connect(owner, application_name="streamledger restore") as connection:
        if dump.schema_exists(connection, owner.schema):
            entries = [each for each in entries if not _SCHEMA_ENTRY.match(each)]
    dump.restore(program, owner, file, entries, _following(file, on_progress))
    with connect(owner, application_name="streamledger restore") as connection:
        # Rights are no part of a backup; this one is (migrations/0001_ledger.sql).
        connection.execute("REVOKE UPDATE, DELETE, TRUNCATE ON ledger_events FROM CURRENT_USER")
        check_head(connection)
    position, quarantined = _counted(owner)
    return Kept(file=str(file), bytes=file.stat().st_size, position=position, quarantined=quarantined)


def _counted(database: Database) -> tuple[int, int]:
    with connect(database, application_name="streamledger backup") as connection:
        row = connection.execute(
            "SELECT (SELECT position FROM ledger_head), (SELECT count(*) FROM quarantine)"
        ).fetchone()
    return (row[0], row[1]) if row else (0, 0)


def _following(file: Path, on_progress: OnProgress) -> Callable[[str], None]:
    moved = Moved()

    def follow(line: str) -> None:
        found = _TABLE_LINE.search(line)
        if found:
            moved.table, moved.tables = found[1].rpartition(".")[2], moved.tables + 1
        moved.bytes = file.stat().st_size
        on_progress(moved)

    return follow
