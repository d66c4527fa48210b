"""The read model's rows in memory, as a view of the fold: every question answered by looking at every row.

It gives no more than it is asked for: a fold that needs more than it says it needs goes wrong here.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from streamledger.domain.kinds import ATTRIBUTED_KINDS
from streamledger.domain.senders import Senders
from streamledger.readmodel.fold.counting import count_media
from streamledger.readmodel.fold.engine import fold
from streamledger.readmodel.fold.entries import entry_of_plain
from streamledger.readmodel.fold.facts import Event, Fact, as_fact
from streamledger.readmodel.fold.lines import copy_line
from streamledger.readmodel.fold.nothing import set_totals, timeline_lines
from streamledger.readmodel.fold.pushes import Interval, Pushes
from streamledger.readmodel.fold.rows import (
    DayKey,
    FactKey,
    NotificationRow,
    RepeatRow,
    SessionKey,
    SessionRow,
    StreamRow,
    TimelineRow,
    Totals,
)
from streamledger.readmodel.fold.view import Changes, Laid, Needed, without

Row = TypeVar("Row", SessionRow, TimelineRow, StreamRow)
TimelineKey = tuple[str, str, str, int]


class MemoryView:
    """What `projections.store.StoreView` is, without PostgreSQL; rows are copied on the way in and out."""

    def __init__(self) -> None:
        self.session_rows: dict[SessionKey, SessionRow] = {}
        self.timeline_rows: dict[TimelineKey, TimelineRow] = {}
        self.stream_rows: dict[str, StreamRow] = {}
        self.repeat_rows: dict[int, RepeatRow] = {}
        self.notification_rows: dict[FactKey, NotificationRow] = {}
        self.days: dict[DayKey, int] = {}
        self._events: dict[int, Event] = {}
        self._in_hand: dict[str, Pushes] = {}

    def take_in(self, events: Sequence[Event]) -> None:
        """Fold a batch in, as the projection does."""
        self._events.update((event.position, event) for event in events)
        again = self.write(fold(self, events))
        if again:
            found = [event for event in events if event.position in again]
            assert not self.write(fold(self, found, plainly=False))

    def all_rows(self) -> list[object]:
        """Every row of every table."""
        rows: list[object] = [*self.session_rows.values(), *self.timeline_rows.values()]
        rows += [*self.stream_rows.values(), *self.repeat_rows.values()]
        return [*rows, *self.notification_rows.values(), *self.days.items()]

    def content_of(self, row: TimelineRow) -> str:
        """Digest of the content that counts, by its event."""
        return as_fact(self._events[row.position]).notification.content

    def entries(self, keys: Iterable[FactKey]) -> list[TimelineRow]:
        wanted = set(keys)
        found = [row for key, row in sorted(self.timeline_rows.items()) if key[:3] in wanted]
        return [_copy(row) for row in found]

    def known(self, keys: Collection[FactKey]) -> dict[FactKey, NotificationRow]:
        return {key: self.notification_rows[key] for key in keys if key in self.notification_rows}

    def senders(self) -> Senders:
        return Senders()

    def facts(self, positions: Sequence[int]) -> list[Fact]:
        return [as_fact(self._events[position]) for position in positions]

    def pushes(self, needed: Mapping[str, Needed]) -> dict[str, Pushes]:
        found = {}
        for stream_id, need in needed.items():
            rows = [
                _copy(row)
                for row in self.session_rows.values()
                if row.stream_id == stream_id
                and (
                    row.reach_ms >= need.from_ms
                    or row.sequence in need.sequences
                    or (
                        row.witness in need.all_witnesses()
                        and not row.ended
                        and row.witness_until_ms >= need.from_ms
                    )
                )
            ]
            in_hand = self._in_hand.get(stream_id)
            if in_hand is None:
                in_hand = self._in_hand[stream_id] = Pushes((), need.from_ms)
            for row in rows:
                if row.sequence not in in_hand.rows:
                    in_hand.put(row)
            found[stream_id] = in_hand
        return found

    def media_in(self, intervals: Mapping[Interval, Collection[str]]) -> set[FactKey]:
        found = set()
        for interval, sequences in intervals.items():
            for row in self.timeline_rows.values():
                if row.stream_id != interval.stream_id or row.kind not in ATTRIBUTED_KINDS:
                    continue
                begins_ms = row.at_ms if row.began_ms is None else row.began_ms
                touches = row.until_ms >= interval.from_ms and begins_ms <= interval.until_ms
                if touches and (row.kind == "recording" or row.sequence in ("", *sequences)):
                    found.add((row.stream_id, row.kind, row.key))
        return found

    def write(self, changes: Changes) -> set[int]:
        again = {
            media.position
            for each in changes.media
            for media in each.media
            if (media.stream_id, media.kind, media.key, 0) in self.timeline_rows
        }
        new = without(changes.media, again)
        count_media(changes, new)
        for each in new:
            for row in _rows_of(each):
                self._put(row)
        for key in changes.replaced:
            for known in [known for known in self.timeline_rows if known[:3] == key]:
                del self.timeline_rows[known]
        for key, rows in changes.entries.items():
            assert key in changes.replaced or (*key, 0) not in self.timeline_rows
            for row in rows:
                self._put(_copy(row))
        for key, row in changes.sessions.items():
            kept = self.session_rows.get(key)
            assert (kept is None) == (key in changes.created)
            assert key in changes.folded or (kept is not None and kept.fold == row.fold)
            self.session_rows[key] = stored = _copy(row)
            set_totals(stored, Totals() if kept is None else _totals_of(kept))
        for key, totals in changes.totals.items():
            row = self.session_rows[key]
            for name in totals.__struct_fields__:
                setattr(row, name, getattr(row, name) + getattr(totals, name))
        for name, stream in changes.streams.items():
            self.stream_rows[name] = _added(self.stream_rows.get(name), stream)
        self.repeat_rows |= {row.position: row for row in changes.repeats}
        self.notification_rows |= changes.notifications
        for day, count in changes.days.items():
            self.days[day] = self.days.get(day, 0) + count
        self._in_hand.clear()
        return again

    def _put(self, row: TimelineRow) -> None:
        key = (row.stream_id, row.kind, row.key, row.part)
        assert key not in self.timeline_rows
        self.timeline_rows[key] = row


def _rows_of(each: Laid) -> list[TimelineRow]:
    """The rows of plain media; those of the short way as their lines say."""
    if each.rows is not None:
        return [_copy(row) for row in each.rows]
    rows = [msgspec.structs.replace(entry_of_plain(media), sequence=each.sequence) for media in each.media]
    assert timeline_lines([each]) == [copy_line(row) for row in rows]
    return rows


def _totals_of(row: SessionRow) -> Totals:
    return Totals(**{name: getattr(row, name) for name in Totals.__struct_fields__})


def _added(kept: StreamRow | None, more: StreamRow) -> StreamRow:
    if kept is None:
        return _copy(more)
    sums = ("sessions", "recordings", "screenshots", "others", "unattributed", "open_sessions")
    return StreamRow(
        stream_id=kept.stream_id,
        **{name: getattr(kept, name) + getattr(more, name) for name in sums},
        latest_ms=max(kept.latest_ms, more.latest_ms),
        first_seen_us=min(kept.first_seen_us, more.first_seen_us),
        last_seen_us=max(kept.last_seen_us, more.last_seen_us),
        position=max(kept.position, more.position),
    )


def _copy(row: Row) -> Row:
    return msgspec.structs.replace(row)
