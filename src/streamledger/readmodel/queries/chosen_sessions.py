"""Sessions by what no index holds (anomaly, end, domain), or in another order than that of their starts.

Only so many of the newest are looked through for a page, and the answer says so.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from streamledger.domain.anomalies import anomalies_of
from streamledger.domain.answers import Session
from streamledger.readmodel.fold.columns import columns_of, fold_of
from streamledger.readmodel.queries.absences import with_absences
from streamledger.readmodel.queries.cursors import encode_cursor
from streamledger.readmodel.queries.evidence import EVIDENCE, SIGNS, found_of, suspect_facts
from streamledger.readmodel.queries.fetching import fetch
from streamledger.readmodel.queries.pacing import Pace, made_of
from streamledger.readmodel.queries.sessions import Page, Queries, SessionFilter
from streamledger.tencent.errcodes import class_of

SEARCHED_MAX: Final = 1000
"""Sessions that one page looks through."""
SORTS: Final = ("started", "duration", "deliveries", "media")
_LISTING: Final = "sessions-chosen"
_LOOKED_SQL: Final = (
    "SELECT s.sort_ms, s.stream_id, s.sequence, s.app, s.ended, s.deliveries, s.recordings + s.screenshots,"
    " CASE WHEN s.ended THEN s.sure_until_ms ELSE %(now_ms)s::int8 END - s.sort_ms, {shared}, {fold}"
    " FROM (SELECT * FROM sessions AS s WHERE {conditions}"
    " ORDER BY s.sort_ms {order}, s.stream_id {order}, s.sequence {order} LIMIT %(searched)s) AS s"
    " ORDER BY s.sort_ms {order}, s.stream_id {order}, s.sequence {order}"
)
_FOLD: Final = (
    "(SELECT f.fold FROM session_folds AS f WHERE f.stream_id = s.stream_id AND f.sequence = s.sequence)"
)
_SHARED: Final = (
    "(SELECT count(*) FROM (SELECT FROM sessions AS o WHERE o.sequence = s.sequence LIMIT 2) AS two) > 1"
)
_NAMED_SQL: Final = (
    f"SELECT {columns_of('sessions', 's')}, {EVIDENCE} FROM"  # noqa: S608  # constant names
    " (SELECT t.* FROM unnest(%(streams)s::text[], %(sequences)s::text[]) AS named(stream_id, sequence)"
    f" JOIN sessions AS t USING (stream_id, sequence) OFFSET 0) AS s {SIGNS}"
)


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted beside what the filter says."""

    wanted: SessionFilter
    anomaly: str | None = None
    end: str | None = None
    """A class of errcodes."""
    domain: str | None = None
    sort: str = "started"

    @property
    def is_plain(self) -> bool:
        """Whether the list of all sessions answers it."""
        return (self.anomaly, self.end, self.domain, self.sort) == (None, None, None, "started")


class Looked(msgspec.Struct, frozen=True):
    """A session as far as it is looked at to choose."""

    sort_ms: int
    stream_id: str
    sequence: str
    app: str | None
    ended: bool
    deliveries: int
    media: int
    duration: int
    shared: bool
    fold: str | None


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """A page of chosen sessions."""

    items: list[Session]
    next_cursor: str | None
    searched: int | None
    """How many were looked through, where there are more."""


async def chosen_sessions(queries: Queries, choice: Choice, limit: int, cursor: str | None) -> Chosen:
    """A page of them. Raises CursorInvalid."""
    if choice.is_plain:
        page = await queries.sessions(choice.wanted, limit, cursor)
        return Chosen(items=page.items, next_cursor=page.next_cursor, searched=None)
    rows = await _looked(queries, choice, cursor)
    fitting = await _fitting(choice, rows)
    more = len(rows) == SEARCHED_MAX
    last = rows[-1] if more else None
    if choice.sort != "started":
        fitting.sort(key=lambda row: int(getattr(row, choice.sort)), reverse=choice.wanted.descending)
        last = None  # the order of all of them is not known: there is no next page
    elif len(fitting) > limit:
        last = fitting[limit - 1]
    page = await _answers(queries, fitting[:limit])
    state = choice.wanted.state
    items = [each for each in page.items if state in (None, each.state)]
    return Chosen(
        items=items,
        next_cursor=encode_cursor(_LISTING, [last.sort_ms, last.stream_id, last.sequence]) if last else None,
        searched=len(rows) if more else None,
    )


async def _looked(queries: Queries, choice: Choice, cursor: str | None) -> list[Looked]:
    wanted = choice.wanted
    following, after = wanted.following(_LISTING, cursor)
    facts = {"now_ms": queries.now_ms(), "searched": SEARCHED_MAX, **msgspec.structs.asdict(wanted), **after}
    sql = _LOOKED_SQL.format(
        shared=_SHARED if choice.anomaly in ("any", "sequence_shared") else "false",
        fold=_FOLD if choice.anomaly or choice.end else "NULL",
        conditions=" AND ".join(["true", *wanted.conditions(), *following]),
        order="DESC" if wanted.descending or choice.sort != "started" else "ASC",
    )
    async with queries.pool.connection() as connection:
        return [Looked(*row) for row in await fetch(connection, sql, facts)]


async def _fitting(choice: Choice, rows: Sequence[Looked]) -> list[Looked]:
    pace = Pace()
    found = []
    for row in rows:
        if _fits(choice, row):
            found.append(row)
        await pace.rest()
    return found


def _fits(choice: Choice, row: Looked) -> bool:
    if choice.domain is not None and (row.app or "").lower() != choice.domain.lower():
        return False
    if choice.anomaly is None and choice.end is None:
        return True
    if row.fold is None:
        return False
    state = fold_of(row.fold)
    if choice.end is not None and (
        not state.stops or class_of(state.stops[0].push.errcode).value != choice.end
    ):
        return False
    codes = {each.code for each in anomalies_of(state, shared=row.shared)}
    return choice.anomaly is None or choice.anomaly in codes or (choice.anomaly == "any" and bool(codes))


async def _answers(queries: Queries, rows: Sequence[Looked]) -> Page[Session]:
    now_ms = queries.now_ms()
    facts: dict[str, Any] = {
        "streams": [row.stream_id for row in rows],
        "sequences": [row.sequence for row in rows],
    }
    async with queries.pool.connection() as connection:
        limits = await with_absences(connection, queries.limits)
        rows_found = await fetch(connection, _NAMED_SQL, facts | suspect_facts(limits, now_ms))
        found = await made_of(rows_found, found_of)
        made = await queries.answers_of(connection, found, now_ms, limits)
    by_name = {(each.stream_id, each.sequence): each for each in made}
    names = ((row.stream_id, row.sequence) for row in rows)
    return Page([by_name[name] for name in names if name in by_name])
