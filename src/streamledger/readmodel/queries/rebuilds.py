"""Rebuilds and parked events as they are asked for: over HTTP and on the command line."""

import time
from collections.abc import Sequence
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from streamledger.domain.errors import ParameterInvalid
from streamledger.domain.instants import instant_us
from streamledger.domain.rebuild_answers import ParkedEvent, RebuildAnswer
from streamledger.ledger.reader import HEAD_SQL
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.queries.cursors import decode_cursor
from streamledger.readmodel.queries.fetching import fetch
from streamledger.readmodel.queries.sessions import LIMIT_DEFAULT, Page, page_of
from streamledger.readmodel.rebuild.comparison import read_kept
from streamledger.readmodel.rebuild.record import (
    CHANNEL,
    LEASE,
    NEXT_ID,
    TRIES_MAX,
    Progress,
    RebuildOver,
    RebuildUnderWay,
    RebuildUnknown,
)
from streamledger.tencent.redaction import redact

COLUMNS: Final = (
    "id, state, phase, purpose, projections, asked_by, asked_at_us, started_at_us, ended_at_us,"
    " events_done, events_total, events_per_s, digests_equal, error, to_position, differences::text,"
    " indexes_done, indexes_total, indexes_left_s"
)
OPEN_STATES: Final = ("asked", "running")
_NAMES: Final = tuple(each.name for each in PROJECTIONS)

_BUSY_SQL: Final = f"""
SELECT 1 FROM rebuilds WHERE state = 'asked'
UNION ALL SELECT 1 FROM leases WHERE name = '{LEASE}' AND until > now()
"""  # noqa: S608  # constant
"""Rows while one is asked for or under way, whoever does it."""
_ASK_SQL: Final = f"""
WITH waiting AS (
    SELECT id FROM rebuilds WHERE state = 'asked' AND projections = %(projections)s::text[]
        AND to_position IS NOT DISTINCT FROM %(to_position)s::int8 AND purpose = %(purpose)s
    ORDER BY id LIMIT 1
), made AS (
    INSERT INTO rebuilds (id, state, purpose, projections, asked_by, asked_at_us, to_position)
    SELECT (SELECT {NEXT_ID} FROM rebuilds), 'asked', %(purpose)s,
        %(projections)s::text[], %(asked_by)s, %(now_us)s, %(to_position)s::int8
    WHERE NOT EXISTS ({_BUSY_SQL})
    ON CONFLICT (id) DO NOTHING
    RETURNING id
)
SELECT id FROM waiting UNION ALL SELECT id FROM made
"""  # noqa: S608  # constants


