"""Projections folded stream by stream: whole histories in memory, rows that only have to be copied in.

The fold is the live one (ADR 0014), over a view that knows nothing beforehand. A stream too long for memory
comes in buckets by identity, see `spill`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec
import psycopg

from streamledger.domain.senders import Senders
from streamledger.readmodel.fold.columns import NARROW
from streamledger.readmodel.fold.engine import fold
from streamledger.readmodel.fold.facts import Event
from streamledger.readmodel.fold.lines import copy_line
from streamledger.readmodel.fold.nothing import Lines, Nothing
from streamledger.readmodel.fold.rows import (
    DayRow,
    NotificationRow,
    RepeatRow,
    StreamRow,
    TimelineRow,
)
from streamledger.readmodel.projections.addresses import senders_of
from streamledger.readmodel.projections.sessions import SessionsView
from streamledger.readmodel.projections.tallies import MinuteRow, SenderRow, TalliesView, tallied

Buckets = Iterable[Iterable[Event]]


class Sum(msgspec.Struct, frozen=True):
    """A table that counts over all streams: each fold gives a part of a row, and these are added up."""

    key: Sequence[str]
    added: Mapping[str, str]
    """Column to the aggregate that makes one of its parts."""


class Streamwise(Protocol):
    """Folds a projection whose rows of a stream follow from that stream's events alone."""

    @property
    def columns(self) -> Mapping[str, Sequence[str]]:
        """By table, the columns of the lines that it gives."""

    @property
    def sums(self) -> Mapping[str, Sum]:
        """Those of its tables whose rows come in parts."""

    def prepare(self, connection: psycopg.Connection[Any], suffix: str) -> None:
        """Read what folding needs beside the events."""

    def fold(self, events: Iterable[Event]) -> Iterator[Lines]:
        """All rows of some streams, from all their events."""

    def fold_long(self, defining: Buckets, media: Buckets) -> Iterator[Lines]:
        """The same for one long stream: first what defines sessions, then the media, bucket by bucket.

        All deliveries of an identity are in one bucket.
        """

    def undo(self, connection: psycopg.Connection[Any], suffix: str, stream_id: str) -> bool:
        """Take a stream's rows out of the generation again, to be folded anew; False without any."""


_UNCOUNT_SQL: Final = (
    # First deliveries have a row in the timeline each, all others in `repeats`; released ones in both.
    "UPDATE delivery_days{suffix} AS d SET deliveries = d.deliveries - own.deliveries FROM ("
    "SELECT day, judged_as, sum(deliveries) AS deliveries FROM ("
    "SELECT received_ms / 86400000 AS day, 'first' AS judged_as, count(*) AS deliveries"
    " FROM timeline{suffix} WHERE stream_id = %(stream_id)s AND part = 0 GROUP BY 1"
    " UNION ALL SELECT received_ms / 86400000, 'first', -count(*) FROM repeats{suffix}"
    " WHERE stream_id = %(stream_id)s AND judged_as = 'released' AND position = first_position"
    " GROUP BY 1"
    " UNION ALL SELECT received_ms / 86400000, judged_as, count(*) FROM repeats{suffix}"
    " WHERE stream_id = %(stream_id)s AND judged_as <> 'first' GROUP BY 1, 2"
    ") AS counted GROUP BY 1, 2) AS own WHERE d.day = own.day AND d.judged_as = own.judged_as"
)


class SessionsStreamwise:
    """Everything that `SessionsView` writes."""

    columns: Mapping[str, Sequence[str]] = {  # as the protocol declares it
        "sessions": NARROW,
        "session_folds": ("stream_id", "sequence", "fold"),
        "timeline": TimelineRow.__struct_fields__,
        "streams": StreamRow.__struct_fields__,
        "repeats": RepeatRow.__struct_fields__,
        "notifications": NotificationRow.__struct_fields__,
        "delivery_days": DayRow.__struct_fields__,
    }
    sums: Mapping[str, Sum] = {"delivery_days": Sum(("day", "judged_as"), {"deliveries": "sum"})}  # likewise

    def __init__(self) -> None:
        self._senders = Senders()

    def prepare(self, connection: psycopg.Connection[Any], suffix: str) -> None:
        """Learn which senders are known, each from its position on."""
        self._senders = senders_of(connection, suffix)

    def fold(self, events: Iterable[Event]) -> Iterator[Lines]:
        """All rows of some streams, from all their events."""
        return self.fold_long([events], ())

    def fold_long(self, defining: Buckets, media: Buckets) -> Iterator[Lines]:
        """The same for one long stream; only its sessions stay in memory from bucket to bucket."""
        view = Nothing(self._senders)
        for buckets in (defining, media):
            for events in buckets:
                yield from view.write(fold(view, events))
        yield from view.end()

    def undo(self, connection: psycopg.Connection[Any], suffix: str, stream_id: str) -> bool:
        """Take a stream's rows out of the generation again, and out of the counts of days."""
        connection.execute(_UNCOUNT_SQL.format(suffix=suffix), {"stream_id": stream_id})
        connection.execute(f"DELETE FROM delivery_days{suffix} WHERE deliveries = 0")  # noqa: S608  # constant
        for table in SessionsView.tables:
            if table != "delivery_days":
                connection.execute(
                    f"DELETE FROM {table}{suffix} WHERE stream_id = %s",  # noqa: S608  # constant names
                    (stream_id,),
                )
        return True


class TalliesStreamwise:
    """Everything that `TalliesView` writes."""

    columns: Mapping[str, Sequence[str]] = {  # likewise
        "minutes": MinuteRow.__struct_fields__,
        "senders": SenderRow.__struct_fields__,
    }
    sums: Mapping[str, Sum] = {  # likewise
        "minutes": Sum(("minute_ms", "kind"), {"deliveries": "sum"}),
        "senders": Sum(
            ("minute_ms", "source_ip", "callback_key"),
            {"deliveries": "sum", "first_position": "min", "last_position": "max"},
        ),
    }

    def prepare(self, connection: psycopg.Connection[Any], suffix: str) -> None:
        """Nothing."""

    def fold(self, events: Iterable[Event]) -> Iterator[Lines]:
        """The counts of some streams' events."""
        minutes, senders = tallied(events)
        yield "minutes", [copy_line(row) for row in minutes]
        yield "senders", [copy_line(row) for row in senders]

    def fold_long(self, defining: Buckets, media: Buckets) -> Iterator[Lines]:
        """The same, bucket by bucket."""
        for buckets in (defining, media):
            for events in buckets:
                yield from self.fold(events)

    def undo(self, connection: psycopg.Connection[Any], suffix: str, stream_id: str) -> bool:
        """No row is of one stream."""
        return False


STREAMWISE: Final[Mapping[str, Callable[[], Streamwise]]] = {
    SessionsView.name: SessionsStreamwise,
    TalliesView.name: TalliesStreamwise,
}
"""By name of the projection; the others take history in, in order."""


def add_up(connection: psycopg.Connection[Any], streamwise: Iterable[Streamwise], suffix: str) -> None:
    """Make one row of the parts of each, in the generation's tables, which have no indexes yet."""
    for each in streamwise:
        for table, found in each.sums.items():
            key = ", ".join(found.key)
            names = f"{key}, {', '.join(found.added)}"
            sums = ", ".join(f"{function}({name})" for name, function in found.added.items())
            connection.execute(
                f"WITH parts AS (DELETE FROM {table}{suffix} RETURNING {names})"  # noqa: S608  # constant names
                f" INSERT INTO {table}{suffix} ({names}) SELECT {key}, {sums} FROM parts GROUP BY {key}"
            )
