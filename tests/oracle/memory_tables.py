"""The sessions projection's tables in memory: every question answered by looking at every row."""

from collections.abc import Iterable, Sequence
from typing import TypeVar, get_type_hints

import msgspec

from streamledger.domain.attribution import LAST_OPEN_MAX, SLACK_MS
from streamledger.domain.session import OPEN_END_MS
from streamledger.readmodel import rows as row_types
from streamledger.readmodel.batch import Follower, Window
from streamledger.readmodel.facts import Event, as_fact
from streamledger.readmodel.rows import AnyRow, Lines, SessionRow, StreamRow, TimelineRow
from streamledger.readmodel.session_projection import fold_in
from streamledger.readmodel.tables import timeline_row
from streamledger.readmodel.workspace import Change, FactKey, SessionKey

NUMBERS = {name for name, kind in get_type_hints(TimelineRow).items() if kind in (int, int | None)}
"""The fields of a timeline row that are numbers."""

Row = TypeVar("Row", SessionRow, TimelineRow, StreamRow)


class MemoryTables:
    """What `readmodel.tables.Tables` is, without PostgreSQL; rows are copied on the way in and out."""

    def __init__(self) -> None:
        self.session_rows: dict[SessionKey, SessionRow] = {}
        self.timeline_rows: dict[tuple[str, str, str, str], TimelineRow] = {}
        self.stream_rows: dict[str, StreamRow] = {}
        self.digest = 0
        self._events: dict[int, Event] = {}

    def take_in(self, events: Sequence[Event]) -> None:
        """Fold a batch in, as the projection does."""
        self._events.update((event.position, event) for event in events)
        added = fold_in(
            self, events, lambda positions: [as_fact(self._events[position]) for position in positions]
        )
        self.digest = (self.digest + added) % row_types.DIGEST_MODULUS

    def all_rows(self) -> list[AnyRow]:
        """Every row of the three tables."""
        return [*self.session_rows.values(), *self.timeline_rows.values(), *self.stream_rows.values()]

    def content_of(self, row: TimelineRow) -> str:
        """Digest of the content that counts, by its event."""
        return as_fact(self._events[row.position]).notification.content

    def sessions(self, keys: Iterable[SessionKey]) -> list[SessionRow]:
        return [_copy(self.session_rows[key]) for key in keys if key in self.session_rows]

    def timeline(self, keys: Iterable[FactKey]) -> list[TimelineRow]:
        wanted = set(keys)
        found = [row for key, row in self.timeline_rows.items() if key[:3] in wanted]
        return [_copy(row) for row in found]

    def streams(self, stream_ids: Iterable[str]) -> list[StreamRow]:
        return [_copy(self.stream_rows[name]) for name in stream_ids if name in self.stream_rows]

    def sessions_near(
        self, windows: Sequence[Window], touched: Iterable[SessionKey] = ()
    ) -> list[SessionRow]:
        at_hand = set(touched)
        found = []
        for window in windows:
            rows = [row for row in self.session_rows.values() if row.stream_id == window.stream_id]
            reach_ms = min(window.until_ms + SLACK_MS, OPEN_END_MS)
            found += [
                row
                for row in rows
                if row.span_until_ms >= window.from_ms - SLACK_MS and row.span_from_ms <= reach_ms
            ]
            before = [
                row
                for row in rows
                if not row.ended and row.sort_ms < window.from_ms and _key(row) not in at_hand
            ]
            before.sort(key=lambda row: (row.sort_ms, row.sequence), reverse=True)
            found += before[:LAST_OPEN_MAX]
        return [_copy(row) for row in found]

    def open_before(self, windows: Sequence[Window]) -> list[SessionRow]:
        return [
            _copy(row)
            for window in windows
            for row in self.session_rows.values()
            if row.stream_id == window.stream_id
            and not row.ended
            and row.newer_ms >= window.from_ms
            and row.sort_ms < window.until_ms
        ]

    def followers(self, seekers: Sequence[Follower], touched: Iterable[SessionKey]) -> dict[SessionKey, int]:
        at_hand = set(touched)
        found = {}
        for each in seekers:
            starts = [
                row.sort_ms
                for row in self.session_rows.values()
                if row.stream_id == each.stream_id
                and row.sequence != each.sequence
                and row.start_known
                and row.sort_ms > each.from_ms
                and (row.app is None or each.app is None or row.app == each.app)
                and (row.appname is None or each.appname is None or row.appname == each.appname)
                and _key(row) not in at_hand
            ]
            if starts:
                found[each.stream_id, each.sequence] = min(starts)
        return found

    def media_in(self, windows: Sequence[tuple[Window, Sequence[str]]]) -> set[FactKey]:
        found = set()
        for window, sequences in windows:
            for row in self.timeline_rows.values():
                if row.stream_id != window.stream_id:
                    continue
                touches = row.until_ms >= window.from_ms and row.at_ms <= window.until_ms
                moment = row.kind in ("screenshot", "recording_status", "recording_exception")
                if touches and (row.kind == "recording" or (moment and row.sequence in ("", *sequences))):
                    found.add((row.stream_id, row.kind, row.key))
        return found

    def write(self, changes: Iterable[Change], lines: Iterable[Lines]) -> int:
        added = 0
        for each in lines:
            assert each.table == "timeline"
            for line in each.lines:
                added += row_types.digest_of("timeline", line)
                row = _timeline_row(line)
                assert row_types.copy_line(row) == line
                self._put(row)
        for change in changes:
            for row, sign in ((change.before, -1), (change.after, 1)):
                if row is not None:
                    added += sign * row_types.digest_of(row.TABLE, row_types.copy_line(row))
            if change.after is not None:
                self._put(_copy(change.after))
            elif isinstance(change.before, TimelineRow):
                row = change.before
                del self.timeline_rows[row.stream_id, row.kind, row.key, row.sequence]
        return added % row_types.DIGEST_MODULUS

    def _put(self, row: AnyRow) -> None:
        if isinstance(row, SessionRow):
            self.session_rows[_key(row)] = row
        elif isinstance(row, TimelineRow):
            self.timeline_rows[row.stream_id, row.kind, row.key, row.sequence] = row
        else:
            self.stream_rows[row.stream_id] = row


def _timeline_row(line: str) -> TimelineRow:
    """A row from its line, in which nothing is escaped."""
    texts = zip(TimelineRow.__struct_fields__, line.split("\t"), strict=True)
    return timeline_row(
        [None if text == "\\N" else int(text) if name in NUMBERS else text for name, text in texts]
    )


def _key(row: SessionRow) -> SessionKey:
    return row.stream_id, row.sequence


def _copy(row: Row) -> Row:
    return msgspec.structs.replace(row)
