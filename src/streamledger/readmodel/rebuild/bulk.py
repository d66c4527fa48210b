"""What a rebuild makes of the ledger as it reads it, and of whole streams in memory: rows to be copied in.

The fold is the live one (ADR 0014), over a view that knows nothing beforehand.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import psycopg

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
from streamledger.readmodel.projections.tallies import Counted, MinuteRow, SenderRow, tallied

COLUMNS: Final[Mapping[str, Sequence[str]]] = {
    "sessions": NARROW,
    "session_folds": ("stream_id", "sequence", "fold"),
    "timeline": TimelineRow.__struct_fields__,
    "streams": StreamRow.__struct_fields__,
    "repeats": RepeatRow.__struct_fields__,
    "notifications": NotificationRow.__struct_fields__,
    "delivery_days": DayRow.__struct_fields__,
    "minutes": MinuteRow.__struct_fields__,
    "senders": SenderRow.__struct_fields__,
}
"""By table, the columns of the lines that are given."""


class Sum(msgspec.Struct, frozen=True):
    """A table that counts over all streams: each unit gives a part of a row, and these are added up."""

    key: Sequence[str]
    added: Mapping[str, str]
    """Column to the aggregate that makes one of its parts."""


SUMS: Final[Mapping[str, Sum]] = {
    "delivery_days": Sum(("day", "judged_as"), {"deliveries": "sum"}),
    "minutes": Sum(("minute_ms", "kind"), {"deliveries": "sum"}),
    "senders": Sum(
        ("minute_ms", "source_ip", "callback_key"),
        {"deliveries": "sum", "first_position": "min", "last_position": "max"},
    ),
}


def fold_streams(
    view: Nothing, defining: Iterable[Iterable[Event]], media: Iterable[Iterable[Event]] = ()
) -> Iterator[Lines]:
    """All rows of some streams, from all their events.

    What is too much for memory comes in buckets, all deliveries of an identity in one: first what defines
    sessions, then the media. Only the sessions stay in memory from one to the next.
    """
    for buckets in (defining, media):
        for events in buckets:
            yield from view.write(fold(view, events))
    yield from view.end()


def tally(counted: Iterable[Counted]) -> Iterator[Lines]:
    """The counts of some deliveries."""
    minutes, senders = tallied(counted)
    yield "minutes", [copy_line(row) for row in minutes]
    yield "senders", [copy_line(row) for row in senders]


def add_up(connection: psycopg.Connection[Any], tables: Iterable[str], suffix: str) -> None:
    """Make one row of the parts of each, in the generation's tables, which have no indexes yet."""
    for table in tables:
        found = SUMS.get(table)
        if found is None:
            continue
        key = ", ".join(found.key)
        names = f"{key}, {', '.join(found.added)}"
        sums = ", ".join(f"{function}({name})" for name, function in found.added.items())
        connection.execute(
            f"WITH parts AS (DELETE FROM {table}{suffix} RETURNING {names})"  # noqa: S608  # constant names
            f" INSERT INTO {table}{suffix} ({names}) SELECT {key}, {sums} FROM parts GROUP BY {key}"
        )
