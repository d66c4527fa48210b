"""A callback that is begun without a task of its own is answered just as by the ordinary way."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from streamledger.domain.errors import StoreUnavailable
from streamledger.ledger.appender import DeliveryUnstorable, QueueFull
from streamledger.operations.observe import Observed, ObservedReceiver, Observer
from streamledger.operations.receive import Receiver, Trust
from streamledger.operations.timings import Timings
from streamledger.tencent.signature import CallbackKey
from streamledger.web.callbacks import PATH, Callbacks, HotPath
from streamledger.web.connections import ConnectionLimits, Connections
from streamledger.web.protocol import GuardedProtocol
from streamledger.web.reached import ReachedLimits

NOW_S = 1_700_000_000
T = NOW_S + 300
SIGN = hashlib.md5(f"secret{T}".encode()).hexdigest()
BODY = f'{{"event_type":1,"stream_id":"cam","sequence":"1","t":{T},"sign":"{SIGN}"}}'.encode()
FORGED = BODY.replace(SIGN.encode(), b"0" * 32)


class Store:
    """Stands for the appender: what waits is told when the test says so."""

    def __init__(self, fails: Callable[[], Exception] | None, *, at_once: bool) -> None:
        self._fails, self._at_once = fails, at_once
        self.waiting: list[asyncio.Future[Any]] = []
        self.stored: list[bytes] = []
        self.counted: list[str] = []

    def append(self, event: Any) -> asyncio.Future[int]:
        if self._fails is not None and self._at_once:
            raise self._fails()
        self.stored.append(event.delivery.body)
        return self._wait()

    def quarantine(self, row: Any) -> asyncio.Future[bool]:
        kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        kept.set_result(True)
        return kept

    def count(self, outcome: str) -> None:
        self.counted.append(outcome)

    def _wait(self) -> asyncio.Future[int]:
        self.waiting.append(asyncio.get_running_loop().create_future())
        return self.waiting[-1]

    def tell(self) -> None:
        waiting, self.waiting = self.waiting, []
        for number, each in enumerate(waiting, 1):
            if self._fails is None:
                each.set_result(number)
            else:
                each.set_exception(self._fails())


class Wire:
    """Stands for a connection's transport."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.1", 4711) if name in ("peername", "sockname") else default

    def pause_reading(self) -> None:
        """Nothing: what comes is given by hand."""

    resume_reading = pause_reading


def request(*headers: str, body: bytes = BODY, target: str = PATH, method: str = "POST") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "host: x", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked() -> bytes:
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    return head.encode() + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


CASES: dict[str, list[bytes]] = {
    "plain": [request()],
    "the path token": [request(target=f"{PATH}/token")],
    "a wrong path token": [request(target=f"{PATH}/other")],
    "another method": [request(method="PUT")],
    "one after the other": [request(), request()],
    "pipelined": [request() * 3],
    "pipelined with a forged one": [request() + request(body=FORGED) + request()],
    "closed by the client": [request("connection: close")],
    "the old protocol": [request().replace(b"HTTP/1.1", b"HTTP/1.0")],
    "in parts": [request()[:50], request()[50:100], request()[100:]],
    "whole JSON before its end": [request(body=BODY + b"    ")[:-4], b"    "],
    "in chunks": [chunked()],
    "asked before it is sent": [request("expect: 100-continue")[: -len(BODY)], BODY],
    "asked and sent at once": [request("expect: 100-continue")],
    "another protocol": [request("connection: upgrade", "upgrade: h2c")],
    "forged": [request(body=FORGED)],
    "no JSON": [request(body=b"nonsense")],
    "empty": [request(body=b"")],
    "mended": [request(body=BODY.replace(b'"event_type"', b"event_type"))],
    "large": [request(body=BODY[:-1] + b',"x":"' + b"x" * 20_000 + b'"}')],
    "no HTTP behind it": [request() + b"nonsense\r\n\r\n"],
}
FAULTS: dict[str, tuple[Callable[[], Exception], bool]] = {
    "the queue is full": (lambda: QueueFull(length=7), True),
    "the store is gone": (lambda: StoreUnavailable(cause="gone"), True),
    "the store went": (lambda: StoreUnavailable(cause="gone"), False),
    "it cannot be stored": (lambda: DeliveryUnstorable(cause="a fault"), False),
}


class Running:
    """One connection of a web process, with or without the short way."""

    def __init__(self, store: Store, *, at_once: bool, observers: Sequence[Observer] = ()) -> None:
        trust = Trust(
            keys=[CallbackKey("k", "secret")], grace_s=0, ahead_s_max=3600, path_token_configured=True
        )
        parts: Any = (store, trust, lambda: NOW_S * 1_000_000)
        receiver = ObservedReceiver(*parts, observers=observers) if observers else Receiver(*parts)
        self.timings = Timings(1)
        row = self.timings.row(0)
        callbacks = Callbacks(receiver, body_bytes_max=65_536, path_token="token", body_s_max=10, timings=row)
        connections = Connections(LIMITS, ReachedLimits())
        app: Any = SimpleNamespace(state=SimpleNamespace(callbacks=callbacks))  # all it needs
        hot = HotPath(app, connections, timings=row)
        config = uvicorn.Config(hot, lifespan="off", log_config=None, server_header=False, date_header=False)
        self.state = ServerState()
        self.store = store
        self.protocol = GuardedProtocol(
            config, self.state, {}, connections=connections, intake=hot if at_once else None
        )
        self.wire = Wire()
        self.protocol.connection_made(self.wire)  # type: ignore[arg-type]  # stands for it

    async def give(self, pieces: list[bytes]) -> bytes:
        """What is answered to what comes in these pieces."""
        for piece in pieces:
            self.protocol.data_received(piece)
            await self.rest()
        while self.store.waiting:
            self.store.tell()
            await self.rest()
        self.protocol._unset_keepalive_if_required()
        return self.wire.written

    def counted(self) -> dict[str, int]:
        """How many answers of each class were timed."""
        return {answer: found.counts[-1] for answer, found in self.timings.answers().items()}

    async def rest(self) -> None:
        """Let the loop do all that can be done without waiting."""
        for _ in range(30):
            await asyncio.sleep(0)


