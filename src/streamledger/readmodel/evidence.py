"""What speaks for or against an open session, read from the tables: the rules are domain.suspicion's."""

from typing import Any, Final

from streamledger.domain.suspicion import SuspectLimits

EVIDENCE: Final = """
    greatest(
        (SELECT t.at_ms FROM timeline AS t WHERE t.stream_id = s.stream_id AND t.sequence = s.sequence
         ORDER BY t.at_ms DESC LIMIT 1),
        (SELECT t.until_ms FROM timeline AS t WHERE t.stream_id = s.stream_id AND t.sequence = s.sequence
         AND t.kind = 'recording' ORDER BY t.at_ms DESC, t.key DESC LIMIT 1)
    ) AS latest_ms,
    CASE WHEN s.ended THEN NULL ELSE (
        SELECT CASE WHEN status.note = 'record_ended' THEN greatest(status.at_ms, file.until_ms)
               WHEN status.at_ms > file.until_ms THEN NULL
               ELSE 2 * file.until_ms - file.at_ms END
        FROM (VALUES (1)) AS one
        LEFT JOIN LATERAL (SELECT t.note, t.at_ms FROM timeline AS t WHERE t.stream_id = s.stream_id
            AND t.sequence = s.sequence AND t.kind = 'recording_status'
            ORDER BY t.at_ms DESC, t.key DESC LIMIT 1) AS status ON true
        LEFT JOIN LATERAL (SELECT t.at_ms, t.until_ms FROM timeline AS t WHERE t.stream_id = s.stream_id
            AND t.sequence = s.sequence AND t.kind = 'recording'
            ORDER BY t.at_ms DESC, t.key DESC LIMIT 1) AS file ON true
    ) END AS recording_ended_ms,
    CASE WHEN s.screenshots > 0 THEN
        (SELECT t.position FROM timeline AS t WHERE t.stream_id = s.stream_id AND t.sequence = s.sequence
         AND t.kind = 'screenshot' ORDER BY t.at_ms DESC, t.key DESC LIMIT 1) END AS screenshot_position
"""
"""Select list over `sessions AS s`; `recording_ended_ms` as in `domain.suspicion`."""

_SIGN: Final = "greatest(sort_ms, latest_ms)"
SUSPECT: Final = (
    f"({_SIGN} < %(silent_since_ms)s"
    f" OR (newer_ms < %(newer_since_ms)s AND {_SIGN} <= newer_ms)"
    f" OR coalesce(recording_ended_ms < %(recorded_since_ms)s AND {_SIGN} <= recording_ended_ms, false))"
)
"""What `domain.suspicion.suspicions` says of an open session, as a condition on the columns above."""

MAY_BE_SUSPECT: Final = (
    "s.sort_ms < greatest(%(silent_since_ms)s::int8, %(newer_since_ms)s::int8, %(recorded_since_ms)s::int8)"
)
"""What follows from SUSPECT, as the sign is never before sort_ms: it spares those that began a moment ago."""


def suspect_facts(limits: SuspectLimits, now_ms: int) -> dict[str, Any]:
    """The parameters of SUSPECT."""
    return {
        "silent_since_ms": now_ms - limits.silence_ms_max,
        "newer_since_ms": now_ms - limits.newer_push_ms_max,
        "recorded_since_ms": now_ms - limits.recording_ended_ms_max,
    }
