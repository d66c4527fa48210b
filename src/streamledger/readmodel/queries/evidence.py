"""What speaks for or against a session, and how much of it is recorded, read from the tables.

The rules are those of `domain.suspicion` and `fold.signs`; a test holds both to each other.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from psycopg import AsyncConnection

from streamledger.domain.session import BEGAN_TOGETHER_MS
from streamledger.domain.suspicion import (
    FOLLOWS_MS,
    RHYTHM_MS_MAX,
    SIGNS_MAX,
    Interval,
    Signs,
    SuspectLimits,
    before_ms,
    heard_ms,
)
from streamledger.readmodel.fold.columns import session_row
from streamledger.readmodel.fold.signs import SIGN_KINDS
from streamledger.readmodel.queries.fetching import fetch
from streamledger.readmodel.queries.presenters import Found

_KINDS: Final = ", ".join(f"'{kind.value}'" for kind in sorted(SIGN_KINDS))
_FOR_EVER_MS: Final = 2**63 - 1
_OF_SESSION: Final = "t.stream_id = s.stream_id AND t.sequence = s.sequence"


def _heard(moment: str) -> str:
    """SQL: `domain.suspicion.heard_ms` of a moment. Between the ends of absences, in `away_ends`, the clock
    goes on or stands still."""
    place = f"[1 + width_bucket({moment}, %(away_ends)s::int8[])]"
    return f"(least({moment}, (%(away_until)s::int8[]){place}) - (%(away_ms)s::int8[]){place})"


# ruff: noqa: S608  # every text below is made of constants
_RECORDED: Final = f"""
    SELECT coalesce(t.task, '') AS task, t.kind = 'recording' AS is_file, t.at_ms, t.until_ms, t.key, t.note
    FROM timeline AS t WHERE {_OF_SESSION} AND t.kind IN ('recording', 'recording_status')
"""
_TASKS: Final = """
    SELECT bool_and(r.note IS NOT DISTINCT FROM 'bare') FILTER (WHERE r.is_file) AS bare,
           max(r.until_ms) FILTER (WHERE r.is_file) AS last_ms,
           max(r.until_ms - r.at_ms) FILTER (WHERE r.is_file) AS longest_ms,
           max(r.at_ms) FILTER (WHERE r.is_file) AS last_from_ms,
           min(r.until_ms) FILTER (WHERE r.is_file) AS first_until_ms,
           max(r.at_ms) FILTER (WHERE NOT r.is_file) AS told_ms,
           (array_agg(r.note ORDER BY r.at_ms DESC, r.key DESC) FILTER (WHERE NOT r.is_file))[1] AS told
    FROM recorded AS r,
         (SELECT count(DISTINCT task) = 2 AND bool_or(task = '') AS gives FROM recorded) AS nameless
    GROUP BY CASE WHEN nameless.gives THEN '' ELSE r.task END
"""
_ENDED: Final = f"""
    CASE WHEN k.told = 'record_ended' THEN greatest(k.told_ms, k.last_ms)
         WHEN k.last_ms IS NULL OR k.told_ms > k.last_ms THEN NULL
         WHEN k.last_from_ms < k.first_until_ms - {FOLLOWS_MS} THEN NULL
         ELSE k.last_ms + k.longest_ms END
