"""Which notifications are in the ledger already: for many at once, exactly, however far projections are.

What the sessions projection has taken in is looked up in its timeline; what came after is read from the
ledger; notifications without a stream, which no timeline holds, are read from their own event streams.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import psycopg

from streamledger.domain.events import LedgerEvent, is_notification, originator_of
from streamledger.ledger import reader
from streamledger.tencent.reader import read_notification

Identity = tuple[str, str, str]
"""stream_id ("" without one), kind and key; without a stream the key is preceded by the event type."""

_PAGE_SIZE: Final = 2000
_POSITION_MAX: Final = 2**63 - 1


def identity_of(body: bytes) -> Identity:
    """The identity of the notification in a body. Raises MalformedBody."""
    notification = read_notification(body)
    if notification.stream_id is None:
        originator = originator_of(None, notification.event_type)
        return "", notification.kind.value, f"{originator} {notification.key}"
    return notification.stream_id, notification.kind.value, notification.key


class Believed:
    """The notifications of one ledger, as `among` is asked about them; its memory is that of one command."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        row = connection.execute("SELECT position FROM projections WHERE name = 'sessions'").fetchone()
        self._read_until: int = row[0] if row else 0
        self._tail: set[Identity] = set()
        self._streamless: set[str] = set()
        self._chosen: set[Identity] = set()

    def read_tail(self) -> None:
        """Read what was appended since the last time."""
        while events := reader.read_after(self._connection, self._read_until, _PAGE_SIZE):
            self._read_until = events[-1].position
            self._add(events)

    def among(self, identities: Sequence[Identity]) -> set[Identity]:
        """Those of the identities that are in the ledger. Exact under `append.take_head`."""
        self.read_tail()
        for _, _, key in (identity for identity in identities if not identity[0]):
            self._read_streamless(key.partition(" ")[0])
        named = sorted({identity for identity in identities if identity[0]})
        found: set[Identity] = {identity for identity in identities if identity in self._tail}
        if named:
            rows = self._connection.execute(
                "SELECT DISTINCT t.stream_id, t.kind, t.key"
                " FROM unnest(%s::text[], %s::text[], %s::text[]) AS named(stream_id, kind, key)"
                " JOIN timeline AS t USING (stream_id, kind, key)",
                ([each[0] for each in named], [each[1] for each in named], [each[2] for each in named]),
            )
            found |= set(rows.fetchall())
        return found - self._chosen

    def choose(self, identity: Identity) -> bool:
        """Whether an identity is chosen for the first time."""
        if identity in self._chosen:
            return False
        self._chosen.add(identity)
        return True

    def _read_streamless(self, originator: str) -> None:
        if originator in self._streamless:
            return
        self._streamless.add(originator)
        version = 0
        while rows := reader.read_rows_of(self._connection, originator, version, _POSITION_MAX, _PAGE_SIZE):
            version = rows[-1][2]
            self._add(reader.events_of(rows))

    def _add(self, events: Iterable[LedgerEvent]) -> None:
        self._tail.update(identity_of(event.delivery.body) for event in events if is_notification(event.name))
