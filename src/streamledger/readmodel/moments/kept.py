"""A session's media at a moment that stand as they did: counted, listed and evenly thinned, in SQL.

Media in the intervals of time that were judged anew are left out: the caller has them as they were then.
"""

from collections.abc import Sequence
from typing import Any

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
    shots = _kept(tables, judged, "t.kind = 'screenshot'")
    rows = await tables.fetch(
        f"SELECT count(*), min(t.at_ms), max(t.at_ms), 0::int8, 0::int8 {shots}"  # constant conditions
        " UNION ALL SELECT count(*), NULL, NULL,"
        " coalesce(sum(t.duration_ms), 0)::int8, coalesce(sum(t.bytes), 0)::int8"
        f" {_kept_recordings(tables, judged, with_rivals=True)}",
        _of_session(tables, key, judged),
    )
    screenshots, recordings = rows
    return {
        Kind.SCREENSHOT.value: Counted(count=screenshots[0], from_ms=screenshots[1], until_ms=screenshots[2]),
        Kind.RECORDING.value: Counted(count=recordings[0], files_ms=recordings[3], bytes=recordings[4]),
    }


async def kept_latest(
    tables: PastTables, key: SessionKey, judged: Sequence[Interval], screenshots: Counted, with_rivals: int
) -> list[TimelineRow]:
    """The session's latest of each kind of media, among those that stand as they did.

    `screenshots` is their sum; as many as `with_rivals` of the session's rows do not stand as they did.
    """
    branches = [
        f"(SELECT {columns_of('timeline', 't')} FROM timeline AS t"  # noqa: S608  # constant names
        " WHERE t.stream_id = %(stream_id)s AND t.sequence = %(sequence)s"
        f" AND t.kind = '{kind.value}' AND t.rivals IS NULL AND t.position <= %(position)s"
        f"{_until(tables, 'until_ms')}{_outside(judged, moments=False)}"
        # The sum keeps the planner from walking back through all screenshots in search of another kind.
        f" ORDER BY t.at_ms{' + 0' if kind is Kind.RECORDING_EXCEPTION else ''} DESC, t.key DESC LIMIT 1)"
        for kind in (Kind.RECORDING, Kind.RECORDING_STATUS, Kind.RECORDING_EXCEPTION)
    ]
    facts = _of_session(tables, key, judged)
    if screenshots.until_ms is not None:
        # The inner query reads the index alone, from the last of those that were counted: behind it may
        # lie all that came after the moment.
        branches.append(
            f"(SELECT {columns_of('timeline', 'r')} FROM ("  # noqa: S608  # constant names
            "SELECT t.stream_id, t.kind, t.key, t.sequence, t.at_ms FROM timeline AS t"
            " WHERE t.stream_id = %(stream_id)s AND t.sequence = %(sequence)s AND t.kind = 'screenshot'"
            " AND t.at_ms <= %(last_ms)s"
            f" AND t.position <= %(position)s{_until(tables, 'at_ms')}{_outside(judged, moments=True)}"
            " ORDER BY t.at_ms DESC, t.kind DESC, t.key DESC LIMIT %(limit)s"
            ") AS named JOIN timeline AS r USING (stream_id, kind, key, sequence, at_ms)"
            " WHERE r.rivals IS NULL ORDER BY r.at_ms DESC, r.key DESC LIMIT 1)"
        )
        facts |= {"limit": 1 + with_rivals, "last_ms": screenshots.until_ms}
    return [timeline_row(values) for values in await tables.fetch(" UNION ALL ".join(branches), facts)]


async def kept_signs(
    tables: PastTables, key: SessionKey, judged: Sequence[Interval], with_rivals: int
) -> list[TimelineRow]:
    """Of the session's media that stand as they did all files and recorders' words, and the latest of all.

    As many as `with_rivals` of the session's rows do not stand as they did.
    """
    columns = columns_of("timeline", "t")
    latest = (
        f"SELECT {columns} {_kept(tables, judged, f't.kind IN ({MOMENTS})')} AND t.rivals IS NULL"
        " ORDER BY t.at_ms DESC LIMIT %(limit)s"
    )
    statuses = _kept(tables, judged, "t.kind = 'recording_status'")
    told = f"SELECT {columns} {statuses} AND t.rivals IS NULL"  # constant conditions
    files = f"SELECT {columns} {_kept_recordings(tables, judged)}"
    facts = _of_session(tables, key, judged) | {"limit": SIGNS_MAX + with_rivals}
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
    with_rivals: int,
) -> list[TimelineRow]:
    """The session's media in order, after a key, among those that stand as they did.

    As many as `with_rivals` of the session's rows do not. Moments are chosen by the index alone: behind
    them may lie all that came after the moment.
    """
    facts = _of_session(tables, key, judged) | {"limit": limit, "chosen": limit + with_rivals}
    follows = ""
    if after is not None:
        facts |= {"after_ms": after[0], "after_kind": after[1], "after_key": after[2]}
        follows = (
            " AND (t.at_ms, t.kind, t.key) > (%(after_ms)s::int8, %(after_kind)s::text, %(after_key)s::text)"
        )
    branches = []
    if kind is not Kind.RECORDING:
        kinds = MOMENTS if kind is None else f"'{kind.value}'"
        branches.append(
            f"SELECT t.kind, t.key, t.at_ms {_kept(tables, judged, f't.kind IN ({kinds})')}{follows}"
            " ORDER BY t.at_ms, t.kind, t.key LIMIT %(chosen)s"
        )
    if kind in (None, Kind.RECORDING):
        branches.append(
            f"SELECT t.kind, t.key, t.at_ms {_kept_recordings(tables, judged)}{follows}"
            " ORDER BY t.at_ms, t.key LIMIT %(chosen)s"
        )
    chosen = " UNION ALL ".join(f"({branch})" for branch in branches)
    sql = _rows_of(chosen) + " ORDER BY t.at_ms, t.kind, t.key LIMIT %(limit)s"
    return [timeline_row(values) for values in await tables.fetch(sql, facts)]


