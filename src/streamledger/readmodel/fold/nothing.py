"""Views that know nothing beforehand: of whole histories, as a rebuild has them."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from streamledger.domain.notification import Kind
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
from streamledger.readmodel.fold.view import Changes, Laid, Needed

Lines = tuple[str, list[str]]
"""A table's name, and rows of it in the text format of COPY"""


class Nothing:
    """A view of streams of which all events are at hand, each notification's together.

    They may come in several folds, what defines sessions before all media: sessions stay in memory, and their
    rows are told in the end.
    """

    def __init__(
        self,
        senders: Senders | None = None,
        look_up: Callable[[Sequence[int]], Iterable[Fact]] = lambda _: (),
    ) -> None:
        """`look_up` reads events of the ledger again, of which not all is at hand."""
        self._senders = senders or Senders()
        self._look_up = look_up
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
        """Events of which not all is at hand."""
        return self._look_up(positions)

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


_OF_ALL = ("stream_id", "sequence")
_TOLD = ("key", "at_ms", "until_ms", "position", "received_ms")
_TOLD_OF_FILES = ("duration_ms", "bytes", "began_ms", "task", "note")
_RECORDING = Kind.RECORDING.value


def _form(kind: Kind, told: Iterable[str]) -> str:
    filled: dict[str, Any] = {**dict.fromkeys(_OF_ALL, "%s"), **dict.fromkeys(told, "%%s")}
    return copy_line(TimelineRow(kind=kind.value, deliveries=1, **filled))


_MOMENT, _FILE = _form(Kind.SCREENSHOT, _TOLD), _form(Kind.RECORDING, (*_TOLD, *_TOLD_OF_FILES))
"""The lines of media that surely lie in one push, to be filled in by %: with what is of all, then of each."""


def timeline_lines(found: Iterable[Laid]) -> list[str]:
    """The rows of plain media, none of which was there before."""
    lines = []
    for each in found:
        if each.rows is not None:
            lines += [copy_line(row) for row in each.rows]
            continue
        of_all = each.media[0].stream_id.replace("%", "%%"), each.sequence
        moment, file = _MOMENT % of_all, _FILE % of_all
        for media in each.media:
            told = media.key, media.at_ms, media.until_ms, media.position, media.received_us // 1000
            if media.kind == _RECORDING:
                of_file = media.duration_ms, media.file_bytes, began_before(media), media.task, bare(media)
                lines.append(file % (*told, *["\\N" if value is None else value for value in of_file]))
            else:
                lines.append(moment % told)
    return lines
