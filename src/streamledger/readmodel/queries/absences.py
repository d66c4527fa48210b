"""When the receiver itself was away: time that speaks against no push (ADR 0043)."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from psycopg import AsyncConnection, Connection

from streamledger.domain.suspicion import Interval, SuspectLimits, apart
from streamledger.readmodel.queries.fetching import fetch

ABSENCES_MAX: Final = 64
"""So many of the latest are looked at; each lasted for half a minute or longer."""

_SQL: Final = (
    "SELECT began_at_us, ended_at_us FROM absences WHERE ended_at_us <= %(known_us)s::int8"  # noqa: S608  # a constant
    f" ORDER BY began_at_us DESC LIMIT {ABSENCES_MAX}"
)
ALL_KNOWN_US: Final = 2**63 - 1


async def with_absences(
    connection: AsyncConnection, limits: SuspectLimits, known_us: int = ALL_KNOWN_US
) -> SuspectLimits:
    """The limits, with the latest absences that had ended by a moment."""
    return _with(limits, await fetch(connection, _SQL, {"known_us": known_us}))


def with_absences_now(connection: Connection[Any], limits: SuspectLimits) -> SuspectLimits:
    """The same of all that are known, for who holds a connection of the other kind."""
    return _with(limits, connection.execute(_SQL, {"known_us": ALL_KNOWN_US}).fetchall())


def _with(limits: SuspectLimits, rows: Iterable[tuple[Any, ...]]) -> SuspectLimits:
    # Whole milliseconds, as all moments of sessions: what was away for part of one was away.
    found: list[Interval] = [(began_us // 1000, -(-ended_us // 1000)) for began_us, ended_us in rows]
    return msgspec.structs.replace(limits, absences=apart(found)) if found else limits
