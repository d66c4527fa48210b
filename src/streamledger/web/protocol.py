"""uvicorn's HTTP protocol with limits on what a stranger can hold, and with one write a response.

uvicorn sets no limit on heads, pipelined requests and answers that nobody reads; what is over one is
refused here, before anything of ours sees it (ADR 0017). And it writes head and body of an answer one
after the other, which uvloop sends each at once: for answers of ten bytes the second call is a tenth of
the worker's time (benchmarks/ingest).
"""

import asyncio
from enum import Enum
from functools import partial
from http import HTTPStatus
from time import monotonic
from typing import Any, Final

import httptools
import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from streamledger.operations.receive import Begun
from streamledger.web.callbacks import ALWAYS, SMALL_BYTES, HotPath, acknowledge
from streamledger.web.connections import CONNECTION, Connections, Phase, Place
from streamledger.web.holding import HOLD_S
from streamledger.web.problems import PROBLEM_TYPE, problem

HEADER_LINE_BYTES: Final = 200
"""What a header line of a few bytes takes in memory."""


class _Gathering:
    """A transport that sends what was written within one turn of the event loop together."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._written: list[bytes] = []
        self.written_bytes = 0

    def write(self, data: bytes) -> None:
        if not self._written:
            self._loop.call_soon(self._send)
        self._written.append(data)

    def _send(self) -> None:
        if self._written:
            written, self._written = self._written, []
            together = written[0] if len(written) == 1 else b"".join(written)
            self.written_bytes += len(together)
            self._transport.write(together)

    def close(self) -> None:
        self._send()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Refused(Exception):
    """A limit was reached inside of the parser, which must not go on."""


class _Part(Enum):
    """What of a request is being read."""

    NONE = 0
    HEAD = 1
    BODY = 2


class GuardedProtocol(Place, HttpToolsProtocol):
    """For `guarded_config`.

    A callback that is whole as its head is read, as nearly all are, is given to the intake without a task of
    its own, and answered when the store tells that it is on disk (ADR 0036).
    """

    def __init__(
        self, *arguments: Any, connections: Connections, intake: HotPath | None = None, **named: Any
    ) -> None:
        Place.__init__(self)
        HttpToolsProtocol.__init__(self, *arguments, **named)
        self._intake = intake
        self._is_reading = False  # whether what came is given to the parser just now
        self._ready: tuple[RequestResponseCycle, Any] | None = None  # what is to begin when that is done
        self._all = connections
        self._limits = connections.limits
        self._part = _Part.NONE
        self._marks = 0  # goes up with each head that is whole, each part of a body and each end of one
        self._bare_bytes = 0  # came since the last mark: of a head, or of what only frames a body
        self._body_bytes = 0
        self._over: str | None = None  # the limit that was reached inside of the parser
        self._is_held = False  # whether it is refused and waits for that
        self._answered: RequestResponseCycle | None = None  # the request that is being answered

    @property
    def is_streaming(self) -> bool:
        """Whether an answer has begun."""
        return self.cycle is not None and self.cycle.response_started

    def waiting_bytes(self) -> int:
        """Bytes that wait to be sent."""
        return self._waiting_bytes()

    def written_bytes(self) -> int:
        """Bytes that were written, whether or not they were sent."""
        return self.transport.written_bytes  # type: ignore[attr-defined,no-any-return]  # _Gathering's

    def cut(self) -> None:
        """Close at once."""
        self.transport.abort()

    def take_body(self, bytes_max: int) -> bytes | None:
        """As `receive` gives it, without waiting: genuine bodies come in one piece with their heads."""
        cycle = self._answered
        if cycle is None or cycle.more_body or cycle.disconnected or cycle.waiting_for_100_continue:
            return None
        if len(cycle.body) > bytes_max:
            return None
        body, cycle.body = bytes(cycle.body), bytearray()
        self.flow.resume_reading()
        return body

    def answer_whole(self, head: bytes, body: bytes) -> bool:
        """As `send` does with the two messages of an answer, whose forms it checks each time."""
        cycle = self._answered
        if (
            cycle is None
            or cycle.response_started
            or cycle.disconnected
            or not cycle.keep_alive
            or self.flow.write_paused
        ):
            return False
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        added = b"".join([b"%b: %b\r\n" % header for header in cycle.default_headers])
        self.transport.write(b"HTTP/1.1 200 OK\r\n" + added + head + b"\r\n" + body)
        cycle.on_response()
        return True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """A client has connected."""
        self._waiting_bytes = transport.get_write_buffer_size
        super().connection_made(_Gathering(transport, self.loop))  # type: ignore[arg-type]  # it delegates
        self._all.enter(self, self.client[0] if self.client else None)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone. uvicorn tells only the newest request so; the one being answered must know, too."""
        self._all.leave(self)
        self.pipeline.clear()
        if self._answered is not None:
            self._answered.disconnected = True
            self._answered.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Let the parser read what came, then begin what is to be answered."""
        self._unset_keepalive_if_required()
        self._is_reading = True
        try:
            self._read(data)
        finally:
            self._is_reading = False
            if self._ready is not None:
                ready, self._ready = self._ready, None
                self._begin(*ready)

    def _read(self, data: bytes) -> None:
        """Feed the parser no more than a head may have at a time, so that it never holds more of one."""
        if self._is_held:
            self.transport.pause_reading()  # uvicorn reads on when an answer is complete
            return
        while data and not self.gone and not self.transport.is_closing():
            room = self._limits.head_bytes_max - self._bare_bytes
            part, data = data[:room], data[room:]
            marks = self._marks
            if not self._feed(part):
                return
            self._bare_bytes = self._bare_bytes + len(part) if marks == self._marks else 0
            if self._bare_bytes >= self._limits.head_bytes_max:
                self._refuse("head_bytes_max")
                return
        self._settle()

    def _feed(self, part: bytes) -> bool:
        """Whether there is more to be read."""
        try:
            self.parser.feed_data(part)
        except httptools.HttpParserUpgrade:
            # Another protocol was asked for and is not spoken here: the request is answered, the rest is not
            # for this parser.
            if self.cycle is not None:
                self.cycle.keep_alive = False
            self.transport.pause_reading()
            self._settle()
            return False
        except httptools.HttpParserError:
            if self._over is not None:
                self._refuse(self._over)
            else:
                self.send_400_response("Invalid HTTP request received.")
            return False
        return True

    def _refuse(self, limit: str) -> None:
        """Read no more, and close a second later: at once would ask for the next connection at once."""
        self._all.note(self, limit)
        self._is_held = True
        self.pipeline.clear()
        self.headers = []
        self.transport.pause_reading()
        self._settle()
        self.loop.call_later(HOLD_S, self._end_held, limit)

    def _end_held(self, limit: str) -> None:
        """Say why, where nobody waits for another answer, and close."""
        if self.gone or self.transport.is_closing():
            return
        if (self.cycle is None or self.cycle.response_complete) and limit.startswith("head"):
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            most = getattr(self._limits, limit)
            unit = "bytes" if limit == "head_bytes_max" else "header lines"
            self._say(status, f"head: expected at most {most} {unit}")
        else:
            self.cut()

    def _settle(self) -> None:
        cycle = self.cycle
        if self._part is _Part.BODY:
            self._all.settle(self, Phase.BODY, self._body_bytes)
        elif self._part is _Part.HEAD or self._bare_bytes:
            lines = HEADER_LINE_BYTES * len(self.headers or ())
            self._all.settle(self, Phase.HEAD, self._bare_bytes + lines)
        elif cycle is None or not cycle.response_complete:
            self._all.settle(self, Phase.HEAD if cycle is None else Phase.BUSY, 0)
        else:
            self._all.settle(self, Phase.IDLE, 0)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._part = _Part.HEAD
        self._body_bytes = 0
        super().on_message_begin()
        self.scope[CONNECTION] = self  # type: ignore[typeddict-unknown-key]  # ours

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header line, or one behind a body in chunks."""
        if len(self.headers) >= self._limits.head_lines_max:
            self._over = "head_lines_max"
            raise _Refused
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole: the request begins, or waits behind others."""
        if len(self.pipeline) >= self._limits.pipelined_requests_max:
            self._over = "pipelined_requests_max"
            raise _Refused
        self._marks += 1
        self._part = _Part.BODY
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of a body; what nobody reads any more is taken as long as it is no more than a body has."""
        self._marks += 1
        self._body_bytes += len(body)
        if self.cycle.response_complete and self._body_bytes > self._limits.body_bytes_max:
            self._over = "body_bytes_max"
            raise _Refused
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._marks += 1
        self._part = _Part.NONE
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        if self._is_reading:
            self._ready = cycle, app  # its body may have come with its head
        else:
            self._begin(cycle, app)

    def _begin(self, cycle: RequestResponseCycle, app: Any) -> None:
        if (
            self._intake is not None
            and not cycle.more_body
            and not cycle.waiting_for_100_continue
            and len(cycle.body) <= SMALL_BYTES
        ):
            began_s = monotonic()
            begun = self._intake.begin(cycle.scope, bytes(cycle.body))  # type: ignore[arg-type]  # uvicorn's
            if begun is not None:
                cycle.body = bytearray()
                begun.position.add_done_callback(partial(self._end, cycle, begun, began_s))
                return
        super()._start_asgi_task(cycle, app)

    def _end(
        self, cycle: RequestResponseCycle, begun: Begun, began_s: float, position: "asyncio.Future[int]"
    ) -> None:
        """Answer what is on disk; whatever else became of it takes the ordinary way."""
        assert self._intake is not None  # noqa: S101  # it has begun this
        if position.exception() is not None or not acknowledge(self, position.result()):
            super()._start_asgi_task(cycle, self._intake.end(begun, began_s))  # type: ignore[arg-type]  # uvicorn's
            return
        self._intake.acknowledged.observe(monotonic() - began_s)

    def on_response_complete(self) -> None:
        """An answer is written; the next request waits already, or has to come."""
        super().on_response_complete()
        self._settle()

    def timeout_keep_alive_handler(self) -> None:
        """It has rested long enough. A plain close would wait for ever for one who does not read."""
        self._all.close(self, "idle_s_max")

    def _should_upgrade_to_ws(self) -> bool:
        return False

    def send_400_response(self, msg: str) -> None:
        """Something that is no HTTP, or a method that HTTP does not know: a problem like all others."""
        self._say(HTTPStatus.BAD_REQUEST, msg)

    def _say(self, status: HTTPStatus, detail: str) -> None:
        """A problem that closes the connection."""
        body = msgspec.json.encode(problem(status, status.phrase, detail))
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\n" + "".join(
            f"{name}: {value}\r\n"
            for name, value in (
                ("content-type", PROBLEM_TYPE),
                ("content-length", len(body)),
                ("connection", "close"),
                *((name.decode(), value.decode()) for name, value in ALWAYS),
            )
        )
        self.transport.write(head.encode() + b"\r\n" + body)
        self.transport.close()


def guarded_config(
    application: Any, connections: Connections, intake: HotPath | None = None, **named: Any
) -> uvicorn.Config:
    """How uvicorn serves an application behind the limits: with no log, head or WebSocket of its own."""
    return uvicorn.Config(
        application,
        # A factory does for uvicorn what a class does.
        http=partial(GuardedProtocol, connections=connections, intake=intake),  # type: ignore[arg-type]  # see above
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        **named,
    )
