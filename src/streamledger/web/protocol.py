"""uvicorn's HTTP protocol with one write a response: head and body leave in one system call.

uvicorn writes them one after the other and uvloop sends each at once; for answers of ten bytes that
second call is a tenth of the worker's time (benchmarks/ingest).
"""

import asyncio
from http import HTTPStatus
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from streamledger.web.problems import PROBLEM_TYPE, problem


class _Gathering:
    """A transport that sends what was written within one turn of the event loop together."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._written: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._written:
            self._loop.call_soon(self._send)
        self._written.append(data)

    def _send(self) -> None:
        if self._written:
            written, self._written = self._written, []
            self._transport.write(written[0] if len(written) == 1 else b"".join(written))

    def close(self) -> None:
        self._send()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class OneWriteProtocol(HttpToolsProtocol):
    """For `uvicorn.Config(http=...)`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """A client has connected."""
        super().connection_made(_Gathering(transport, self.loop))  # type: ignore[arg-type]  # it delegates

    def send_400_response(self, msg: str) -> None:
        """Something that is no HTTP, or a method that HTTP does not know: a problem like all others."""
        body = msgspec.json.encode(problem(HTTPStatus.BAD_REQUEST, HTTPStatus.BAD_REQUEST.phrase, msg))
        head = "HTTP/1.1 400 Bad Request\r\n" + "".join(
            f"{name}: {value}\r\n"
            for name, value in (
                ("content-type", PROBLEM_TYPE),
                ("content-length", len(body)),
                ("connection", "close"),
            )
        )
        self.transport.write(head.encode() + b"\r\n" + body)
        self.transport.close()
