"""How long a connection waits, at both of its ends, before the other end counts as lost (ADR 0019)."""

import time
from collections.abc import Callable, Generator
from typing import Any, Final, TypeVar

import msgspec
import psycopg

T = TypeVar("T")

CONNECT_S_MAX: Final = 5
"""Unless the DSN names a connect_timeout of its own."""

KEEPALIVE: Final = {"keepalives_idle": 5, "keepalives_interval": 3, "keepalives_count": 3}
"""TCP asks a silent peer after 5 s and gives it up after 9 more: a lost node's session ends within 15 s."""
UNACKNOWLEDGED_MS_MAX: Final = 10_000
"""How long bytes may lie unacknowledged on the way, before TCP gives the connection up."""
CLIENT_LOOK_S: Final = 5
"""How often the server looks, while it works on a statement, whether anybody still waits for it."""
CANCEL_S_MAX: Final = 1.0
"""How long a server is asked to cancel a statement that nobody waits for any more: one that hangs does
not hear it."""


class AnswerOverdue(psycopg.OperationalError):
    """The server did not answer in time: it hangs, or the way to it swallows what is sent."""


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """The deadlines of one connection, in seconds; None is as long as it takes."""

    connect_s_max: int = CONNECT_S_MAX
    answer_s_max: float | None = None
    """For one answer, or one piece of a COPY; then the connection is closed from this side."""
    idle_in_transaction_s_max: int | None = None
    """After which the server ends the session of a client that says nothing within a transaction."""
    lock_s_max: float | None = None
    statement_s_max: float | None = None

    def server_options(self) -> str:
        """What the server is told, in the form of libpq's `options`."""
        told = {
            "tcp_keepalives_idle": KEEPALIVE["keepalives_idle"],
            "tcp_keepalives_interval": KEEPALIVE["keepalives_interval"],
            "tcp_keepalives_count": KEEPALIVE["keepalives_count"],
            "tcp_user_timeout": f"{UNACKNOWLEDGED_MS_MAX}ms",
            "client_connection_check_interval": f"{CLIENT_LOOK_S}s",
        }
        for name, value in (
            ("idle_in_transaction_session_timeout", self.idle_in_transaction_s_max),
            ("lock_timeout", self.lock_s_max),
            ("statement_timeout", self.statement_s_max),
        ):
            if value is not None:
                told[name] = f"{round(value * 1000)}ms"
        return " ".join(f"-c {name}={value}" for name, value in told.items())


UNHURRIED: Final = Patience()
"""Commands and rebuilds: a statement may take minutes, and a snapshot is kept while a reader is slow."""
APPENDING: Final = Patience(
    connect_s_max=2, answer_s_max=5, idle_in_transaction_s_max=10, lock_s_max=4, statement_s_max=4.5
)
"""5 s for an answer and 2 to connect anew leave the deliveries that wait their answer within 10 s. The server
gives up a lock or a statement sooner than we give up the server: then it is known that nothing was stored."""
ANSWERING: Final = Patience(answer_s_max=15, idle_in_transaction_s_max=10)
"""Queries of the web interface."""
PROJECTING: Final = Patience(answer_s_max=30, idle_in_transaction_s_max=10)
WRITING: Final = Patience(answer_s_max=60, idle_in_transaction_s_max=10)
"""Whatever takes a lock that the intake waits for: it is not kept by one who has fallen silent."""


class _Deadline:
    """What both kinds of connection share."""

    answer_s_max: float | None = None

    def _in_time(self, generator: Any) -> Generator[Any, Any, Any]:
        """The generator that talks to the server, ended when the answer does not come in time."""
        deadline = time.monotonic() + (self.answer_s_max or 0)
        ready = None
        while True:
            try:
                wanted = generator.send(ready)
            except StopIteration as done:
                return done.value
            # Not by silence alone: what comes byte by byte is never silent for long.
            if time.monotonic() >= deadline:
                generator.close()
                raise AnswerOverdue(f"the database did not answer within {self.answer_s_max:g} s")
            ready = yield wanted  # psycopg looks in every tenth of a second, ready or not


class HastyConnection(psycopg.Connection, _Deadline):
    """A connection that closes itself when the server does not answer within `answer_s_max`."""

    drive: Callable[[Any, int], Any] | None = None
    """What waits for the socket in psycopg's place: its owner has something else to do meanwhile."""

    def wait(self, gen: Any, *arguments: Any, **named: Any) -> Any:
        """As psycopg's, which calls it for every exchange with the server."""
        if self.answer_s_max is not None and named.get("timeout") is None:
            gen = self._in_time(gen)
        try:
            if self.drive is not None:
                return self.drive(gen, self.pgconn.socket)
            return super().wait(gen, *arguments, **named)
        except AnswerOverdue:
            self.pgconn.finish()
            raise


class HastyAsyncConnection(psycopg.AsyncConnection, _Deadline):
    """Like `HastyConnection`, for asyncio."""

    async def wait(self, gen: Any, *arguments: Any, **named: Any) -> Any:
        """As psycopg's, which calls it for every exchange with the server."""
        if self.answer_s_max is None or named.get("timeout") is not None:
            return await super().wait(gen, *arguments, **named)
        try:
            return await super().wait(self._in_time(gen), *arguments, **named)
        except AnswerOverdue:
            self.pgconn.finish()
            raise

    async def cancel_safe(self, *, timeout: float = CANCEL_S_MAX) -> None:  # noqa: ASYNC109  # psycopg's
        """As psycopg's, which calls it with 5 s for whoever is cancelled, and gives the answer 5 more.

        Where the server does not hear it the connection is closed, and ends there by `CLIENT_LOOK_S`: the
        end of the program would wait all that time for a server that hangs.
        """
        try:
            await super().cancel_safe(timeout=min(timeout, CANCEL_S_MAX))
        except psycopg.Error:
            self.pgconn.finish()
            raise
