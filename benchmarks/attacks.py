"""What strangers do to a server of ours on loopback, each for as long as it is told: for benchmarks/flood."""

import asyncio
import os
import re
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from typing import Any

import msgspec
import uvloop

from benchmarks.baselines import PATH
from benchmarks.load import requests
from streamledger.operations.descriptors import raise_limit

PART_BYTES = 64 * 1024
HELD_MAX = 6_000
"""Connections that the silent one holds: more than the server takes."""
SILENT_PER_S = 2_000
GET_LIVE = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"
WRONG_TOKEN = b"GET /v1/sessions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer not-the-one\r\n\r\n"
JSON5 = b"{event_type:1,stream_id:'x',more:[" + b"[],".join([b""] * (85 * 1024)) + b"]}"


class Stranger:
    """One connection's address and target; `did` counts what came of it."""

    def __init__(self, address: str, port: int, ends_at_s: float, did: Counter[str]) -> None:
        # Benchmarks attack nobody but what they have started on this machine.
        assert ip_address(address).is_loopback, address
        self._address = address
        self._port = port
        self._ends_at_s = ends_at_s
        self.did = did

    @property
    def goes_on(self) -> bool:
        """Whether the time is not up yet."""
        return time.monotonic() < self._ends_at_s

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection from the address; what ends it otherwise than by us is counted."""
        self.did["connections"] += 1
        writer = None
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self._port, local_addr=(self._address, 0), limit=2**20
            )
            yield reader, writer
        except (OSError, asyncio.IncompleteReadError, RuntimeError):  # the last is uvloop's, when it is gone
            self.did["closed"] += 1
        finally:
            if writer is not None:
                writer.transport.abort()

    async def send_for_ever(self, begin: bytes, part: bytes) -> None:
        """The same again and again on a connection, and on another one when that is closed."""
        while self.goes_on:
            async with self.connection() as (reader, writer):
                writer.write(begin)
                while self.goes_on and not reader.at_eof():
                    writer.write(part)
                    await asyncio.wait_for(writer.drain(), 5)
                    await asyncio.sleep(0)
                self.did["closed"] += self.goes_on

    async def ask_for_ever(self, asked: Sequence[bytes]) -> None:
        """One request after the other, each when the one before is answered."""
        number = 0
        while self.goes_on:
            async with self.connection() as (reader, writer):
                while self.goes_on:
                    writer.write(asked[number % len(asked)])
                    number += 1
                    status, close = await answer_of(reader)
                    self.did[status] += 1
                    if close:
                        break


async def answer_of(reader: asyncio.StreamReader) -> tuple[str, bool]:
    """The status of the next answer, and whether the connection ends with it."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    at = head.find(b"content-length:")
    await reader.readexactly(int(head[at + 15 :].split(b"\r\n", 1)[0]))
    return head[9:12].decode(), b"connection: close" in head


async def endless_header_line(stranger: Stranger) -> None:
    """A header line that never ends."""
    await stranger.send_for_ever(b"GET / HTTP/1.1\r\nhost: x\r\nx: ", b"a" * PART_BYTES)


