"""How many sessions are live, suspect and ended: counted for a monitor that asks again and again."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from streamledger.domain.errors import StoreUnavailable
from streamledger.readmodel.queries.absences import with_absences
from streamledger.readmodel.queries.evidence import (
    MAY_BE_SUSPECT,
    SIGNS,
    STREAM_NOT_SILENT,
    SUSPECT,
    suspect_facts,
)
from streamledger.readmodel.queries.fetching import fetch
from streamledger.readmodel.queries.sessions import Queries

logger = logging.getLogger(__name__)

JUDGED_MAX: Final = 10_000
"""Open sessions that one count judges, those that began last: where stops never come, they are ever more."""
COUNTED_MAX: Final = 10_000
"""Ended sessions are counted while all of them are no more than this; beyond, they are estimated."""
FRESH_S: Final = 10.0
SHARE_MAX: Final = 0.05
"""Of the time: what took long is counted anew later, whoever asks how often."""
COUNT_S_MAX: Final = 3.0
"""Longer is not waited: a rebuild that is switching, or a slow database, must not take all metrics away."""

COUNTS_SQL: Final = (
    # Most are decided by the session or its stream alone, and need no look at what was heard of them. The
    # estimates are those of the first page, which counts the same.
    "SELECT judged.suspect, judged.judged,"  # noqa: S608  # constants
    " CASE WHEN o.few < %(judged_max)s THEN o.few ELSE greatest(o.few, i.reltuples)::int8 END,"
    " CASE WHEN a.few < %(counted_max)s THEN a.few ELSE"
    " greatest(a.few, c.reltuples, pg_stat_get_live_tuples(c.oid))::int8 END FROM"
    " (SELECT count(*) FILTER (WHERE CASE"
    f" WHEN NOT {MAY_BE_SUSPECT} THEN false"
    f" WHEN NOT {STREAM_NOT_SILENT} THEN true"
    f" ELSE (SELECT {SUSPECT} FROM (SELECT) AS here {SIGNS}) END) AS suspect, count(*) AS judged"
    " FROM (SELECT * FROM sessions WHERE NOT ended ORDER BY sort_ms DESC LIMIT %(judged_max)s) AS s"
    ") AS judged,"
    " (SELECT count(*) AS few FROM"
    " (SELECT FROM sessions WHERE NOT ended ORDER BY sort_ms LIMIT %(judged_max)s) AS first) AS o,"
    " (SELECT count(*) AS few FROM"
    " (SELECT FROM sessions ORDER BY sort_ms LIMIT %(counted_max)s) AS first) AS a,"
    " pg_class AS c LEFT JOIN pg_class AS i ON i.oid = to_regclass('sessions_open_sort_idx')"
    " WHERE c.oid = 'sessions'::regclass"
)


class SessionCounts:
    """Counts for one web process, kept for a while."""

    def __init__(
        self,
        queries: Queries,
        pool: AsyncConnectionPool[AsyncConnection],
        *,
        judged_max: int = JUDGED_MAX,
        counted_max: int = COUNTED_MAX,
        count_s_max: float = COUNT_S_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Limits and clock are those of `queries`, the connections are not: pages never take them all."""
        self._queries = queries
        self._pool = pool
        self._count_s_max = count_s_max
        self._facts = {"judged_max": judged_max, "counted_max": counted_max}
        self._clock = clock
        self._counting = asyncio.Lock()
        self._counts: Mapping[str, int] = {}
        self._until = float("-inf")

    async def by_state(self) -> Mapping[str, int]:
        """Sessions by `live`, `suspect` and `ended`, and `unjudged`: open ones beyond those that were judged.

        It is at most FRESH_S old, or 1 / SHARE_MAX times as old as the count took. Empty when that could not
        be done in time.
        """
        async with self._counting:
            began = self._clock()
            if began >= self._until:
                self._counts = await self._count()
                took_s = self._clock() - began
                self._until = began + max(FRESH_S, took_s / SHARE_MAX)
            return self._counts

    async def _count(self) -> Mapping[str, int]:
        try:
            async with asyncio.timeout(self._count_s_max), self._pool.connection() as connection:
                limits = await with_absences(connection, self._queries.limits)
                facts = self._facts | suspect_facts(limits, self._queries.now_ms())
                ((suspect, judged, open_, sessions),) = await fetch(connection, COUNTS_SQL, facts)
        except (StoreUnavailable, psycopg.Error, TimeoutError) as error:  # the pool tells the first of most
            logger.debug("sessions could not be counted: %s", error)
            return {}
        return {
            "live": judged - suspect,
            "suspect": suspect,
            "unjudged": max(0, open_ - judged),
            "ended": max(0, sessions - open_),
        }
