"""What a fold has changed, written: COPY for new rows, one statement a table for all else."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import psycopg

from streamledger.readmodel.fold.columns import NARROW
from streamledger.readmodel.fold.counting import count_media
from streamledger.readmodel.fold.facts import PlainMedia, bare, began_before
from streamledger.readmodel.fold.lines import array_literal, copy_line, json_text, line_of
from streamledger.readmodel.fold.nothing import set_totals
from streamledger.readmodel.fold.rows import DayRow, StreamRow, TableRow, TimelineRow, Totals
from streamledger.readmodel.fold.view import Changes, Laid, without

_TOTALS: Final = Totals.__struct_fields__
_MOVING: Final = tuple(name for name in NARROW if name not in ("sequence", "stream_id", *_TOTALS))
"""What of a session's row may change with its notifications, and with those of others."""
_TEXTS: Final = frozenset({"app", "appname", "witness"})
_FLAGS: Final = frozenset({"ended", "start_known", "refused"})

_MEDIA_SQL: Final = (
    "INSERT INTO timeline{suffix} (stream_id, kind, key, part, sequence, at_ms, until_ms, position,"
    " received_ms, deliveries, confidence, because, alternatives, alternatives_total, duration_ms, bytes,"
    " began_ms, task, note)"
    " SELECT given.stream_id, given.kind, given.key, 0, given.sequence, given.at_ms, given.until_ms,"
    " given.position, given.received_ms, 1, given.confidence, given.because, given.alternatives,"
    " given.alternatives_total, given.duration_ms, given.bytes, given.began_ms, given.task, given.note"
    " FROM unnest(%t::text[], %t::text[], %t::text[], %t::text[], %t::int8[], %t::int8[], %t::int8[],"
    " %t::int8[], %t::text[], %t::text[], %t::text[], %t::int8[], %t::int8[], %t::int8[], %t::int8[],"
    " %t::text[], %t::text[])"
    " AS given(stream_id, kind, key, sequence, at_ms, until_ms, position, received_ms, confidence, because,"
    " alternatives, alternatives_total, duration_ms, bytes, began_ms, task, note)"
    " ON CONFLICT (stream_id, kind, key, part) DO NOTHING RETURNING position"
)
"""The unique key is the notification's identity: the insert itself finds what was there already."""

_SUMS: Final = ("sessions", "recordings", "screenshots", "others", "unattributed", "open_sessions")
_STREAMS_SQL: Final = (  # noqa: S608  # constant names
    "INSERT INTO streams{suffix} AS s ({names})"
    " SELECT {named} FROM unnest(%t::text[]{arrays}) AS given({names})"
    " ON CONFLICT (stream_id) DO UPDATE SET {sums},"
    " latest_ms = greatest(s.latest_ms, excluded.latest_ms),"
    " first_seen_us = least(s.first_seen_us, excluded.first_seen_us),"
    " last_seen_us = greatest(s.last_seen_us, excluded.last_seen_us),"
    " position = greatest(s.position, excluded.position)"
).format(
    suffix="{suffix}",
    names=", ".join(StreamRow.__struct_fields__),
    named=", ".join(f"given.{name}" for name in StreamRow.__struct_fields__),
    arrays=", %t::int8[]" * (len(StreamRow.__struct_fields__) - 1),
    sums=", ".join(f"{name} = s.{name} + excluded.{name}" for name in _SUMS),
)
_DAYS_SQL: Final = (
    "INSERT INTO delivery_days{suffix} AS d (day, judged_as, deliveries)"
    " SELECT given.day, given.judged_as, given.deliveries"
    " FROM unnest(%t::int8[], %t::text[], %t::int8[]) AS given(day, judged_as, deliveries)"
    " ON CONFLICT (day, judged_as) DO UPDATE SET deliveries = d.deliveries + excluded.deliveries"
)


