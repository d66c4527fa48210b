"""Is there room for a second set of tables: what it needs, about, and what the disk has left."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import psycopg

from streamledger.domain.errors import StreamledgerError
from streamledger.readmodel.fold.facts import MEDIA_NAMES
from streamledger.readmodel.rebuild.shuffle import directory

BYTES_OF_MEDIA: Final = 250
"""About what a medium takes in a temporary file, mostly."""
SHARE_OF_LEDGER: Final = 0.9
"""Read model to ledger, with indexes: for a read model that is not filled yet. Measured 0.6 to 0.8."""
MARGIN: Final = 1.25
WRITE_AHEAD_BYTES: Final = 512 * 1024 * 1024
"""What the write-ahead log grows by meanwhile, at most about."""


class NoRoomToSort(StreamledgerError):
    """a rebuild sorts history on the disk, in about {needed_mb} MB, and {directory} has {free_mb} MB free;
    TMPDIR names another place"""


_BYTES_SQL: Final = (
    "SELECT coalesce(avg(CASE WHEN topic = ANY(%s) THEN %s ELSE octet_length(state) + 32 END), 0)::int8"
    " FROM (SELECT topic, state FROM ledger_events ORDER BY notification_id DESC LIMIT 1000) AS latest"
)


def refuse_without_room_to_sort(connection: psycopg.Connection[Any], events: int) -> None:
    """Raises NoRoomToSort when temporary files have too little room for so many events like the latest."""
    place = directory()
    row = connection.execute(_BYTES_SQL, (sorted(MEDIA_NAMES), BYTES_OF_MEDIA)).fetchone()
    needed, free = events * (row[0] if row else 0), shutil.disk_usage(place).free
    if needed > free:
        raise NoRoomToSort(needed_mb=needed // 2**20, free_mb=free // 2**20, directory=place)


class NoRoom(StreamledgerError):
    """a rebuild needs about {needed_mb} MB beside the live tables, and {directory} has {free_mb} MB free"""


def needed_bytes(connection: psycopg.Connection[Any], tables: Sequence[str]) -> int:
    """What a generation of these tables will take, about."""
    live = ledger = 0
    for table in tables:
        row = connection.execute("SELECT pg_total_relation_size(%s::regclass)", (table,)).fetchone()
        live += row[0] if row else 0
    row = connection.execute("SELECT pg_table_size('ledger_events')").fetchone()
    ledger = row[0] if row else 0
    return int(max(live, ledger * SHARE_OF_LEDGER) * MARGIN) + min(WRITE_AHEAD_BYTES, ledger)


def refuse_without_room(connection: psycopg.Connection[Any], tables: Sequence[str]) -> None:
    """Raises NoRoom when the database is on this machine and its disk has too little free."""
    row = connection.execute(
        # Of the view a role without the right to see it gets no row; current_setting would raise.
        "SELECT (SELECT setting FROM pg_settings WHERE name = 'data_directory'), inet_server_addr() IS NULL"
    ).fetchone()
    if row is None or not row[0] or not row[1] or not hasattr(os, "statvfs"):
        return  # a database elsewhere: its disk cannot be seen from here
    directory = Path(row[0])
    try:
        found = os.statvfs(directory)
    except OSError:  # not ours to read, or in another container
        return
    free = found.f_bavail * found.f_frsize
    needed = needed_bytes(connection, tables)
    if needed > free:
        raise NoRoom(needed_mb=needed // 2**20, free_mb=free // 2**20, directory=directory)
