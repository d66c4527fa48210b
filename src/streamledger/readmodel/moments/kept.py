"""A session's media at a moment that stand as they did: counted, listed and evenly thinned, in SQL.

Media in the intervals of time that were judged anew are left out: the caller has them as they were then.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from streamledger.domain.notification import Kind
from streamledger.domain.session import OPEN_END_MS
from streamledger.domain.suspicion import SIGNS_MAX
from streamledger.readmodel.fold.columns import columns_of, timeline_row
from streamledger.readmodel.fold.rows import SessionKey, TimelineRow
from streamledger.readmodel.moments.moment import NO_TIME_MS
from streamledger.readmodel.moments.tables import WINDOWS_INLINE_MAX, Interval, PastTables
from streamledger.readmodel.queries.kinds import MEDIA, MOMENTS, REPORTS
from streamledger.readmodel.queries.pages import EVENLY, PICTURE_SCREENSHOTS_ALL_MAX

_COLUMNS: Final = columns_of("timeline", "t")
_FILES: Final = "t.kind = 'recording'"
_REPORTED: Final = "t.kind = 'recording_status'"


class Counted(msgspec.Struct, frozen=True):
    """Media of one kind, in sum."""

    count: int = 0
    files_ms: int = 0
    bytes: int = 0
    from_ms: int | None = None
    until_ms: int | None = None
    """Of screenshots, the first and the last."""


async def kept_sums(tables: PastTables, key: SessionKey, judged: Sequence[Interval]) -> dict[str, Counted]:
    """By kind, the session's recordings and screenshots that the moment holds, outside of the intervals.

    Those with rivals are counted too, as they are known now: the caller has them apart.
    """
    shots = _held(tables, judged, "t.kind = 'screenshot'")
    files = _held(tables, judged, _FILES, moments=False)
    rows = await tables.fetch(
        f"SELECT count(*), min(t.at_ms), max(t.at_ms), 0::int8, 0::int8 {shots}"  # constant conditions
        " UNION ALL SELECT count(*), NULL, NULL,"
        f" coalesce(sum(t.duration_ms), 0)::int8, coalesce(sum(t.bytes), 0)::int8 {files}",
        _of_session(tables, key, judged),
    )
    screenshots, recordings = rows
    return {
        Kind.SCREENSHOT.value: Counted(count=screenshots[0], from_ms=screenshots[1], until_ms=screenshots[2]),
        Kind.RECORDING.value: Counted(count=recordings[0], files_ms=recordings[3], bytes=recordings[4]),
    }


async def kept_latest(
    tables: PastTables, key: SessionKey, judged: Sequence[Interval], screenshots: Counted
) -> list[TimelineRow]:
    """The session's latest of each kind of media, among those that stand as they did; the sum of its
    screenshots is given."""
    facts = _of_session(tables, key, judged)
    branches = []
    for kind in (Kind.RECORDING, Kind.RECORDING_STATUS, Kind.RECORDING_EXCEPTION):
        # The sum keeps the planner from walking back through all screenshots in search of another kind.
        at_ms = "t.at_ms + 0" if kind is Kind.RECORDING_EXCEPTION else "t.at_ms"
        found = _kept(tables, judged, f"t.kind = '{kind.value}'", moments=False)
        branches.append(f"(SELECT {_COLUMNS} {found} ORDER BY {at_ms} DESC, t.key DESC LIMIT 1)")
    if screenshots.until_ms is not None:
        # From the last of those that were counted: behind it may lie all that came after the moment.
        found = _kept(tables, judged, "t.kind = 'screenshot' AND t.at_ms <= %(last_ms)s")
        branches.append(f"(SELECT {_COLUMNS} {found} ORDER BY t.at_ms DESC, t.key DESC LIMIT 1)")
        facts["last_ms"] = screenshots.until_ms
    return [timeline_row(values) for values in await tables.fetch(" UNION ALL ".join(branches), facts)]


async def kept_signs(tables: PastTables, key: SessionKey, judged: Sequence[Interval]) -> list[TimelineRow]:
    """Of the session's media that stand as they did all files and recorders' words, and the latest of all."""
    latest = (
        f"SELECT {_COLUMNS} {_kept(tables, judged, f't.kind IN ({MOMENTS})')}"
        " ORDER BY t.at_ms DESC LIMIT %(limit)s"
    )
    told = f"SELECT {_COLUMNS} {_kept(tables, judged, _REPORTED)}"
    files = f"SELECT {_COLUMNS} {_kept(tables, judged, _FILES, moments=False)}"
    facts = _of_session(tables, key, judged) | {"limit": SIGNS_MAX}
    rows = await tables.fetch(f"({latest}) UNION ALL ({told}) UNION ALL ({files})", facts)
    found = {(row.kind, row.key): row for row in map(timeline_row, rows)}
    return list(found.values())


async def kept_page(
    tables: PastTables,
    key: SessionKey,
    judged: Sequence[Interval],
    kind: Kind | None,
    after: tuple[int, str, str] | None,
    limit: int,
) -> list[TimelineRow]:
    """The session's media in order, after a key, among those that stand as they did."""
    facts = _of_session(tables, key, judged) | {"limit": limit}
    follows = ""
    if after is not None:
        facts |= {"after_ms": after[0], "after_kind": after[1], "after_key": after[2]}
        follows = (
            " AND (t.at_ms, t.kind, t.key) > (%(after_ms)s::int8, %(after_kind)s::text, %(after_key)s::text)"
        )
    branches = []
    if kind is not Kind.RECORDING:
        kinds = MOMENTS if kind is None else f"'{kind.value}'"
        branches.append(f"{_kept(tables, judged, f't.kind IN ({kinds})')}{follows}")
    if kind in (None, Kind.RECORDING):
        branches.append(f"{_kept(tables, judged, _FILES, moments=False)}{follows}")
    order = "ORDER BY t.at_ms, t.kind, t.key LIMIT %(limit)s"
    found = " UNION ALL ".join(f"(SELECT t.* {branch} {order})" for branch in branches)
    rows = await tables.fetch(f"SELECT {_COLUMNS} FROM ({found}) AS t {order}", facts)  # noqa: S608  # constant
    return [timeline_row(values) for values in rows]


