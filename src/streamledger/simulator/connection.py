"""One kept-alive HTTP/1.1 connection to a receiver: post a body, read the status or hang up before it.

Not httpx: a general client spends about a millisecond per request, which would measure the
simulator and not the receiver; and it cannot hang up between request and answer.
"""

import asyncio
import contextlib
import ssl
from typing import Self
from urllib.parse import urlsplit

import msgspec

from streamledger.domain.errors import SettingInvalid, StreamledgerError

DEFAULT_PATH = "/callbacks/tencent"
_HEAD_BYTES_MAX = 65_536
_ANSWER_BYTES_MAX = 1_048_576


class ReceiverUnreachable(StreamledgerError):
    """no receiver answers at {url}: {cause}"""

    exit_code = 3


class AnswerUnreadable(StreamledgerError):
    """the receiver's answer is no HTTP/1.1: {got}"""


class Target(msgspec.Struct, frozen=True):
    """Where callbacks are posted to."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def target(url: str, token: str | None = None) -> Target:
    """Reads a receiver's URL; one without a path gets the receiver's own, the token goes behind it.

    Raises SettingInvalid for anything but http and https with a host.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SettingInvalid(name="url", expected="http://HOST[:PORT][/PATH]", got=url) from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingInvalid(name="url", expected="http://HOST[:PORT][/PATH]", got=url)
    path = parts.path if parts.path not in ("", "/") else DEFAULT_PATH
    if token:
        path = f"{path.rstrip('/')}/{token}"
    if parts.query:
        path = f"{path}?{parts.query}"
    if not path.isascii() or any(character <= " " for character in path):
        raise SettingInvalid(name="url", expected="a path of printable ASCII, percent-encoded", got=path)
    return Target(parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80), path)


class Connection:
    """A connection that opens when needed and again after it was cut. Not for two tasks at once."""

    def __init__(self, to: Target) -> None:
        self._to = to
        self._ssl = ssl.create_default_context() if to.scheme == "https" else None
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._head = (
            f"POST {to.path} HTTP/1.1\r\nHost: {to.authority}\r\nUser-Agent: streamledger-simulator\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        ).encode()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Connects unless connected. Raises OSError when nobody listens."""
        await self._opened()

    async def post(self, body: bytes) -> int:
        """Sends the body and returns the answer's status; the answer itself is read and dropped.

        Raises OSError or EOFError when the connection fails before the answer is complete, and
        AnswerUnreadable; the connection is closed then.
        """
        try:
            reader = await self._sent(body)
            status, keep = await _answer(reader)
        except BaseException:
            await self._abort()
            raise
        if not keep:
            await self.close()
        return status

    async def post_and_hang_up(self, body: bytes) -> None:
        """Sends the whole body and closes without reading: the receiver acknowledges to nobody."""
        try:
            await self._sent(body)
        finally:
            await self.close()

    async def close(self) -> None:
        """Closes; what was written before is still sent."""
        if self._streams is None:
            return
        writer = self._streams[1]
        self._streams = None
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def _abort(self) -> None:
        """Drops the connection: closing in order would wait for a receiver that reads no more."""
        if self._streams is not None:
            self._streams[1].transport.abort()
        await self.close()

    async def _sent(self, body: bytes) -> asyncio.StreamReader:
        reader, writer = await self._opened()
        writer.write(b"%b%d\r\n\r\n%b" % (self._head, len(body), body))
        await writer.drain()
        return reader

    async def _opened(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        # A server may close an idle connection: that is no failed try, the next one is opened anew.
        if self._streams is not None and self._streams[0].at_eof():
            await self.close()
        if self._streams is None:
            self._streams = await asyncio.open_connection(
                self._to.host, self._to.port, ssl=self._ssl, limit=_HEAD_BYTES_MAX
            )
        return self._streams


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """The status, and whether the connection can be used again."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        while head[9:10] == b"1":  # 100 Continue and its like precede the answer
            head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1."):
            raise AnswerUnreadable(got=head[:40])
        status = int(head[9:12])
        fields = _fields(head)
        keep = fields.get(b"connection", b"").lower() != b"close" and head.startswith(b"HTTP/1.1")
        if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
            await _drop_chunks(reader)
        elif (length := fields.get(b"content-length")) is not None:
            if int(length) > _ANSWER_BYTES_MAX:
                return status, False
            await reader.readexactly(int(length))
        elif status not in (204, 304):
            keep = False  # such an answer ends with the connection
    except (ValueError, asyncio.LimitOverrunError) as error:
        raise AnswerUnreadable(got=error) from error
    return status, keep


def _fields(head: bytes) -> dict[bytes, bytes]:
    pairs = (line.partition(b":") for line in head.split(b"\r\n")[1:] if line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


async def _drop_chunks(reader: asyncio.StreamReader) -> None:
    while length := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        await reader.readexactly(length + 2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