LIMITS = ConnectionLimits(
    connections_max=10,
    connections_per_address_max=10,
    head_bytes_max=4096,
    head_lines_max=32,
    head_s_max=10,
    body_bytes_max=65_536,
    body_s_max=10,
    idle_s_max=10,
    pipelined_requests_max=8,
    unfinished_bytes_max=1_000_000,
    unread_bytes_max=1_000_000,
    unread_s_max=10,
)


def both_ways(pieces: list[bytes], fault: tuple[Callable[[], Exception], bool] | None = None) -> list[Any]:
    async def one(*, at_once: bool) -> Any:
        fails, is_told_at_once = fault or (None, False)
        running = Running(Store(fails, at_once=is_told_at_once), at_once=at_once)
        answered = await running.give(pieces)
        return (
            answered,
            running.store.stored,
            running.store.counted,
            running.wire.closed,
            running.counted(),
        )

    return [asyncio.run(one(at_once=at_once)) for at_once in (False, True)]


@pytest.mark.parametrize("case", CASES)
def test_it_is_answered_just_as_by_the_ordinary_way(case: str) -> None:
    ordinary, at_once = both_ways(CASES[case])
    assert at_once == ordinary
    assert ordinary[0].startswith(b"HTTP/1.1 ")


def test_whatever_came_the_answer_says_that_it_is_what_it_says_and_not_to_be_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streamledger.web.protocol.HOLD_S", 0)
    large = [request(body=b"x" * 70_000)]
    head = [b"GET / HTTP/1.1\r\nx: " + b"a" * 5000]
    statuses = set()
    for pieces in (*CASES.values(), large, head):
        for answered in (each[0] for each in both_ways(pieces)):
            for answer in answered.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"").split(b"HTTP/1.1 ")[1:]:
                lines = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
                statuses.add(int(lines[0][:3]))
                for line in (b"x-content-type-options: nosniff", b"cache-control: no-store"):
                    assert lines.count(line) == 1, answer
    assert statuses == {200, 400, 403, 404, 405, 413, 431}


@pytest.mark.parametrize("fault", FAULTS)
def test_so_is_what_cannot_be_stored(fault: str) -> None:
    ordinary, at_once = both_ways([request(), request()], FAULTS[fault])
    assert at_once == ordinary
    assert b" 200 OK" not in ordinary[0]


@pytest.mark.parametrize(
    ("pieces", "timed"),
    [
        ([request() * 3], (3, 0, 0)),
        ([request() + request(body=FORGED) + request()], (2, 1, 0)),
        ([request(body=b"nonsense")], (0, 1, 0)),
        ([request(method="PUT")], (0, 1, 0)),
        ([request("connection: close")], (1, 0, 0)),
        ([request()[:50], request()[50:]], (1, 0, 0)),
    ],
)
def test_each_answer_is_timed_once_whichever_way_it_took(
    pieces: list[bytes], timed: tuple[int, int, int]
) -> None:
    wanted = dict(zip(("acknowledged", "refused", "unavailable"), timed, strict=True))
    assert [found[-1] for found in both_ways(pieces)] == [wanted, wanted]


def test_what_the_store_did_not_take_is_timed_as_unavailable() -> None:
    for fails, is_told_at_once in (FAULTS["the store went"], FAULTS["the queue is full"]):
        for found in both_ways([request()], (fails, is_told_at_once)):
            assert found[-1] == {"acknowledged": 0, "refused": 0, "unavailable": 1}


def test_a_plain_callback_has_no_task_and_a_doubtful_one_has() -> None:
    async def tasks(body: bytes) -> int:
        running = Running(Store(None, at_once=False), at_once=True)
        running.protocol.data_received(request(body=body))
        count = len(running.state.tasks)
        await running.give([])
        return count

    assert asyncio.run(tasks(BODY)) == 0
    assert asyncio.run(tasks(FORGED)) == 1


async def test_what_is_to_be_told_of_takes_the_ordinary_way() -> None:
    told: list[Observed] = []
    running = Running(Store(None, at_once=False), at_once=True, observers=[told.append])
    assert b" 200 OK" in await running.give([request()])
    assert [each.outcome for each in told] == ["stored"]


async def test_who_hangs_up_meanwhile_is_stored_and_not_answered() -> None:
    running = Running(Store(None, at_once=False), at_once=True)
    running.protocol.data_received(request())
    running.protocol.connection_lost(None)
    answered = await running.give([])
    assert (running.store.stored, answered) == ([BODY], b"")


async def test_a_server_that_ends_answers_and_closes() -> None:
    running = Running(Store(None, at_once=False), at_once=True)
    running.protocol.data_received(request())
    running.protocol.shutdown()
    answered, is_closed = await running.give([]), running.wire.closed
    assert b" 200 OK" in answered
    assert is_closed