async def many_small_headers(stranger: Stranger) -> None:
    """Header lines of a few bytes, without an end."""
    await stranger.send_for_ever(b"GET / HTTP/1.1\r\nhost: x\r\n", b"a: b\r\n" * (PART_BYTES // 6))


async def silence(stranger: Stranger) -> None:
    """Connections that send half a head, or nothing: as many as can be held, 2,000 new ones a second."""
    held: list[Any] = []
    pause_s = stranger.did["strangers"] / SILENT_PER_S
    while stranger.goes_on:
        await asyncio.sleep(pause_s)
        made = socket.socket()
        try:
            made.setblocking(False)
            made.bind((stranger._address, 0))  # one of its own kind
            await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", stranger._port))
            stranger.did["connections"] += 1
            if stranger.did["connections"] % 2:
                made.send(b"POST /callbacks/tencent HTTP/1.1\r\nhost: x\r\ncontent-")
        except OSError:
            stranger.did["refused"] += 1
            await asyncio.sleep(0.01)
        held.append(made)
        if len(held) > HELD_MAX // stranger.did["strangers"]:
            held.pop(0).close()
    for each in held:
        each.close()


async def pipelining(stranger: Stranger) -> None:
    """Requests one behind the other, no answer read."""
    await stranger.send_for_ever(b"", GET_LIVE * (PART_BYTES // len(GET_LIVE)))


async def pipelining_with_a_wrong_token(stranger: Stranger) -> None:
    """The same, each to be answered 401."""
    await stranger.send_for_ever(b"", WRONG_TOKEN * (PART_BYTES // len(WRONG_TOKEN)))


async def never_reading(stranger: Stranger) -> None:
    """A few large answers at a time, none of them read."""
    while stranger.goes_on:
        with suppress(OSError), socket.socket() as made:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            made.setblocking(False)
            made.bind((stranger._address, 0))  # one of its own kind
            loop = asyncio.get_running_loop()
            await loop.sock_connect(made, ("127.0.0.1", stranger._port))
            stranger.did["connections"] += 1
            while stranger.goes_on:
                made.send(b"GET /schema HTTP/1.1\r\nhost: x\r\n\r\n" * 4)
                stranger.did["asked"] += 4
                await asyncio.sleep(0.1)
        stranger.did["closed"] += stranger.goes_on


async def unsigned_json5(stranger: Stranger) -> None:
    """Bodies of 256 KiB that strict JSON cannot read and that bear no signature."""
    await stranger.ask_for_ever([_post(JSON5)])


async def forged(stranger: Stranger) -> None:
    """Ordinary bodies with a wrong signature, each as soon as the one before is answered."""
    genuine = requests("127.0.0.1", 1, PATH, 100, seed=3)
    # As long as the true one, so that the request's length still fits.
    wrong = [re.sub(rb'"sign": "[0-9a-f]{32}"', b'"sign": "' + b"0" * 32 + b'"', each) for each in genuine]
    await stranger.ask_for_ever(wrong)


async def forged_and_large(stranger: Stranger) -> None:
    """The worst of strict JSON for the decoder, 256 KiB of it, with a wrong signature."""
    body = {"event_type": 1, "sign": "0" * 32, "stream_id": "x", "t": [[]] * (85 * 1024)}
    await stranger.ask_for_ever([_post(msgspec.json.encode(body))])


async def refused_and_going_on(stranger: Stranger) -> None:
    """Beyond its refusals already, and on with what is dear to read."""
    await stranger.ask_for_ever([_post(b"{}")] * 700 + [_post(JSON5[:16_000] + b"]}"), _post(JSON5)] * 10_000)


def _post(body: bytes) -> bytes:
    return f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


Attack = Callable[[Stranger], Awaitable[None]]


def run(
    attack: Attack, port: int, addresses: Sequence[str], connections: int, seconds: float, result: Any
) -> None:
    """An attack from these addresses with so many connections in all, in a process of its own."""
    os.nice(5)  # strangers do not have the server's processors
    raise_limit(4 * HELD_MAX)

    async def drive() -> Counter[str]:
        did: Counter[str] = Counter(strangers=connections)
        ends_at_s = time.monotonic() + seconds
        strangers = [
            Stranger(addresses[number % len(addresses)], port, ends_at_s, did)
            for number in range(connections)
        ]
        tasks = [asyncio.ensure_future(attack(each)) for each in strangers]
        await asyncio.wait(tasks, timeout=seconds + 5)
        for task in tasks:
            task.cancel()
        failed = [task for task in tasks if task.done() and not task.cancelled() and task.exception()]
        did["failed"] = len(failed)
        did.pop("strangers")
        return +did

    result.put(dict(uvloop.run(drive())))
