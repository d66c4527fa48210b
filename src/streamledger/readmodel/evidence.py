"""What speaks for or against an open session, read from the tables: the rules are domain.suspicion's."""

from typing import Any, Final

from streamledger.domain.suspicion import SuspectLimits

SIGNS: Final = """
    CROSS JOIN LATERAL (
        SELECT greatest(latest.at_ms, file.until_ms) AS latest_ms,
               CASE WHEN s.ended THEN NULL
                    WHEN status.note = 'record_ended' THEN greatest(status.at_ms, file.until_ms)
                    WHEN status.at_ms > file.until_ms THEN NULL
                    ELSE 2 * file.until_ms - file.at_ms END AS recording_ended_ms
        FROM (VALUES (1)) AS one
        LEFT JOIN LATERAL (SELECT t.at_ms FROM timeline AS t WHERE t.stream_id = s.stream_id
            AND t.sequence = s.sequence ORDER BY t.at_ms DESC LIMIT 1) AS latest ON true
        LEFT JOIN LATERAL (SELECT t.note, t.at_ms FROM timeline AS t WHERE NOT s.ended
            AND t.stream_id = s.stream_id AND t.sequence = s.sequence AND t.kind = 'recording_status'
            ORDER BY t.at_ms DESC, t.key DESC LIMIT 1) AS status ON true
        LEFT JOIN LATERAL (SELECT t.at_ms, t.until_ms FROM timeline AS t WHERE s.recordings > 0
            AND t.stream_id = s.stream_id AND t.sequence = s.sequence AND t.kind = 'recording'
            ORDER BY t.at_ms DESC, t.key DESC LIMIT 1) AS file ON true
        OFFSET 0
    ) AS signs
"""
"""To join to `sessions AS s`: one look into an index for each sign, which are as in `domain.suspicion`.

Without OFFSET 0 PostgreSQL would copy the looks into every place of a condition that names them.
"""
EVIDENCE: Final = """
    signs.latest_ms, signs.recording_ended_ms, CASE WHEN s.screenshots > 0 THEN
        (SELECT t.position FROM timeline AS t WHERE t.stream_id = s.stream_id AND t.sequence = s.sequence
         AND t.kind = 'screenshot' ORDER BY t.at_ms DESC, t.key DESC LIMIT 1) END AS screenshot_position
"""
"""Select list over `sessions AS s` and SIGNS; the screenshot is looked up only for rows that are taken."""

_SIGN: Final = "greatest(sort_ms, latest_ms)"
SUSPECT: Final = (
    f"({_SIGN} < %(silent_since_ms)s"
    f" OR (newer_ms < %(newer_since_ms)s AND {_SIGN} <= newer_ms)"
    f" OR coalesce(recording_ended_ms < %(recorded_since_ms)s AND {_SIGN} <= recording_ended_ms, false))"
)
"""What `domain.suspicion.suspicions` says of an open session, as a condition on the columns above."""

MAY_BE_SUSPECT: Final = (
    "(s.sort_ms < %(silent_since_ms)s::int8 OR s.newer_ms < %(newer_since_ms)s::int8"
    " OR (s.sort_ms < %(recorded_since_ms)s::int8 AND (s.recordings > 0 OR"
    # A scalar: PostgreSQL would turn EXISTS into a read of all reports.
    " (SELECT true FROM timeline AS t WHERE t.stream_id = s.stream_id AND t.sequence = s.sequence"
    " AND t.kind = 'recording_status' LIMIT 1))))"
)
"""What follows from SUSPECT without all its evidence, as the sign is never before sort_ms.

It spares those that began a moment ago, or were never recorded, the look-up of their evidence.
"""


def suspect_facts(limits: SuspectLimits, now_ms: int) -> dict[str, Any]:
    """The parameters of SUSPECT."""
    return {
        "silent_since_ms": now_ms - limits.silence_ms_max,
        "newer_since_ms": now_ms - limits.newer_push_ms_max,
        "recorded_since_ms": now_ms - limits.recording_ended_ms_max,
    }