"""
SIGNS: Final = f"""
    CROSS JOIN LATERAL (
        SELECT coalesce(count(*) FILTER (WHERE t.kind NOT IN ('push_started', 'recording_status')) > 0
                        OR max(t.at_ms) FILTER (WHERE t.kind = 'recording_status')
                        > coalesce(min(t.at_ms) FILTER (WHERE t.kind = 'push_started')
                                   + {BEGAN_TOGETHER_MS}, -1), false) AS heard,
               greatest(max(t.until_ms), (SELECT f.until_ms FROM timeline AS f WHERE s.recordings > 0
                   AND f.stream_id = s.stream_id AND f.sequence = s.sequence AND f.kind = 'recording'
                   ORDER BY f.at_ms DESC, f.key DESC LIMIT 1)) AS latest_ms,
               least(2 * max(greatest(t.begun_ms - t.reached_ms, t.over_ms - t.begun_ms)), {RHYTHM_MS_MAX})
                   AS rhythm_ms
        FROM (SELECT l.*, max(l.over_ms) OVER (ORDER BY l.at_ms, l.until_ms
                     ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached_ms FROM
                 (SELECT t.kind, t.at_ms, t.until_ms, {_heard("t.at_ms")} AS begun_ms,
                         {_heard("t.until_ms")} AS over_ms FROM timeline AS t WHERE NOT s.ended
                  AND {_OF_SESSION} AND t.kind IN ({_KINDS})
                  ORDER BY t.at_ms DESC, t.until_ms DESC LIMIT {SIGNS_MAX}) AS l) AS t
        OFFSET 0
    ) AS heard
    CROSS JOIN LATERAL (
        SELECT CASE WHEN NOT s.ended AND heard.latest_ms < %(recorded_since_ms)s::int8 THEN (
            WITH recorded AS MATERIALIZED ({_RECORDED}), tasks AS ({_TASKS}), ends AS (
                SELECT {_ENDED} AS ended_ms FROM tasks AS k
                WHERE NOT (coalesce(k.bare, false) AND s.witness IS NOT NULL)
                AND NOT (k.told IS NOT DISTINCT FROM 'record_start_failed' AND k.last_ms IS NULL))
            SELECT CASE WHEN bool_or(ended_ms IS NULL) THEN NULL ELSE max(ended_ms) END FROM ends
        ) END AS recording_ended_ms
        OFFSET 0
    ) AS signs
"""
"""To join to `sessions AS s`, with the parameters of `suspect_facts`.

When a recording ended is only looked up where it can speak against the session: no sign came after. Without
OFFSET 0 PostgreSQL would copy the looks into every place of a condition that names them.
"""

_UNION: Final = f"""
    (SELECT coalesce(sum(greatest(0, u.end_ms - greatest(u.from_ms, u.reached_ms))), 0)::int8 FROM
        (SELECT v.*, coalesce(max(v.end_ms) OVER (ORDER BY v.from_ms, v.end_ms
                     ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS reached_ms FROM
            (SELECT greatest(t.at_ms, s.span_from_ms) AS from_ms,
                    CASE WHEN s.ended THEN least(t.until_ms, s.span_until_ms) ELSE t.until_ms END AS end_ms
             FROM timeline AS t WHERE {_OF_SESSION} AND t.kind = 'recording') AS v) AS u)
"""
EVIDENCE: Final = f"""
    heard.latest_ms, heard.heard, coalesce(heard.rhythm_ms, 0), signs.recording_ended_ms,
    CASE WHEN s.recordings > 0 THEN {_UNION} ELSE 0 END AS recorded_ms,
    CASE WHEN s.screenshots > 0 THEN
        (SELECT t.position FROM timeline AS t WHERE {_OF_SESSION}
         AND t.kind = 'screenshot' ORDER BY t.at_ms DESC, t.key DESC LIMIT 1) END AS screenshot_position
"""
"""Select list over `sessions AS s` and SIGNS; files and the screenshot are looked up only for rows taken."""

SUSPECT: Final = (
    "(heard.latest_ms IS NULL"
    f" OR (heard.heard AND {_heard('heard.latest_ms')}"
    " < %(heard_now_ms)s::int8 - greatest(%(silence_ms)s, heard.rhythm_ms))"
    " OR (NOT heard.heard AND heard.latest_ms < %(unheard_since_ms)s)"
    " OR (rival_ms < %(newer_since_ms)s AND heard.latest_ms <= rival_ms)"
    " OR coalesce(recording_ended_ms < %(recorded_since_ms)s AND heard.latest_ms <= recording_ended_ms,"
    " false))"
)
"""What `domain.suspicion.suspicions` says of an open session, as a condition on the columns above."""

MAY_BE_SUSPECT: Final = (
    "(s.sort_ms < %(quiet_since_ms)s::int8 OR s.rival_ms < %(newer_since_ms)s::int8"
    " OR (s.sort_ms < %(recorded_since_ms)s::int8 AND (s.recordings > 0 OR"
    # A scalar: PostgreSQL would turn EXISTS into a read of all reports.
    " (SELECT true FROM timeline AS t WHERE t.stream_id = s.stream_id AND t.sequence = s.sequence"
    " AND t.kind = 'recording_status' LIMIT 1))))"
)
"""What follows from SUSPECT without all its evidence, as the sign is never before sort_ms.

It spares those that began a moment ago, or were never recorded, the look-up of their evidence.
"""

STREAM_NOT_SILENT: Final = (
    # A scalar: PostgreSQL would turn EXISTS into a join that reads all streams.
    "(SELECT st.latest_ms FROM streams AS st WHERE st.stream_id = s.stream_id) >= %(silent_since_ms)s"
)
"""What follows from being live without any evidence: its stream was heard of within what a rhythm excuses."""


def suspect_facts(limits: SuspectLimits, now_ms: int) -> dict[str, Any]:
    """The parameters of SIGNS and SUSPECT; whoever was last heard of before `silent_since_ms` is not live."""
    quiet_ms_max = max(limits.silence_ms_max, limits.unheard_ms_max, RHYTHM_MS_MAX)

    def since(limit_ms: int) -> int:
        return before_ms(now_ms, limit_ms, limits.absences)

    return {
        "now_ms": now_ms,
        "heard_now_ms": heard_ms(now_ms, limits.absences),
        "silence_ms": limits.silence_ms_max,
        "unheard_since_ms": since(limits.unheard_ms_max),
        "newer_since_ms": since(limits.newer_push_ms_max),
        "recorded_since_ms": since(limits.recording_ended_ms_max),
        "quiet_since_ms": since(min(limits.silence_ms_max, limits.unheard_ms_max)),
        "silent_since_ms": since(quiet_ms_max),
        **_away(limits.absences),
    }


def _away(absences: Sequence[Interval]) -> dict[str, list[int]]:
    """The arrays of `_heard`: before the first absence, in it, after it, and so on."""
    ends = [end_ms for absence in absences for end_ms in absence]
    until_ms, away_ms, total_ms = [_FOR_EVER_MS], [0], 0
    for begin_ms, end_ms in absences:
        until_ms += [begin_ms, _FOR_EVER_MS]
        away_ms.append(total_ms)
        total_ms += end_ms - begin_ms
        away_ms.append(total_ms)
    return {"away_ends": ends, "away_until": until_ms, "away_ms": away_ms}


def found_of(values: Sequence[Any]) -> Found:
    """A row selected by `columns_of("sessions")` and EVIDENCE."""
    *row, latest_ms, heard, rhythm_ms, ended_ms, recorded_ms, screenshot_position = values
    signs = Signs(latest_ms=latest_ms, heard=heard, rhythm_ms=rhythm_ms, recording_ended_ms=ended_ms)
    return Found(session_row(row), signs, recorded_ms, screenshot_position)


async def live_beyond(
    connection: AsyncConnection, facts: Mapping[str, Any], stream_ids: Sequence[str]
) -> set[str]:
    """Those of these streams that have any live session, of more than are shown."""
    sql = (
        "SELECT named.stream_id FROM unnest(%(streams)s::text[]) AS named(stream_id)"
        " WHERE (SELECT true FROM (SELECT * FROM sessions AS o WHERE o.stream_id = named.stream_id"
        f" AND NOT o.ended OFFSET 0) AS s {SIGNS} WHERE NOT {SUSPECT} LIMIT 1)"
    )
    return {row[0] for row in await fetch(connection, sql, {"streams": list(stream_ids), **facts})}


async def sequences_of_several_streams(connection: AsyncConnection, sequences: Sequence[str]) -> set[str]:
    """Those of these sequences that more than one stream has."""
    rows = await fetch(
        connection,
        "SELECT named.sequence FROM unnest(%(sequences)s::text[]) AS named(sequence) WHERE ("
        " SELECT count(*) FROM"
        "  (SELECT FROM sessions AS s WHERE s.sequence = named.sequence LIMIT 2) AS two"
        ") > 1",
        {"sequences": list(sequences)},
    )
    return {row[0] for row in rows}
