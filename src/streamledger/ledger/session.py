"""The writer's session: one at a time, and the one before has ended before another begins (ADR 0019)."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import psycopg

_SELF_SQL: Final = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
_END_SQL: Final = (
    "SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity WHERE pid = %s AND backend_start = %s"
)
_END_MS_MAX: Final = 250
"""How long its end is waited for. Once told, it begins no statement any more, however late it wakes."""


class Session:
    """A connection to the store, made anew when it was dropped.

    A connection that was given up is closed at our end alone. The server may still find a statement of it
    among what it has received, hours later if it hung, and carry it out: after its answer was looked for in
    vain, and its deliveries were counted as refused.
    """

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]]) -> None:
        self._connect = connect
        self._connection: psycopg.Connection[Any] | None = None
        self._known: tuple[Any, ...] | None = None
        """By what the server knows the last session: its process, and since when."""

    def connection(self) -> psycopg.Connection[Any]:
        """The open one, or a new one. Raises psycopg.Error or StoreUnavailable."""
        if self._connection is None or self._connection.closed:
            self._connection = None
            connection = self._connect()
            try:
                if self._known:
                    # Who may not: where the rights of a database are narrower than usual.
                    with suppress(psycopg.errors.InsufficientPrivilege):
                        connection.execute(_END_SQL, (_END_MS_MAX, *self._known))
                self._known = connection.execute(_SELF_SQL).fetchone()
            except psycopg.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def close(self) -> None:
        """Close it, whatever the server does; the next one ends what is left of it there."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
