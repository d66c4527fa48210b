"""A try to commit, and how to learn what became of it when its answer never came (ADR 0019)."""

import uuid
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import psycopg

from streamledger.ledger.append import take_head
from streamledger.ledger.quarantining import hold
from streamledger.ledger.reader import positions_of

_NOTE_SQL: Final = (
    "INSERT INTO attempts (writer, attempt, at) VALUES (%b, %b, now())"
    " ON CONFLICT (writer) DO UPDATE SET attempt = excluded.attempt, at = excluded.at"
)
_NOTED_SQL: Final = "SELECT FROM attempts WHERE writer = %b AND attempt = %b"
_FORGET_SQL: Final = "DELETE FROM attempts WHERE at < now() - interval '1 day'"


class Attempt(msgspec.Struct):
    """What is known of a try; a writer makes one after the other, and none while another is in doubt."""

    writer: uuid.UUID = msgspec.field(default_factory=uuid.uuid4)
    sent: bool = False
    """Whether what commits was sent; before, nothing can have been committed."""
    id: uuid.UUID | None = None
    """Of a transaction of several statements. An append alone is known by the ids of its deliveries."""

    def note(self, connection: psycopg.Connection[Any]) -> None:
        """The last statement of a transaction of several: what follows is its commit."""
        self.id = self.id or uuid.uuid4()
        connection.execute(_NOTE_SQL, (self.writer, self.id))
        self.sent = True

    def is_committed(self, cursor: psycopg.Cursor[Any], delivery_ids: Sequence[uuid.UUID | None]) -> bool:
        """Whether it was; within a transaction. Waits for its end, should it still be on its way."""
        if not self.sent:
            return False
        if self.id is None:
            take_head(cursor)
            return bool(positions_of(cursor, delivery_ids))
        hold(cursor)
        cursor.execute(_NOTED_SQL, (self.writer, self.id))
        return cursor.fetchone() is not None


def forget_old(connection: psycopg.Connection[Any]) -> None:
    """Take out what writers that ended long ago have noted."""
    connection.execute(_FORGET_SQL)