async def kept_screenshots(
    tables: PastTables, key: SessionKey, judged: Sequence[Interval], sums: Counted, limit: int
) -> list[TimelineRow]:
    """The session's screenshots among those that stand as they did; of many, about `limit` at even steps."""
    if sums.count <= PICTURE_SCREENSHOTS_ALL_MAX:
        return await kept_page(tables, key, judged, Kind.SCREENSHOT, None, PICTURE_SCREENSHOTS_ALL_MAX)
    shots = _kept(tables, judged, "t.kind = 'screenshot'")
    begin = "%(first_ms)s::int8 + (%(last_ms)s::int8 - %(first_ms)s::int8)"
    sql = (
        f"SELECT {_COLUMNS} FROM generate_series(0, %(intervals)s - 1) AS step(number)"  # noqa: S608  # likewise
        f" CROSS JOIN LATERAL (SELECT t.* {shots} AND t.at_ms >= {begin} * number / %(intervals)s"
        f" AND t.at_ms < {begin} * (number + 1) / %(intervals)s ORDER BY t.at_ms, t.key LIMIT 1) AS t"
        f" UNION ALL (SELECT {_COLUMNS} {shots} AND t.at_ms = %(last_ms)s::int8 ORDER BY t.key DESC LIMIT 1)"
    )
    facts = _of_session(tables, key, judged) | {
        "first_ms": sums.from_ms,
        "last_ms": sums.until_ms,
        "intervals": limit - 1,
    }
    return [timeline_row(values) for values in await tables.fetch(sql, facts)]


async def kept_others(
    tables: PastTables, key: SessionKey, judged: Sequence[Interval], limit: int
) -> tuple[list[TimelineRow], int]:
    """The session's other media among those that stand as they did, about `limit` evenly chosen ones of many,
    and how many there are."""
    files = _kept(tables, judged, _FILES, moments=False)
    rare = _kept(tables, judged, f"t.kind IN ({REPORTS}) AND t.kind NOT IN ({MEDIA})")
    sql = (
        f"SELECT {_COLUMNS}, total FROM (SELECT *, count(*) OVER () AS total,"  # noqa: S608  # likewise
        " row_number() OVER (ORDER BY at_ms, kind, key) AS number"
        f" FROM (SELECT t.* {files} UNION ALL SELECT t.* {rare}) AS rare) AS t WHERE {EVENLY}"
    )
    rows = await tables.fetch(sql, _of_session(tables, key, judged) | {"others": limit})
    return [timeline_row(values[:-1]) for values in rows], rows[0][-1] if rows else 0


def _held(tables: PastTables, judged: Sequence[Interval], condition: str, *, moments: bool = True) -> str:
    """FROM and WHERE: the session's media that this moment holds, outside of the intervals."""
    return (
        "FROM timeline AS t WHERE t.stream_id = %(stream_id)s AND t.sequence = %(sequence)s"
        f" AND {condition} AND t.position <= %(position)s"
        f"{_until(tables, 'at_ms' if moments else 'until_ms')}{_outside(judged, moments=moments)}"
    )


def _kept(tables: PastTables, judged: Sequence[Interval], condition: str, *, moments: bool = True) -> str:
    """The same of those that stand as they did. What came later is passed over in the index, which holds
    positions."""
    return _held(tables, judged, f"{condition} AND t.rivals IS NULL", moments=moments)


def _of_session(tables: PastTables, key: SessionKey, judged: Sequence[Interval]) -> dict[str, Any]:
    """The parameters of a statement about one session's media, and of `outside`."""
    facts = tables.facts(key[0]) | {"sequence": key[1]}
    if len(judged) <= WINDOWS_INLINE_MAX:
        for number, interval in enumerate(judged):
            facts |= {f"from_{number}": interval.from_ms, f"until_{number}": interval.until_ms}
        return facts
    return facts | {
        "judged_from": [each.from_ms for each in judged],
        "judged_until": [each.until_ms for each in judged],
    }


def _until(tables: PastTables, column: str) -> str:
    """The condition that a time had come at the moment; none when the moment names no time."""
    return "" if tables.moment.as_of_ms == NO_TIME_MS else f" AND t.{column} <= %(as_of_ms)s"


def _outside(judged: Sequence[Interval], *, moments: bool) -> str:
    """The condition that a row touches none of the stretches; moments lie where they begin."""
    until, begins = ("at_ms", "t.at_ms") if moments else ("until_ms", "least(t.at_ms, t.began_ms)")
    if len(judged) > WINDOWS_INLINE_MAX:
        return (
            " AND NOT EXISTS (SELECT FROM unnest(%(judged_from)s::int8[], %(judged_until)s::int8[])"
            f" AS w(from_ms, until_ms) WHERE t.{until} >= w.from_ms AND {begins} <= w.until_ms)"
        )
    return "".join(
        f" AND t.{until} < %(from_{number})s"  # a bound of the index
        if interval.until_ms >= OPEN_END_MS
        else f" AND NOT (t.{until} >= %(from_{number})s AND {begins} <= %(until_{number})s)"
        for number, interval in enumerate(judged)
    )
