"""What a rebuild would change for who reads the answers: sessions, attributions, classes of deliveries.

`comparison` tells rows and columns apart. Here both generations are asked what they say, by the queries and
rules of the answers themselves, and what differs is counted by kind, with the first examples of each. Memory
does not grow with the history: sessions pass in batches, the rest is counted by PostgreSQL.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
import psycopg

from streamledger.domain.answers import RecordingTotals, ScreenshotTotals, Session
from streamledger.domain.derivation import Totals, derive, distinct_notifications
from streamledger.domain.kinds import ATTRIBUTED_KINDS
from streamledger.domain.rebuild_answers import Change
from streamledger.domain.suspicion import SuspectLimits
from streamledger.readmodel.fold.columns import columns_of
from streamledger.readmodel.queries.absences import with_absences_now
from streamledger.readmodel.queries.evidence import EVIDENCE, SIGNS, found_of, suspect_facts
from streamledger.readmodel.queries.presenters import evidence_of, meaning

BATCH_SESSIONS: Final = 500

_READ: Final = ("sessions", "session_folds", "timeline")
"""The tables of which the answers about sessions are made."""

# ruff: noqa: S608  # every text below is made of constants

_TOUCHED: Final = """
SELECT stream_id, sequence FROM (
    SELECT stream_id, sequence FROM {sessions}
    UNION SELECT stream_id, sequence FROM {session_folds}
    UNION SELECT stream_id, live.sequence FROM {timeline}
    UNION SELECT stream_id, made.sequence FROM {timeline}
) AS touched WHERE sequence <> '' ORDER BY stream_id, sequence
"""
"""The sessions of which any row differs. A session's own row does not tell of all that speaks against it."""

_SAID: Final = f"""
SELECT {columns_of("sessions", "s")}, {EVIDENCE}
FROM unnest(%(streams)s::text[], %(sequences)s::text[]) AS named(stream_id, sequence) CROSS JOIN LATERAL
    (SELECT * FROM sessions AS o WHERE o.stream_id = named.stream_id AND o.sequence = named.sequence) AS s
{SIGNS}
"""

_COUNTED: Final = """
SELECT what, before, after, total::int8, stream_id, detail, count FROM (
    SELECT g.*, sum(count) OVER kinds AS total,
           row_number() OVER (kinds ORDER BY count DESC, stream_id, detail::text) AS place
    FROM ({groups}) AS g WINDOW kinds AS (PARTITION BY what, before, after)
) AS ranked WHERE place <= greatest(%(examples_max)s, 1) ORDER BY what, before, after, place
"""

_KINDS: Final = ", ".join(f"'{kind.value}'" for kind in sorted(ATTRIBUTED_KINDS))
_HELD: Final = (
    "CASE WHEN {side}.sequence IS NULL THEN NULL WHEN {side}.sequence = '' THEN 'none' ELSE 'session' END"
)
_MOVED: Final = f"""
    SELECT kind AS what, {_HELD.format(side="live")} AS before, {_HELD.format(side="made")} AS after,
           stream_id, jsonb_build_object('before', live.sequence, 'after', made.sequence) AS detail,
           count(*) AS count
    FROM {{timeline}} AND kind IN ({_KINDS}) AND live.sequence IS DISTINCT FROM made.sequence
    GROUP BY kind, stream_id, live.sequence, made.sequence
"""
_CERTAINTY: Final = f"""
    SELECT kind || '_certainty' AS what, coalesce(live.confidence, 'certain') AS before,
           coalesce(made.confidence, 'certain') AS after, stream_id,
           jsonb_build_object('sequence', live.sequence) AS detail, count(*) AS count
    FROM {{timeline}} AND kind IN ({_KINDS}) AND live.sequence = made.sequence AND live.sequence <> ''
        AND coalesce(live.confidence, 'certain') <> coalesce(made.confidence, 'certain')
    GROUP BY kind, stream_id, live.sequence, coalesce(live.confidence, 'certain'),
        coalesce(made.confidence, 'certain')
"""
_CLASSES: Final = """
    SELECT 'delivery' AS what, coalesce(live.judged_as, 'first') AS before,
           coalesce(made.judged_as, 'first') AS after, coalesce(live.stream_id, made.stream_id) AS stream_id,
           jsonb_build_object('position', position, 'sequence', coalesce(live.sequence, made.sequence))
               AS detail, 1::int8 AS count
    FROM {repeats} AND coalesce(live.judged_as, 'first') <> coalesce(made.judged_as, 'first')
"""
_GROUPS: Final = (("timeline", _MOVED), ("timeline", _CERTAINTY), ("repeats", _CLASSES))
_KEYS: Final = {
    "sessions": "sequence, stream_id",
    "session_folds": "stream_id, sequence",
    "timeline": "stream_id, kind, key, part",
    "repeats": "position",
}


def _both(table: str, suffix: str, streams: Sequence[str] | None) -> str:
    """A FROM clause with a condition: the rows of a table that differ between the generations."""
    condition = "" if streams is None else " WHERE stream_id = ANY(%(only)s::text[])"
    return (
        f"(SELECT * FROM {table}{condition}) AS live FULL JOIN (SELECT * FROM {table}{suffix}{condition})"
        f" AS made USING ({_KEYS[table]}) WHERE ROW(live.*) IS DISTINCT FROM ROW(made.*)"
    )