class RebuildQueries:
    """Asking for rebuilds, and about them. The work is done by the server's projector process."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection]) -> None:
        self._pool = pool

    async def ask(
        self,
        projections: Sequence[str],
        asked_by: str,
        to_position: int | None = None,
        *,
        dry_run: bool = False,
    ) -> RebuildAnswer:
        """Ask for a rebuild of these projections, of all without any; the same is not asked for twice.

        A dry run changes nothing and says what a rebuild would change.

        Raises ParameterInvalid for a name that no projection has, or a position that is not in the ledger,
        and RebuildUnderWay while anybody rebuilds, or has asked for another.
        """
        _refuse_unknown("projections", projections)
        wanted = [name for name in _NAMES if not projections or name in projections]
        facts = {
            "projections": wanted,
            "asked_by": asked_by,
            "now_us": _now_us(),
            "to_position": to_position,
            "purpose": "dry_run" if dry_run else "rebuild",
        }
        async with self._pool.connection() as connection:
            head = int((await fetch(connection, HEAD_SQL))[0][0])
            if to_position is not None and not 0 < to_position <= head:
                expected = f"a position from 1 to {head}" if head else "no position: the ledger is empty"
                raise ParameterInvalid(name="to", expected=expected, got=to_position)
            number = await _asked(connection, facts)
            await connection.execute("SELECT pg_notify(%s || current_schema(), '')", (f"{CHANNEL}_",))
            return await _one(connection, number)

    async def cancel(self, number: int) -> RebuildAnswer:
        """Ask for a rebuild's end; asked twice it answers the same.

        Raises RebuildUnknown, and RebuildOver when it has ended otherwise.
        """
        async with self._pool.connection() as connection:
            await connection.execute(
                "UPDATE rebuilds SET cancel_asked = true,"
                " ended_at_us = CASE WHEN state = 'asked' THEN %(now_us)s ELSE ended_at_us END,"
                " state = CASE WHEN state = 'asked' THEN 'cancelled' ELSE state END"
                " WHERE id = %(id)s AND state IN ('asked', 'running')",
                {"id": number, "now_us": _now_us()},
            )
            found = await _one(connection, number)
        if found.state not in (*OPEN_STATES, "cancelled"):
            raise RebuildOver(id=number, state=found.state)
        return found

    async def one(self, number: int) -> RebuildAnswer:
        """One rebuild. Raises RebuildUnknown."""
        async with self._pool.connection() as connection:
            return await _one(connection, number)

    async def latest(self, limit: int = LIMIT_DEFAULT, cursor: str | None = None) -> Page[RebuildAnswer]:
        """Rebuilds, the latest first. Raises CursorInvalid."""
        before = decode_cursor("rebuilds", cursor, (int,))[0] if cursor is not None else 2**63 - 1
        async with self._pool.connection() as connection:
            rows = await fetch(
                connection,
                f"SELECT {COLUMNS} FROM rebuilds WHERE id < %(before)s ORDER BY id DESC LIMIT %(limit)s",  # noqa: S608  # constant names
                {"before": before, "limit": limit + 1},
            )
        items = [_answer(row) for row in rows[:limit]]
        return page_of("rebuilds", items, rows, lambda row: [row[0]])

    async def parked(
        self, projection: str | None = None, limit: int = LIMIT_DEFAULT, cursor: str | None = None
    ) -> Page[ParkedEvent]:
        """Parked events in the order of projections and positions. Raises CursorInvalid, and ParameterInvalid
        for a name that no projection has."""
        _refuse_unknown("projection", () if projection is None else (projection,))
        after = decode_cursor("parked", cursor, (str, int)) if cursor is not None else ["", 0]
        async with self._pool.connection() as connection:
            rows = await fetch(
                connection,
                "SELECT projection, position, error, version, tries, parked_at_us FROM parked"
                " WHERE (projection, position) > (%(name)s::text, %(position)s::int8)"
                " AND (%(only)s::text IS NULL OR projection = %(only)s)"
                " ORDER BY projection, position LIMIT %(limit)s",
                {"name": after[0], "position": after[1], "only": projection, "limit": limit + 1},
            )
        items = [
            ParkedEvent(
                projection=name,
                position=position,
                error=redact(error),  # it may quote what was sent
                version=version,
                tries=tries,
                parked_at=instant_us(parked_at_us),
            )
            for name, position, error, version, tries, parked_at_us in rows[:limit]
        ]
        return page_of("parked", items, rows, lambda row: [*row[:2]])


def _now_us() -> int:
    return time.time_ns() // 1000


def _refuse_unknown(parameter: str, names: Sequence[str]) -> None:
    for name in names:
        if name not in _NAMES:
            expected = f"names among {', '.join(_NAMES)}"
            raise ParameterInvalid(name=parameter, expected=expected, got=repr(name))


async def _asked(connection: AsyncConnection, facts: dict[str, Any]) -> int:
    """The id of the row that is made, or of the same that waits. Raises RebuildUnderWay."""
    for _ in range(TRIES_MAX):
        if found := await fetch(connection, _ASK_SQL, facts):
            return int(found[0][0])
        if await fetch(connection, _BUSY_SQL):
            break
    raise RebuildUnderWay


async def _one(connection: AsyncConnection, number: int) -> RebuildAnswer:
    rows = await fetch(connection, f"SELECT {COLUMNS} FROM rebuilds WHERE id = %(id)s", {"id": number})  # noqa: S608  # constant names
    if not rows:
        raise RebuildUnknown(id=number)
    return _answer(rows[0])


def _answer(row: Sequence[Any]) -> RebuildAnswer:
    (number, state, phase, purpose, projections, asked_by, asked, started, ended) = row[:9]
    events_done, events_total, events_per_s, digests_equal, error, to_position, differences = row[9:16]
    indexes_done, indexes_total, indexes_left_s = row[16:]
    tables, changes = read_kept(differences)
    pace = Progress(
        phase=phase,
        events_done=events_done,
        events_total=events_total,
        events_per_s=events_per_s,
        indexes_left_s=indexes_left_s,
    )
    return RebuildAnswer(
        id=str(number),
        state=state,
        phase=phase,
        purpose=purpose,
        projections=projections,
        to_position=to_position,
        asked_by=asked_by,
        asked_at=instant_us(asked),
        started_at=None if started is None else instant_us(started),
        ended_at=None if ended is None else instant_us(ended),
        events_done=events_done,
        events_total=events_total,
        events_per_s=events_per_s,
        indexes_done=indexes_done,
        indexes_total=indexes_total,
        eta_s=None if pace.eta_s is None else round(pace.eta_s, 1),
        digests_equal=digests_equal,
        error=None if error is None else redact(error),
        # Rows quote what was sent, folds with their stream_param among them.
        differences=None if tables is None else redact(tables),
        changes=changes,
    )
