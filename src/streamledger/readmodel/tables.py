"""Loading and writing the rows of the sessions projection, in one generation of its tables."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import psycopg

from streamledger.domain.attribution import SLACK_MS
from streamledger.domain.session import OPEN_END_MS, SessionState
from streamledger.readmodel import rows as row_types
from streamledger.readmodel.batch import Window
from streamledger.readmodel.rows import AnyRow, SessionRow, StreamRow, TimelineRow
from streamledger.readmodel.workspace import Change, FactKey, SessionKey

KEYS: Final = {
    "sessions": ("stream_id", "sequence"),
    "timeline": ("stream_id", "kind", "key", "sequence"),
    "streams": ("stream_id",),
}
TYPES: Final[dict[str, type[SessionRow] | type[TimelineRow] | type[StreamRow]]] = {
    "sessions": SessionRow,
    "timeline": TimelineRow,
    "streams": StreamRow,
}
JSON_COLUMNS: Final = frozenset({"fold", "rivals", "alternatives"})
ARRAY_TYPES: Final = {int: "int8[]", str: "text[]", bool: "bool[]"}

_state_decoder = msgspec.json.Decoder(SessionState)


def columns_of(table: str, alias: str = "") -> str:
    """The select list of a table, jsonb as text, in the order of its struct."""
    prefix = f"{alias}." if alias else ""
    return ", ".join(
        f"{prefix}{name}::text" if name in JSON_COLUMNS else f"{prefix}{name}"
        for name in TYPES[table].__struct_fields__
    )


def session_row(values: Sequence[Any]) -> SessionRow:
    """A row as selected by `columns_of("sessions")`."""
    *plain, state = values
    names = SessionRow.__struct_fields__
    return SessionRow(**dict(zip(names, (*plain, _state_decoder.decode(state)), strict=True)))


def timeline_row(values: Sequence[Any]) -> TimelineRow:
    """A row as selected by `columns_of("timeline")`."""
    given = dict(zip(TimelineRow.__struct_fields__, values, strict=True))
    if given["rivals"] is not None:
        given["rivals"] = msgspec.json.decode(given["rivals"], type=tuple[tuple[str, int], ...])
    if given["alternatives"] is not None:
        given["alternatives"] = msgspec.json.decode(given["alternatives"], type=tuple[str, ...])
    return TimelineRow(**given)


def stream_row(values: Sequence[Any]) -> StreamRow:
    """A row as selected by `columns_of("streams")`."""
    return StreamRow(**dict(zip(StreamRow.__struct_fields__, values, strict=True)))


class Tables:
    """The three tables of one generation; `suffix` is empty for the live one."""

    def __init__(self, connection: psycopg.Connection[Any], suffix: str = "") -> None:
        self._connection = connection
        self._suffix = suffix

    def name(self, table: str) -> str:
        """The table's name in this generation."""
        return table + self._suffix

    def sessions(self, keys: Iterable[SessionKey]) -> list[SessionRow]:
        """The rows of these sessions, as far as there are."""
        streams, sequences = _columns(keys, 2)
        found = self._select(
            f"SELECT {columns_of('sessions', 's')}"  # noqa: S608  # constant names
            f" FROM unnest(%b::text[], %b::text[]) AS named(stream_id, sequence)"
            f" JOIN {self.name('sessions')} AS s USING (stream_id, sequence)",
            (streams, sequences),
        )
        return [session_row(values) for values in found]

    def timeline(self, keys: Iterable[FactKey]) -> list[TimelineRow]:
        """All rows of these notifications, as far as there are."""
        found = self._select(
            f"SELECT {columns_of('timeline', 't')}"  # noqa: S608  # constant names
            f" FROM unnest(%b::text[], %b::text[], %b::text[]) AS named(stream_id, kind, key)"
            f" JOIN {self.name('timeline')} AS t USING (stream_id, kind, key)",
            tuple(_columns(keys, 3)),
        )
        return [timeline_row(values) for values in found]

    def streams(self, stream_ids: Iterable[str]) -> list[StreamRow]:
        """The rows of these streams, as far as there are."""
        found = self._select(
            f"SELECT {columns_of('streams')} FROM {self.name('streams')} WHERE stream_id = ANY(%b)",  # noqa: S608  # constant names
            (list(stream_ids),),
        )
        return [stream_row(values) for values in found]

    def sessions_near(self, windows: Sequence[Window]) -> list[SessionRow]:
        """The sessions whose spans come within the slack of these windows."""
        found = self._select(
            f"SELECT {columns_of('sessions', 's')}"  # noqa: S608  # constant names
            f" FROM unnest(%b::text[], %b::int8[], %b::int8[]) AS w(stream_id, from_ms, until_ms)"
            f" JOIN {self.name('sessions')} AS s ON s.stream_id = w.stream_id"
            f" AND s.span_until_ms >= w.from_ms - {SLACK_MS} AND s.span_from_ms <= w.until_ms",
            (
                [window.stream_id for window in windows],
                [window.from_ms for window in windows],
                [min(window.until_ms + SLACK_MS, OPEN_END_MS) for window in windows],
            ),
        )
        return [session_row(values) for values in found]

    def media_in(self, windows: Sequence[tuple[Window, Sequence[str]]]) -> set[FactKey]:
        """The media that touch these windows: moments of the named sessions and of none, and recordings."""
        moments = [(window, sequence) for window, sequences in windows for sequence in ("", *sequences)]
        keys = self._select(
            f"SELECT t.stream_id, t.kind, t.key"  # noqa: S608  # constant names
            f" FROM unnest(%b::text[], %b::text[], %b::int8[], %b::int8[])"
            f" AS w(stream_id, sequence, from_ms, until_ms)"
            f" JOIN {self.name('timeline')} AS t USING (stream_id, sequence)"
            f" WHERE t.at_ms BETWEEN w.from_ms AND w.until_ms"
            f" AND t.kind IN ('screenshot', 'recording_status', 'recording_exception')",
            (
                [window.stream_id for window, _ in moments],
                [sequence for _, sequence in moments],
                [window.from_ms for window, _ in moments],
                [window.until_ms for window, _ in moments],
            ),
        )
        keys += self._select(
            f"SELECT t.stream_id, t.kind, t.key"  # noqa: S608  # constant names
            f" FROM unnest(%b::text[], %b::int8[], %b::int8[]) AS w(stream_id, from_ms, until_ms)"
            f" JOIN {self.name('timeline')} AS t ON t.stream_id = w.stream_id"
            f" AND t.until_ms >= w.from_ms AND t.at_ms <= w.until_ms"
            f" WHERE t.kind = 'recording'",
            (
                [window.stream_id for window, _ in windows],
                [window.from_ms for window, _ in windows],
                [window.until_ms for window, _ in windows],
            ),
        )
        return {(stream_id, kind, key) for stream_id, kind, key in keys}

    def write(self, changes: Iterable[Change]) -> int:
        """Write changed rows; returns what they add to the projection's digest, modulo 2^64."""
        digest = 0
        inserted: dict[str, list[str]] = {table: [] for table in TYPES}
        updated: dict[str, list[AnyRow]] = {table: [] for table in TYPES}
        deleted: dict[str, list[AnyRow]] = {table: [] for table in TYPES}
        for change in changes:
            before, after = change.before, change.after
            if before is not None:
                digest -= row_types.digest_of(before.TABLE, row_types.copy_line(before))
            if after is not None:
                line = row_types.copy_line(after)
                digest += row_types.digest_of(after.TABLE, line)
                if before is None:
                    inserted[after.TABLE].append(line)
                else:
                    updated[after.TABLE].append(after)
            elif before is not None:
                deleted[before.TABLE].append(before)
        for table in TYPES:
            self._delete(table, deleted[table])
            self._update(table, updated[table])
            self.copy_in(table, inserted[table])
        return digest % row_types.DIGEST_MODULUS

    def copy_in(self, table: str, lines: Sequence[str]) -> None:
        """Insert rows given as lines of COPY's text format."""
        if not lines:
            return
        names = ", ".join(TYPES[table].__struct_fields__)
        with (
            self._connection.cursor() as cursor,
            cursor.copy(f"COPY {self.name(table)} ({names}) FROM STDIN") as copy,
        ):
            copy.write("\n".join(lines) + "\n")

    def _update(self, table: str, rows: Sequence[AnyRow]) -> None:
        if not rows:
            return
        names = TYPES[table].__struct_fields__
        keys = KEYS[table]
        assignments = ", ".join(f"{name} = new.{name}" for name in names if name not in keys)
        matches = " AND ".join(f"old.{name} = new.{name}" for name in keys)
        values = [[_parameter(getattr(row, name), name) for row in rows] for name in names]
        sources = ", ".join("%b::" + _array_type(TYPES[table], name) for name in names)
        selected = ", ".join(f"{name}::jsonb AS {name}" if name in JSON_COLUMNS else name for name in names)
        self._connection.execute(
            f"UPDATE {self.name(table)} AS old SET {assignments}"  # noqa: S608  # constant names
            f" FROM (SELECT {selected} FROM unnest({sources}) AS given({', '.join(names)})) AS new"
            f" WHERE {matches}",
            values,
        )

    def _delete(self, table: str, rows: Sequence[AnyRow]) -> None:
        if not rows:
            return
        keys = KEYS[table]
        arrays = ", ".join("%b::text[]" for _ in keys)
        matches = " AND ".join(f"old.{name} = gone.{name}" for name in keys)
        self._connection.execute(
            f"DELETE FROM {self.name(table)} AS old"  # noqa: S608  # constant names
            f" USING unnest({arrays}) AS gone({', '.join(keys)}) WHERE {matches}",
            [[getattr(row, name) for row in rows] for name in keys],
        )

    def _select(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        if not parameters[0]:
            return []
        with self._connection.cursor(binary=True) as cursor:
            cursor.execute(sql, parameters, prepare=True)
            return cursor.fetchall()


def _columns(keys: Iterable[Sequence[str]], width: int) -> list[list[str]]:
    keys = list(keys)
    return [[key[column] for key in keys] for column in range(width)]


def _parameter(value: Any, name: str) -> Any:
    if name in JSON_COLUMNS and value is not None:
        return msgspec.json.encode(value, order="deterministic").decode()
    return value


def _array_type(row_type: type[AnyRow], name: str) -> str:
    if name in JSON_COLUMNS:
        return "text[]"
    annotation = row_type.__annotations__[name]
    return next(sql for kind, sql in ARRAY_TYPES.items() if annotation in (kind, kind | None))
