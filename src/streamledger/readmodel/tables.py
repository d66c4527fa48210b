"""Loading and writing the rows of the sessions projection, in one generation of its tables."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from streamledger.domain.attribution import LAST_OPEN_MAX, SLACK_MS
from streamledger.domain.session import OPEN_END_MS, SessionState
from streamledger.readmodel.batch import ATTRIBUTED_KINDS, Follower, Window
from streamledger.readmodel.row_tables import RowTables, key_columns
from streamledger.readmodel.rows import SessionRow, StreamRow, TimelineRow
from streamledger.readmodel.workspace import FactKey, SessionKey

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
JSON_COLUMNS: Final = frozenset({"fold", "rivals", "alternatives", "copies"})

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
    if given["copies"] is not None:
        given["copies"] = msgspec.json.decode(given["copies"], type=tuple[int, ...])
    return TimelineRow(**given)


def stream_row(values: Sequence[Any]) -> StreamRow:
    """A row as selected by `columns_of("streams")`."""
    return StreamRow(**dict(zip(StreamRow.__struct_fields__, values, strict=True)))


class Tables(RowTables):
    """The three tables of one generation; `suffix` is empty for the live one."""

    types = TYPES
    keys = KEYS
    json_columns = JSON_COLUMNS

    def sessions(self, keys: Iterable[SessionKey]) -> list[SessionRow]:
        """The rows of these sessions, as far as there are."""
        streams, sequences = key_columns(keys, 2)
        found = self._select(
            f"SELECT {columns_of('sessions', 's')}"  # noqa: S608  # constant names
            f" FROM unnest(%t::text[], %t::text[]) AS named(stream_id, sequence)"
            f" JOIN {self.name('sessions')} AS s USING (stream_id, sequence)",
            (streams, sequences),
        )
        return [session_row(values) for values in found]

    def timeline(self, keys: Iterable[FactKey]) -> list[TimelineRow]:
        """All rows of these notifications, as far as there are."""
        found = self._select(
            f"SELECT {columns_of('timeline', 't')}"  # noqa: S608  # constant names
            f" FROM unnest(%t::text[], %t::text[], %t::text[]) AS named(stream_id, kind, key)"
            f" JOIN {self.name('timeline')} AS t USING (stream_id, kind, key)",
            tuple(key_columns(keys, 3)),
        )
        return [timeline_row(values) for values in found]

    def streams(self, stream_ids: Iterable[str]) -> list[StreamRow]:
        """The rows of these streams, as far as there are."""
        found = self._select(
            f"SELECT {columns_of('streams')} FROM {self.name('streams')} WHERE stream_id = ANY(%t::text[])",  # noqa: S608  # constant names
            (list(stream_ids),),
        )
        return [stream_row(values) for values in found]

    def sessions_near(
        self, windows: Sequence[Window], touched: Iterable[SessionKey] = ()
    ) -> list[SessionRow]:
        """The sessions whose spans come within the slack of these windows, and the latest open ones before.

        `touched` are at hand already: they are not counted among the latest.
        """
        columns = columns_of("sessions", "s")
        found = self._select(
            "WITH w AS MATERIALIZED (SELECT * FROM"  # noqa: S608  # constant names
            " unnest(%t::text[], %t::int8[], %t::int8[]) AS given(stream_id, from_ms, until_ms))"
            f" SELECT {columns} FROM w"
            f" JOIN {self.name('sessions')} AS s ON s.stream_id = w.stream_id"
            f" AND s.span_until_ms >= w.from_ms - {SLACK_MS} AND s.span_from_ms <= w.until_ms"
            f" UNION ALL SELECT {columns} FROM w CROSS JOIN LATERAL"
            f" (SELECT * FROM {self.name('sessions')} AS o WHERE o.stream_id = w.stream_id AND NOT o.ended"
            "  AND o.sort_ms < w.from_ms AND o.stream_id || E'\\n' || o.sequence <> ALL(%t::text[])"
            f"  ORDER BY o.sort_ms DESC, o.sequence DESC LIMIT {LAST_OPEN_MAX}) AS s",
            (
                [window.stream_id for window in windows],
                [window.from_ms for window in windows],
                [min(window.until_ms + SLACK_MS, OPEN_END_MS) for window in windows],
                _names(touched),
            ),
        )
        return [session_row(values) for values in found]

    def open_before(self, windows: Sequence[Window]) -> list[SessionRow]:
        """The open sessions that may be followed by a push that begins in one of these windows."""
        found = self._select(
            f"SELECT {columns_of('sessions', 's')}"  # noqa: S608  # constant names
            f" FROM unnest(%t::text[], %t::int8[], %t::int8[]) AS w(stream_id, from_ms, until_ms)"
            f" JOIN {self.name('sessions')} AS s ON s.stream_id = w.stream_id"
            f" AND NOT s.ended AND s.newer_ms >= w.from_ms AND s.sort_ms < w.until_ms",
            (
                [window.stream_id for window in windows],
                [window.from_ms for window in windows],
                [window.until_ms for window in windows],
            ),
        )
        return [session_row(values) for values in found]

    def followers(self, seekers: Sequence[Follower], touched: Iterable[SessionKey]) -> dict[SessionKey, int]:
        """When the next push at the same place began, of these sessions, among all but the touched ones."""
        found = self._select(
            "SELECT o.stream_id, o.sequence, n.sort_ms FROM"  # noqa: S608  # constant names
            " unnest(%t::text[], %t::text[], %t::int8[], %t::text[], %t::text[])"
            " AS o(stream_id, sequence, from_ms, app, appname) CROSS JOIN LATERAL"
            f" (SELECT n.sort_ms FROM {self.name('sessions')} AS n"
            "  WHERE n.stream_id = o.stream_id AND n.sort_ms > o.from_ms AND n.start_known"
            "  AND coalesce(n.app = o.app, true) AND coalesce(n.appname = o.appname, true)"
            "  AND n.sequence <> o.sequence"
            "  AND n.stream_id || E'\\n' || n.sequence <> ALL(%t::text[])"
            "  ORDER BY n.sort_ms LIMIT 1) AS n",
            (
                [each.stream_id for each in seekers],
                [each.sequence for each in seekers],
                [each.from_ms for each in seekers],
                [each.app for each in seekers],
                [each.appname for each in seekers],
                _names(touched),
            ),
        )
        return {(stream_id, sequence): began_ms for stream_id, sequence, began_ms in found}

    def media_in(self, windows: Sequence[tuple[Window, Sequence[str]]]) -> set[FactKey]:
        """The media that touch these windows: moments of the named sessions and of none, and recordings."""
        moments = [(window, sequence) for window, sequences in windows for sequence in ("", *sequences)]
        # LATERAL with OFFSET 0 is planned by itself: one search a window, whatever the statistics say.
        found = self._select(
            "SELECT t.stream_id, t.kind, t.key"  # noqa: S608  # constant names
            " FROM unnest(%t::text[], %t::text[], %t::int8[], %t::int8[])"
            " AS w(stream_id, sequence, from_ms, until_ms) CROSS JOIN LATERAL"
            f" (SELECT i.stream_id, i.kind, i.key FROM {self.name('timeline')} AS i"
            "  WHERE i.stream_id = w.stream_id AND i.sequence = w.sequence"
            "  AND i.at_ms BETWEEN w.from_ms AND w.until_ms OFFSET 0) AS t",
            (
                [window.stream_id for window, _ in moments],
                [sequence for _, sequence in moments],
                [window.from_ms for window, _ in moments],
                [window.until_ms for window, _ in moments],
            ),
        )
        # Looked at here: with the kinds in the statement another index, which has no times, seems as good.
        keys = [key for key in found if key[1] in ATTRIBUTED_KINDS]
        keys += self._select(
            "SELECT t.stream_id, t.kind, t.key"  # noqa: S608  # constant names
            " FROM unnest(%t::text[], %t::int8[], %t::int8[]) AS w(stream_id, from_ms, until_ms)"
            f" CROSS JOIN LATERAL (SELECT i.stream_id, i.kind, i.key FROM {self.name('timeline')} AS i"
            "  WHERE i.stream_id = w.stream_id AND i.until_ms >= w.from_ms AND i.at_ms <= w.until_ms"
            "  AND i.kind = 'recording' OFFSET 0) AS t",
            (
                [window.stream_id for window, _ in windows],
                [window.from_ms for window, _ in windows],
                [window.until_ms for window, _ in windows],
            ),
        )
        return {(stream_id, kind, key) for stream_id, kind, key in keys}


def _names(keys: Iterable[SessionKey]) -> list[str]:
    """Sessions by one text each; no name of a stream holds a control character."""
    return [f"{stream_id}\n{sequence}" for stream_id, sequence in keys]