async def kept_screenshots(
    tables: PastTables,
    key: SessionKey,
    judged: Sequence[Interval],
    sums: Counted,
    limit: int,
    with_rivals: int,
) -> list[TimelineRow]:
    """The session's screenshots among those that stand as they did; of many, about `limit` at even steps."""
    if sums.count <= PICTURE_SCREENSHOTS_ALL_MAX:
        all_max = PICTURE_SCREENSHOTS_ALL_MAX
        return await kept_page(tables, key, judged, Kind.SCREENSHOT, None, all_max, with_rivals)
    shots = _kept(tables, judged, "t.kind = 'screenshot'")
    begin = "%(first_ms)s::int8 + (%(last_ms)s::int8 - %(first_ms)s::int8)"
    chosen = (
        "SELECT 'screenshot' AS kind, found.key, found.at_ms"  # noqa: S608  # constant conditions
        " FROM generate_series(0, %(intervals)s - 1) AS step(number)"
        f" CROSS JOIN LATERAL (SELECT t.key, t.at_ms {shots} AND t.at_ms >= {begin} * number / %(intervals)s"
        f" AND t.at_ms < {begin} * (number + 1) / %(intervals)s"
        " ORDER BY t.at_ms, t.key LIMIT 1) AS found"
        f" UNION ALL (SELECT 'screenshot', t.key, t.at_ms {shots} AND t.at_ms = %(last_ms)s::int8"
        " ORDER BY t.key DESC LIMIT 1)"
    )
    facts = _of_session(tables, key, judged) | {
        "first_ms": sums.from_ms,
        "last_ms": sums.until_ms,
        "intervals": limit - 1,
    }
    return [timeline_row(values) for values in await tables.fetch(_rows_of(chosen), facts)]


async def kept_others(
    tables: PastTables, key: SessionKey, judged: Sequence[Interval], limit: int
) -> tuple[list[TimelineRow], int]:
    """The session's other media among those that stand as they did, about `limit` evenly chosen ones of many,
    and how many there are."""
    rare = f"t.kind IN ({REPORTS}) AND t.kind NOT IN ({MEDIA})"
    chosen = (
        f"SELECT kind, key, at_ms, total FROM ("  # noqa: S608  # constant conditions
        "SELECT kind, key, at_ms, count(*) OVER () AS total,"
        " row_number() OVER (ORDER BY at_ms, kind, key) AS number FROM ("
        f"SELECT t.kind, t.key, t.at_ms {_kept_recordings(tables, judged)}"
        f" UNION ALL SELECT t.kind, t.key, t.at_ms {_kept(tables, judged, rare)}) AS rare) AS numbered"
        f" WHERE {EVENLY}"
    )
    facts = _of_session(tables, key, judged) | {"others": limit}
    rows = await tables.fetch(_rows_of(chosen, ", total"), facts)
    return [timeline_row(values[:-1]) for values in rows], rows[0][-1] if rows else 0


def _kept(tables: PastTables, judged: Sequence[Interval], condition: str) -> str:
    """FROM and WHERE: the moments of the session that this moment holds, outside of the intervals."""
    return (
        "FROM timeline AS t WHERE t.stream_id = %(stream_id)s AND t.sequence = %(sequence)s"
        f" AND {condition} AND t.position <= %(position)s"
        f"{_until(tables, 'at_ms')}{_outside(judged, moments=True)}"
    )


def _kept_recordings(tables: PastTables, judged: Sequence[Interval], *, with_rivals: bool = False) -> str:
    """FROM and WHERE: the session's recordings that the moment holds, outside of the intervals."""
    rivals = "" if with_rivals else " AND t.rivals IS NULL"
    return (
        "FROM timeline AS t WHERE t.stream_id = %(stream_id)s AND t.sequence = %(sequence)s"
        f" AND t.kind = 'recording'{rivals} AND t.position <= %(position)s"
        f"{_until(tables, 'until_ms')}{_outside(judged, moments=False)}"
    )


def _rows_of(chosen: str, more: str = "") -> str:
    """SELECT: the rows of the session that are named by kind and key, without those that have rivals."""
    return (
        f"SELECT {columns_of('timeline', 't')}{more}"  # noqa: S608  # constant names and conditions
        f" FROM (SELECT * FROM ({chosen}) AS named OFFSET 0) AS chosen"
        # Each by itself (LIMIT 1): the planner takes all sessions for short ones, and would read it through.
        " CROSS JOIN LATERAL (SELECT * FROM timeline AS found"
        " WHERE found.stream_id = %(stream_id)s AND found.sequence = %(sequence)s"
        " AND found.at_ms = chosen.at_ms AND found.kind = chosen.kind AND found.key = chosen.key"
        " LIMIT 1) AS t"
        " WHERE t.rivals IS NULL"
    )


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
