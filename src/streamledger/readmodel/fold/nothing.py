"""Views that know nothing beforehand: of whole histories, as a rebuild has them."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from streamledger.domain.senders import Senders
from streamledger.readmodel.fold.counting import count_media
from streamledger.readmodel.fold.facts import Fact, bare, began_before
from streamledger.readmodel.fold.lines import copy_line, json_text, line_of
from streamledger.readmodel.fold.pushes import Interval, Pushes
from streamledger.readmodel.fold.rows import (
    DayRow,
    FactKey,
    NotificationRow,
    SessionKey,
    SessionRow,
    StreamRow,
    TimelineRow,
    Totals,
)
from streamledger.readmodel.fold.view import Changes, Medium, Needed

Lines = tuple[str, list[str]]
"""A table's name, and rows of it in the text format of COPY"""


class Nothing:
    """A view of streams of which all events are at hand, each notification's together.

    They may come in several folds, what defines sessions before all media: sessions stay in memory, and their
    rows are told in the end.
    """

    def __init__(self, senders: Senders | None = None) -> None:
        self._senders = senders or Senders()
        self._pushes: dict[str, Pushes] = {}
        self._totals: dict[SessionKey, Totals] = {}
        self._streams: dict[str, StreamRow] = {}

    def entries(self, keys: Iterable[FactKey]) -> Iterable[TimelineRow]:
        """None."""
        return ()

    def known(self, keys: Collection[FactKey]) -> Mapping[FactKey, NotificationRow]:
        """Nothing."""
        return {}

    def senders(self) -> Senders:
        """Those that were given."""
        return self._senders

    def facts(self, positions: Sequence[int]) -> Iterable[Fact]:
        """None: whatever is compared is at hand."""
        assert not positions  # noqa: S101  # as said
        return ()

    def pushes(self, needed: Mapping[str, Needed]) -> Mapping[str, Pushes]:
        """All that came before."""
        return {stream_id: self.at_hand(stream_id) for stream_id in needed}

    def at_hand(self, stream_id: str) -> Pushes:
        """The sessions of a stream that came before; more may be put to them."""
        return self._pushes.setdefault(stream_id, Pushes())

    def media_in(self, intervals: Mapping[Interval, Collection[str]]) -> set[FactKey]:
        """None: media come after what defines sessions, or with it."""
        return set()

    def write(self, changes: Changes) -> Iterator[Lines]:
        """The lines of all rows that will not change any more; days are the caller's to add up."""
        count_media(changes, changes.media)
        for key, totals in changes.totals.items():
            _add(self._totals.setdefault(key, Totals()), totals)
        for stream_id, more in changes.streams.items():
            stream = self._streams.get(stream_id)
            self._streams[stream_id] = more if stream is None else _added(stream, more)
        yield "timeline", timeline_lines(changes.media)
        yield "timeline", [copy_line(row) for rows in changes.entries.values() for row in rows]
        yield "repeats", [copy_line(row) for row in changes.repeats]
        yield "notifications", [copy_line(row) for row in changes.notifications.values()]
        yield (
            "delivery_days",
            [
                copy_line(DayRow(day=day, judged_as=judged_as, deliveries=count))
                for (day, judged_as), count in changes.days.items()
            ],
        )

    def end(self) -> Iterator[Lines]:
        """The lines of the sessions and streams."""
        narrow, folds = [], []
        for stream_id, pushes in self._pushes.items():
            for row in pushes.rows.values():
                set_totals(row, self._totals.get((stream_id, row.sequence)))
                narrow.append(copy_line(row, -1))
                folds.append(line_of((stream_id, row.sequence, json_text(row.fold))))
        yield "sessions", narrow
        yield "session_folds", folds
        yield "streams", [copy_line(row) for row in self._streams.values()]

    @property
    def sessions(self) -> int:
        """How many are in memory."""
        return sum(len(pushes.rows) for pushes in self._pushes.values())


def set_totals(row: SessionRow, totals: Totals | None) -> None:
    """Write into a new session's row what its media make up."""
    if totals is not None:
        for name in totals.__struct_fields__:
            setattr(row, name, getattr(totals, name))


def _add(totals: Totals, more: Totals) -> None:
    for name in totals.__struct_fields__:
        setattr(totals, name, getattr(totals, name) + getattr(more, name))


_SUMS = ("sessions", "recordings", "screenshots", "others", "unattributed", "open_sessions")
_GREATEST = ("latest_ms", "last_seen_us", "position")


def _added(stream: StreamRow, more: StreamRow) -> StreamRow:
    summed = {name: getattr(stream, name) + getattr(more, name) for name in _SUMS}
    greatest = {name: max(getattr(stream, name), getattr(more, name)) for name in _GREATEST}
    first_us = min(stream.first_seen_us, more.first_seen_us)
    return msgspec.structs.replace(stream, **summed, **greatest, first_seen_us=first_us)


_TOLD = (
    *("stream_id", "kind", "key", "sequence", "at_ms", "until_ms", "position", "received_ms"),
    *("duration_ms", "bytes", "began_ms", "task", "note"),
)
_FORM: dict[str, Any] = dict.fromkeys(_TOLD, "%s")
_SURE = copy_line(TimelineRow(deliveries=1, **_FORM))
"""The line of media that surely lie in one push, to be filled in by %."""


def timeline_lines(found: Iterable[Medium]) -> list[str]:
    """The rows of plain media, none of which was there before."""
    lines = []
    for each in found:
        if each.rows is not None:
            lines += [copy_line(row) for row in each.rows]
            continue
        media = each.media
        lines.append(
            _SURE
            % (
                media.stream_id,
                media.kind,
                media.key,
                each.sequence,
                media.at_ms,
                media.until_ms,
                media.position,
                media.delivery.received_at_us // 1000,
                "\\N" if media.duration_ms is None else media.duration_ms,
                "\\N" if media.file_bytes is None else media.file_bytes,
                "\\N" if (began_ms := began_before(media)) is None else began_ms,
                media.task or "\\N",
                bare(media) or "\\N",
            )
        )
    return lines
