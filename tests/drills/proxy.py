"""A faulty way to PostgreSQL: a TCP proxy that cuts, swallows and delays what goes through it."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from psycopg.conninfo import conninfo_to_dict, make_conninfo

CHUNK_BYTES: Final = 65536
T = TypeVar("T")


class Fault(msgspec.Struct):
    """What happens on connections whose application_name contains `to`; all of them by default.

    `cut_before`: so many times, the connection is cut when the client says something, which the server never
    hears. `cut_after`: when the server has answered, which the client never hears. A commit is then lost, or
    done and not acknowledged.
    """

    to: str = ""
    swallow: bool = False
    """Connections stay open and nothing comes through; new ones too."""
    swallow_made: bool = False
    """The same, for those that are open at that moment only."""
    refuse: bool = False
    """New connections are closed at once."""
    delay_s: float = 0.0
    """Of each answer of the server."""
    trickle_s: float = 0.0
    """Answers of the server come byte by byte, each so long after the one before."""
    cut_before: int = 0
    cut_after: int = 0


class _Way:
    """One connection through the proxy."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client, self.server = client, server
        self.name = ""
        self.is_swallowed = False

    def cut(self) -> None:
        for writer in (self.client, self.server):
            writer.transport.abort()


class Proxy:
    """Stands between the program and the database `dsn`; `self.dsn` leads through it."""

    def __init__(self, dsn: str) -> None:
        facts = conninfo_to_dict(dsn)
        self._host, self._port = str(facts.get("host") or "127.0.0.1"), str(facts.get("port") or 5432)
        self._facts = facts
        self.fault = Fault()
        self.connections_made = 0
        self._ways: set[_Way] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._carry, "127.0.0.1", 0))
        port = self._server.sockets[0].getsockname()[1]
        self.dsn = make_conninfo(dsn, host="127.0.0.1", port=port)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def set(self, **fault: Any) -> None:
        """From now on these faults and no others; without any, all is well for new connections."""
        self._do(self._set(Fault(**fault)))

    async def _set(self, fault: Fault) -> None:
        self.fault = fault
        if fault.swallow_made:
            for way in self._ways:
                way.is_swallowed = fault.to in way.name

    def cut_all(self) -> None:
        """Cuts every connection."""
        self._do(self._cut_all())

    async def _cut_all(self) -> None:
        for way in list(self._ways):
            way.cut()

    def close(self) -> None:
        """Cuts everything and listens no more."""
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        await self._cut_all()
        if left := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(left, timeout=5)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections_made += 1
        if self.fault.refuse:
            writer.transport.abort()
            return
        try:
            if self._host.startswith("/"):
                path = Path(self._host) / f".s.PGSQL.{self._port}"
                there_reader, there = await asyncio.open_unix_connection(path)
            else:
                there_reader, there = await asyncio.open_connection(self._host, int(self._port))
        except OSError:
            writer.transport.abort()
            return
        way = _Way(writer, there)
        self._ways.add(way)
        both = [
            asyncio.create_task(self._to_server(way, reader)),
            asyncio.create_task(self._to_client(way, there_reader)),
        ]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        way.cut()
        await asyncio.gather(*both, return_exceptions=True)
        self._ways.discard(way)

    def _meant(self, way: _Way) -> bool:
        return self.fault.to in way.name

    def _swallows(self, way: _Way) -> bool:
        return way.is_swallowed or (self.fault.swallow and self._meant(way))

    async def _to_server(self, way: _Way, reader: asyncio.StreamReader) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            if not way.name:
                way.name = _application_name(chunk)
                if way.name:  # the startup itself goes through: what is tried is what comes later
                    way.server.write(chunk)
                    continue
            if self._swallows(way):
                continue
            if self.fault.cut_before and self._meant(way) and _executes(chunk):
                self.fault.cut_before -= 1
                raise EOFError
            way.server.write(chunk)
            await way.server.drain()
        raise EOFError

    async def _to_client(self, way: _Way, reader: asyncio.StreamReader) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            if self.fault.delay_s and self._meant(way):
                await asyncio.sleep(self.fault.delay_s)
            if self._swallows(way):
                continue
            if self.fault.cut_after and self._meant(way) and _completes(chunk):
                self.fault.cut_after -= 1
                raise EOFError
            pieces = 1 if self.fault.trickle_s and self._meant(way) else CHUNK_BYTES
            for begin in range(0, len(chunk), pieces):
                way.client.write(chunk[begin : begin + pieces])
                await way.client.drain()
                await asyncio.sleep(self.fault.trickle_s)
        raise EOFError


def _application_name(startup: bytes) -> str:
    """Of a startup packet; SSL and GSS requests have none."""
    parts = startup.split(b"\0")
    with contextlib.suppress(ValueError):
        return parts[parts.index(b"application_name") + 1].decode()
    return ""


def _executes(chunk: bytes) -> bool:
    """Whether a client's message runs something: a Bind (B) or a simple Query (Q)."""
    return chunk[:1] in (b"B", b"P", b"Q")


def _completes(chunk: bytes) -> bool:
    """Whether a server's message says that a statement was done and nothing is open: ReadyForQuery, idle."""
    return chunk.endswith(b"Z\0\0\0\x05I")


@contextmanager
def proxied(dsn: str) -> Iterator[Proxy]:
    """A proxy to this database while this lasts."""
    proxy = Proxy(dsn)
    try:
        yield proxy
    finally:
        proxy.close()