_FIELDS: Final[dict[str, Callable[[Session], Any]]] = {
    "started_at": lambda said: said.started_at,
    "ended_at": lambda said: said.ended_at,
    "duration_ms": lambda said: said.duration_ms if said.state == "ended" else None,
    "errcode": lambda said: said.stop and said.stop.errcode,
    "recordings": lambda said: said.recordings.count,
    "screenshots": lambda said: said.screenshots.count,
    "recorded_ms": lambda said: said.recordings.recorded_ms,
    "anomalies": lambda said: sorted(each.code for each in said.anomalies),
}
"""What is told of a session that both generations know, besides its state; how long one without a stop has
lasted follows from that."""


class _Noted:
    """Counts by kind of change, with the first examples of each; the kinds are a fixed, small number."""

    def __init__(self, examples_max: int) -> None:
        self._examples_max = examples_max
        self._found: dict[tuple[str, str | None, str | None], tuple[list[int], list[dict[str, Any]]]] = {}

    def note(
        self, what: str, before: str | None, after: str | None, example: dict[str, Any], total: int = 1
    ) -> None:
        count, examples = self._found.setdefault((what, before, after), ([0], []))
        count[0] += total
        if len(examples) < self._examples_max:
            examples.append(example)

    def changes(self) -> list[Change]:
        """Sessions and their states first, their fields last."""
        return [
            Change(what=what, before=before, after=after, count=count[0], examples=examples)
            for (what, before, after), (count, examples) in sorted(
                self._found.items(),
                key=lambda each: (
                    each[0][0] in _FIELDS,
                    each[0][0] not in ("session", "state"),
                    tuple(part or "" for part in each[0]),
                ),
            )
        ]


def changes(
    connection: psycopg.Connection[Any],
    tables: Sequence[str],
    suffix: str,
    *,
    now_ms: int,
    limits: SuspectLimits,
    examples_max: int,
    streams: Sequence[str] | None = None,
) -> list[Change]:
    """What the answers of a generation would say otherwise than the live ones, within a transaction.

    `tables` are those that the generation has; of `streams` alone where they are named. States are those of
    `now_ms`, by the limits given.
    """
    noted = _Noted(examples_max)
    facts = {"only": None if streams is None else list(streams), "examples_max": examples_max}
    both = {table: _both(table, suffix, streams) for table in _KEYS if table in tables}
    if both.keys() >= set(_READ):
        limits = with_absences_now(connection, limits)
        asked = suspect_facts(limits, now_ms)
        with connection.cursor(name="touched") as cursor:
            cursor.execute(_TOUCHED.format_map(both), facts)
            while batch := cursor.fetchmany(BATCH_SESSIONS):
                live, made = (_said(connection, each, batch, asked, now_ms, limits) for each in ("", suffix))
                for key in batch:
                    _note_session(noted, live.get(key), made.get(key))
    for table, groups in _GROUPS:
        if table in both:
            sql = _COUNTED.format(groups=groups.format_map(both))
            for what, before, after, total, stream_id, detail, count in _ranked(connection, sql, facts):
                example = {"stream_id": stream_id, **detail, "count": count}
                noted.note(what, before, after, example, total)
    return noted.changes()


def _ranked(
    connection: psycopg.Connection[Any], sql: str, facts: dict[str, Any]
) -> Iterator[tuple[Any, ...]]:
    """The rows, the total of a kind on its first one alone."""
    known: set[tuple[Any, ...]] = set()
    for row in connection.execute(sql, facts).fetchall():
        kind = tuple(row[:3])
        yield row if kind not in known else (*kind, 0, *row[4:])
        known.add(kind)


def _said(
    connection: psycopg.Connection[Any],
    suffix: str,
    keys: Sequence[tuple[str, str]],
    asked: dict[str, Any],
    now_ms: int,
    limits: SuspectLimits,
) -> dict[tuple[str, str], Session]:
    """What one generation says of these sessions."""
    # Within the statement the names of the live tables stand for those of the generation.
    names = ", ".join(f"{table} AS NOT MATERIALIZED (SELECT * FROM {table}{suffix})" for table in _READ)
    facts = {"streams": [key[0] for key in keys], "sequences": [key[1] for key in keys], **asked}
    said = {}
    for values in connection.execute(f"WITH {names} {_SAID}", facts).fetchall():
        try:
            found = found_of(values)
        except (TypeError, msgspec.DecodeError):
            continue  # without a fold, or with one of unreadable form, no answer can be made of it
        row = found.row
        totals = Totals(
            recordings=RecordingTotals(count=row.recordings, recorded_ms=found.recorded_ms),
            screenshots=ScreenshotTotals(count=row.screenshots),
            deliveries=row.deliveries,
            notifications=distinct_notifications(row.fold),
            position=row.position,
        )
        answer = derive(row.fold, totals, evidence_of(found, now_ms, limits), meaning)
        said[row.stream_id, row.sequence] = answer
    return said


def _note_session(noted: _Noted, live: Session | None, made: Session | None) -> None:
    found = made or live
    if found is None:
        return  # a row of the timeline names a session that neither generation has
    named = {"stream_id": found.stream_id, "sequence": found.sequence}
    if live is None or made is None:
        example = {**named, "reasons": found.state_reasons, "ended_at": found.ended_at}
        noted.note("session", live.state if live else None, made.state if made else None, example)
        return
    if (live.state, live.state_reasons) != (made.state, made.state_reasons):
        # The stop that either knows of tells why: it was found, or it is another push's.
        ends = {"ended_at": made.ended_at or live.ended_at}
        reasons = {"reasons_before": live.state_reasons, "reasons_after": made.state_reasons}
        noted.note("state", live.state, made.state, {**named, **reasons, **ends})
    for name, value_of in _FIELDS.items():
        before, after = (msgspec.to_builtins(value_of(each)) for each in (live, made))
        if before != after:
            noted.note(name, None, None, {**named, "before": before, "after": after})
