"""Events as answers need them: few bytes at a time, and what cannot be read as what it is."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import msgspec
from psycopg import AsyncConnection

from streamledger.domain.errors import StreamledgerError
from streamledger.domain.events import LedgerEvent
from streamledger.ledger import reader
from streamledger.tencent.shown_body import SHOWN_BYTES_MAX

READ_BYTES_MAX: Final = 1024 * 1024
"""Of stored events that are read at once, the one with which they are reached included."""
LISTED_BYTES_MAX: Final = SHOWN_BYTES_MAX + 1024
"""A larger event is not read for a list: its entry says how large it is, and the delivery shows it."""

_AT_SQL: Final = (
    "SELECT notification_id, originator_id, originator_version, topic,"  # noqa: S608  # constant columns
    f" CASE WHEN octet_length(state) <= {LISTED_BYTES_MAX} THEN state END,"
    " delivery_id::text, octet_length(state)"
    " FROM ledger_events WHERE notification_id = ANY(%b) ORDER BY notification_id"
)


class NotShown(msgspec.Struct, frozen=True, kw_only=True):
    """An event of which only its place can be shown: it cannot be read, or is too large for a list."""

    position: int
    originator_id: str
    name: str
    """As stored."""
    size_bytes: int
    cause: str | None = None
    """Why it cannot be read; None when it is too large."""
    state: bytes | None = None
    """As stored, where it was read."""


Shown = LedgerEvent | NotShown


def shown_of(rows: Iterable[Sequence[Any]]) -> list[Shown]:
    """The events of rows of `reader.COLUMNS`; whatever is stored, none ends in an error."""
    return [_shown(row[:6], len(row[4])) for row in rows]


def _shown(row: Sequence[Any], size: int) -> Shown:
    position, originator_id, _, name, state, _ = row
    cause = None
    if state is not None:
        try:
            return reader.event_of(tuple(row))
        except StreamledgerError as error:
            cause = str(error)
    return NotShown(
        position=position, originator_id=originator_id, name=name, size_bytes=size, cause=cause, state=state
    )


def bounded_sql(condition: str, order: str = "notification_id") -> str:
    """The statement that reads up to %(limit)s events in an order, and no more than READ_BYTES_MAX.

    At least one, and the one that goes beyond: whoever asks goes on behind what came. The size of a
    stored text is known without reading it.
    """
    return (
        f"SELECT {reader.COLUMNS} FROM ("  # noqa: S608  # constant columns and conditions
        f" SELECT *, sum(octet_length(state)) OVER (ORDER BY {order}) - octet_length(state) AS before"
        f" FROM (SELECT * FROM ledger_events WHERE {condition}"
        f" ORDER BY {order} LIMIT %(limit)s) AS found"
        f") AS measured WHERE before < {READ_BYTES_MAX} ORDER BY {order}"
    )


def is_full(events: Sequence[Shown], limit: int) -> bool:
    """Whether events read with `bounded_sql` may be followed by more."""
    return len(events) >= limit or sum(map(size_of, events)) >= READ_BYTES_MAX // 2


def size_of(event: Shown) -> int:
    """About as many bytes as the event has."""
    return event.size_bytes if isinstance(event, NotShown) else len(event.delivery.body)


async def events_at(connection: AsyncConnection, positions: Collection[int]) -> dict[int, Shown]:
    """The ledger's events at these positions, by position, as a list shows them."""
    if not positions:
        return {}
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(_AT_SQL.encode(), (sorted(set(positions)),))
        return {row[0]: _shown(row[:6], row[6]) for row in await cursor.fetchall()}
