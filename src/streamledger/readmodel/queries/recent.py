"""What went wrong a moment ago, over all streams: pushes that ended badly, and those that report errors."""

from typing import Final

import msgspec
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from streamledger.domain.notification import Kind
from streamledger.readmodel.queries.fetching import fetch
from streamledger.tencent.errcodes import ErrcodeClass, class_of

LOOKED_AT_MAX: Final = 300
"""How many of the latest stops and push errors are looked at: an outage's would take long."""
SHOWN_MAX: Final = 12
RECENT_SQL: Final = (
    "SELECT t.stream_id, t.sequence, t.kind, t.at_ms, CASE WHEN t.kind = 'push_stopped' THEN"
    " (f.fold::jsonb #>> '{stops,0,push,errcode}')::int8 END FROM (SELECT stream_id, sequence, kind, at_ms"
    " FROM timeline WHERE kind IN ('push_stopped', 'push_error') AND at_ms >= %(from_ms)s"
    " ORDER BY at_ms DESC LIMIT %(limit)s) AS t"
    " LEFT JOIN session_folds AS f ON f.stream_id = t.stream_id AND f.sequence = t.sequence"
    " ORDER BY t.at_ms DESC, t.stream_id, t.sequence"
)


class BadEnd(msgspec.Struct, frozen=True):
    """A session that ended neither by its client's own will nor for a newer push."""

    stream_id: str
    sequence: str
    at_ms: int
    errcode: int | None
    class_: ErrcodeClass


class Erring(msgspec.Struct):
    """A session that reported push errors."""

    stream_id: str
    sequence: str
    latest_ms: int
    reports: int = 0


class Recent(msgspec.Struct, frozen=True):
    """The latest of both first; `cut` says that not all of the time was looked at."""

    ended: list[BadEnd]
    erring: list[Erring]
    cut: bool


async def recent_trouble(pool: AsyncConnectionPool[AsyncConnection], from_ms: int) -> Recent:
    """Since a moment."""
    async with pool.connection() as connection:
        rows = await fetch(connection, RECENT_SQL, {"from_ms": from_ms, "limit": LOOKED_AT_MAX})
    ended: list[BadEnd] = []
    erring: dict[tuple[str, str], Erring] = {}
    for stream_id, sequence, kind, at_ms, errcode in rows:
        if kind == Kind.PUSH_ERROR:
            erring.setdefault((stream_id, sequence), Erring(stream_id, sequence, at_ms)).reports += 1
        elif (class_ := class_of(errcode)) not in (ErrcodeClass.CLEAN, ErrcodeClass.REPLACED):
            ended.append(BadEnd(stream_id, sequence, at_ms, errcode, class_))
    return Recent(ended[:SHOWN_MAX], list(erring.values())[:SHOWN_MAX], cut=len(rows) == LOOKED_AT_MAX)