class Writing:
    """Writes into one generation's tables."""

    def __init__(self, connection: psycopg.Connection[Any], suffix: str = "") -> None:
        self._connection = connection
        self._suffix = suffix

    def write(self, changes: Changes) -> set[int]:
        """Write changes; returns the positions of plain media whose notifications were there already."""
        taken = self._insert_media(changes.media)
        again = {media.position for each in changes.media for media in each.media} - taken
        new = without(changes.media, again) if again else changes.media
        count_media(changes, new)
        parts = [row for each in new for row in (each.rows or ())[1:]]
        self._replace("timeline", ("stream_id", "kind", "key"), changes.replaced)
        rows = [row for found in changes.entries.values() for row in found]
        self._copy_rows("timeline", TimelineRow.__struct_fields__, [*parts, *rows])
        self._write_sessions(changes)
        self._add_streams(changes.streams)
        self._copy_rows("repeats", None, changes.repeats)
        self._replace("notifications", ("stream_id", "kind", "key"), changes.notifications)
        self._copy_rows("notifications", None, list(changes.notifications.values()))
        days = [
            DayRow(day=day, judged_as=judged_as, deliveries=count)
            for (day, judged_as), count in sorted(changes.days.items())
        ]
        self._execute(_DAYS_SQL, [[getattr(row, name) for row in days] for name in DayRow.__struct_fields__])
        return again

    def _insert_media(self, laid: Sequence[Laid]) -> set[int]:
        if not laid:
            return set()
        values = [_values(each, media) for each in laid for media in each.media]
        sql = _MEDIA_SQL.format(suffix=self._suffix)
        with self._connection.cursor(binary=True) as cursor:
            cursor.execute(sql, [array_literal(column) for column in zip(*values, strict=True)], prepare=True)
            return {position for (position,) in cursor.fetchall()}

    def _write_sessions(self, changes: Changes) -> None:
        created = [row for key, row in changes.sessions.items() if key in changes.created]
        for row in created:
            set_totals(row, changes.totals.pop((row.stream_id, row.sequence), None))
        self._copy("sessions", NARROW, [copy_line(row, -1) for row in created])
        self._copy(
            "session_folds",
            ("stream_id", "sequence", "fold"),
            [line_of((row.stream_id, row.sequence, json_text(row.fold))) for row in created],
        )
        changed = [row for key, row in changes.sessions.items() if key not in changes.created]
        columns = [[getattr(row, name) for row in changed] for name in ("stream_id", "sequence", *_MOVING)]
        arrays = ", ".join("%t::" + _array_type(name) for name in ("stream_id", "sequence", *_MOVING))
        names = ", ".join(("stream_id", "sequence", *_MOVING))
        self._execute(
            "UPDATE sessions{suffix} AS s SET "  # noqa: S608  # constant names
            + ", ".join(f"{name} = given.{name}" for name in _MOVING)
            + f" FROM unnest({arrays}) AS given({names})"
            " WHERE s.stream_id = given.stream_id AND s.sequence = given.sequence",
            columns,
        )
        folded = [
            row
            for key, row in changes.sessions.items()
            if key in changes.folded and key not in changes.created
        ]
        self._execute(
            "UPDATE session_folds{suffix} AS s SET fold = given.fold"
            " FROM unnest(%t::text[], %t::text[], %t::text[]) AS given(stream_id, sequence, fold)"
            " WHERE s.stream_id = given.stream_id AND s.sequence = given.sequence",
            [
                [row.stream_id for row in folded],
                [row.sequence for row in folded],
                [json_text(row.fold) for row in folded],
            ],
        )
        totals = sorted(changes.totals.items())
        self._execute(
            "UPDATE sessions{suffix} AS s SET "  # noqa: S608  # constant names
            + ", ".join(f"{name} = s.{name} + given.{name}" for name in _TOTALS)
            + f" FROM unnest(%t::text[], %t::text[]{', %t::int8[]' * len(_TOTALS)})"
            f" AS given(stream_id, sequence, {', '.join(_TOTALS)})"
            " WHERE s.stream_id = given.stream_id AND s.sequence = given.sequence",
            [
                [stream_id for (stream_id, _), _ in totals],
                [sequence for (_, sequence), _ in totals],
                *([getattr(each, name) for _, each in totals] for name in _TOTALS),
            ],
        )

    def _add_streams(self, streams: Mapping[str, StreamRow]) -> None:
        rows = [streams[name] for name in sorted(streams)]
        self._execute(
            _STREAMS_SQL, [[getattr(row, name) for row in rows] for name in StreamRow.__struct_fields__]
        )

    def _replace(self, table: str, key: Sequence[str], keys: Iterable[Sequence[str]]) -> None:
        """Delete the rows of these keys: others come in their place."""
        found = list(keys)
        self._execute(
            f"DELETE FROM {table}{{suffix}} AS t USING unnest({', '.join('%t::text[]' for _ in key)})"  # noqa: S608  # constant names
            f" AS gone({', '.join(key)}) WHERE {' AND '.join(f't.{name} = gone.{name}' for name in key)}",
            [[each[place] for each in found] for place in range(len(key))],
        )

    def _copy_rows(self, table: str, names: Sequence[str] | None, rows: Sequence[TableRow]) -> None:
        if rows:
            self._copy(table, names or rows[0].__struct_fields__, [copy_line(row) for row in rows])

    def _copy(self, table: str, names: Sequence[str], lines: Sequence[str]) -> None:
        copy_in(self._connection, table + self._suffix, names, lines)

    def _execute(self, sql: str, columns: Sequence[Sequence[Any]]) -> None:
        if columns[0]:
            with self._connection.cursor() as cursor:
                cursor.execute(
                    sql.replace("{suffix}", self._suffix),
                    [array_literal(column) for column in columns],
                    prepare=True,
                )


def copy_in(
    connection: psycopg.Connection[Any], table: str, names: Sequence[str], lines: Sequence[str]
) -> None:
    """Insert rows given as lines of COPY's text format."""
    if lines:
        with (
            connection.cursor() as cursor,
            cursor.copy(f"COPY {table} ({', '.join(names)}) FROM STDIN") as copy,
        ):
            copy.write("\n".join(lines) + "\n")


def _array_type(name: str) -> str:
    if name in ("stream_id", "sequence") or name in _TEXTS:
        return "text[]"
    return "bool[]" if name in _FLAGS else "int8[]"


def _values(each: Laid, media: PlainMedia) -> tuple[Any, ...]:
    row = each.rows[0] if each.rows else None
    return (
        media.stream_id,
        media.kind,
        media.key,
        each.sequence if row is None else row.sequence,
        media.at_ms,
        media.until_ms,
        media.position,
        media.received_us // 1000,
        None if row is None else row.confidence,
        None if row is None else row.because,
        None if row is None or row.alternatives is None else json_text(row.alternatives),
        None if row is None else row.alternatives_total,
        media.duration_ms,
        media.file_bytes,
        began_before(media),
        media.task,
        bare(media),
    )
