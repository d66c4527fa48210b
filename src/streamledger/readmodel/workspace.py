"""The rows that one batch works on: loaded before, changed in memory, written with the checkpoint."""

from collections.abc import Iterable, Iterator

import msgspec

from streamledger.domain import session as fold
from streamledger.domain.session import SessionState
from streamledger.readmodel.rows import AnyRow, SessionRow, StreamRow, TimelineRow

SessionKey = tuple[str, str]
"""(stream_id, sequence)"""
FactKey = tuple[str, str, str]
"""(stream_id, kind, key): a notification's identity"""
RowKey = tuple[str, ...]


class Change(msgspec.Struct, frozen=True):
    """What becomes of one row: inserted (no before), updated, or deleted (no after)."""

    before: AnyRow | None
    after: AnyRow | None


class Workspace:
    """Rows by their keys; what is loaded is remembered as it was, so that changes can be told."""

    def __init__(self) -> None:
        self.sessions: dict[SessionKey, SessionRow] = {}
        self.streams: dict[str, StreamRow] = {}
        self.timeline: dict[FactKey, dict[str, TimelineRow]] = {}
        self.contents: dict[FactKey, str] = {}
        """Of notifications that came once, whose rows do not hold them."""
        self._before: dict[tuple[str, RowKey], AnyRow] = {}

    def load(self, rows: Iterable[AnyRow]) -> None:
        """Take in rows as they stand in the tables; rows that are here already keep their changes."""
        for row in rows:
            if isinstance(row, SessionRow):
                key: RowKey = (row.stream_id, row.sequence)
                if ("sessions", key) not in self._before:
                    self._before["sessions", key] = msgspec.structs.replace(row)
                    self.sessions[row.stream_id, row.sequence] = row
            elif isinstance(row, TimelineRow):
                key = (row.stream_id, row.kind, row.key, row.sequence)
                if ("timeline", key) not in self._before:
                    self._before["timeline", key] = msgspec.structs.replace(row)
                    self.timeline.setdefault((row.stream_id, row.kind, row.key), {})[row.sequence] = row
            else:
                key = (row.stream_id,)
                if ("streams", key) not in self._before:
                    self._before["streams", key] = msgspec.structs.replace(row)
                    self.streams[row.stream_id] = row

    def forget_timeline(self) -> None:
        """Go on without the timeline's rows; none of their notifications comes again."""
        self.timeline.clear()
        self.contents.clear()

    def session(self, stream_id: str, sequence: str) -> SessionRow:
        """The session's row, a new one when there is none yet."""
        row = self.sessions.get((stream_id, sequence))
        if row is None:
            row = SessionRow(
                stream_id=stream_id,
                sequence=sequence,
                fold=SessionState(stream_id=stream_id, sequence=sequence),
            )
            self.sessions[stream_id, sequence] = row
        return row

    def span_before(self, key: SessionKey) -> fold.Span | None:
        """The session's span as it was when loaded; None for a new session."""
        row = self._before.get(("sessions", key))
        return fold.span(row.fold, row.newer_ms) if isinstance(row, SessionRow) else None

    def session_before(self, key: SessionKey) -> SessionRow | None:
        """The session's row as it was when loaded; None for a new session."""
        row = self._before.get(("sessions", key))
        return row if isinstance(row, SessionRow) else None

    def changes(self) -> Iterator[Change]:
        """Every row that differs from what was loaded."""
        yield from self._changes("sessions", self.sessions.items())
        yield from self._changes("streams", (((key,), row) for key, row in self.streams.items()))
        timeline = (
            ((*key, sequence), row) for key, rows in self.timeline.items() for sequence, row in rows.items()
        )
        yield from self._changes("timeline", timeline)
        for row in self._before.values():
            if isinstance(row, TimelineRow):
                rows = self.timeline.get((row.stream_id, row.kind, row.key), {})
                if row.sequence not in rows:
                    yield Change(before=row, after=None)

    def _changes(self, table: str, rows: Iterable[tuple[RowKey, AnyRow]]) -> Iterator[Change]:
        for key, row in rows:
            before = self._before.get((table, key))
            if before != row:
                yield Change(before=before, after=row)
