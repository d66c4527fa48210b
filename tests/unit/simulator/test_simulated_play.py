"""Whole plays against a tiny receiver: retries, lost acknowledgements, outages, and the account of them."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Literal

import pytest

from streamledger.domain.errors import SettingInvalid
from streamledger.simulator.connection import Connection, ReceiverUnreachable, target
from streamledger.simulator.delivery import Call, Era, Faults, Manner, Signing, body_of, plan, t_of
from streamledger.simulator.history import generate, randomness
from streamledger.simulator.player import Pace, Player
from streamledger.simulator.report import Failure, Report, Tally, Try
from streamledger.simulator.truth import History, Shape

STARTS_AT_MS = 1_713_731_478_000
NOW_S = 1_713_735_078
SMALL = Shape(streams=2, sessions_per_stream=2, duration_s=120)

Answer = int | Literal["hang up", "silence"]


class TinyReceiver:
    """Speaks just enough HTTP/1.1; `answer` gets the body and how often that body came before."""

    def __init__(self, answer: Callable[[bytes, int], Answer]) -> None:
        self._answer = answer
        self.bodies: list[bytes] = []
        self.paths: list[str] = []
        self.arrived_s: list[float] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(EOFError, ConnectionError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(head.partition("Content-Length: ")[2].partition("\r\n")[0])
                body = await reader.readexactly(length)
                before = self.bodies.count(body)
                self.bodies.append(body)
                self.paths.append(head.split(" ")[1])
                self.arrived_s.append(asyncio.get_running_loop().time())
                answer = self._answer(body, before)
                if answer == "hang up":
                    break
                if answer == "silence":
                    await reader.read()  # until the simulator gives up and closes
                    break
                writer.write(f'HTTP/1.1 {answer} X\r\nContent-Length: 10\r\n\r\n{{"code":0}}'.encode())
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def receiver(answer: Callable[[bytes, int], Answer]) -> AsyncIterator[TinyReceiver]:
    """A listening tiny receiver on a free port of the loopback."""
    tiny = TinyReceiver(answer)
    server = await asyncio.start_server(tiny.serve, "127.0.0.1", 0)
    tiny.port = server.sockets[0].getsockname()[1]
    async with server:
        yield tiny


def drawn(shape: Shape = SMALL) -> History:
    return generate(shape, starts_at_ms=STARTS_AT_MS, random=randomness(1, STARTS_AT_MS, "history"))


def planned(history: History, faults: Faults) -> tuple[Call, ...]:
    return plan(history.facts, faults, random=randomness(1, STARTS_AT_MS, "faults"))


class Played:
    """A play and all that is known of it."""

    def __init__(self, report: Report, tries: list[Try], arrived: TinyReceiver) -> None:
        self.report = report
        self.tries = tries
        self.arrived = arrived


def played(
    answer: Callable[[bytes, int], Answer],
    *,
    faults: Faults | None = None,
    shape: Shape = SMALL,
    calls_max: int | None = None,
    speed: float | None = None,
    era: Era = Era.TODAY,
    connections: int = 4,
    signing: Signing | None = None,
    outage_s: tuple[float, float] | None = None,
    clock: Callable[[], float] = lambda: NOW_S,
) -> Played:
    history = drawn(shape)
    calls = planned(history, faults or Faults())[:calls_max]
    tally = Tally([history.facts[call.fact] for call in calls] if calls_max else history.facts)
    tries: list[Try] = []

    def on_try(tried: Try) -> None:
        tries.append(tried)
        tally.take(tried)

    async def run() -> TinyReceiver:
        async with receiver(answer) as tiny:
            player = Player(
                calls,
                target(tiny.url),
                signing or Signing(key="abc"),
                starts_at_ms=STARTS_AT_MS,
                pace=Pace(speed),
                on_try=on_try,
                era=era,
                connections=connections,
                outage_s=outage_s,
                clock=clock,
            )
            async with asyncio.timeout(30):
                await player.play()
        return tiny

    arrived = asyncio.run(run())
    return Played(tally.report(1.0), tries, arrived)


def always(status: Answer) -> Callable[[bytes, int], Answer]:
    return lambda _body, _before: status


def assert_adds_up(report: Report) -> None:
    assert report.tries == report.acknowledged + report.refused + report.failed
    assert report.failed == sum(report.failures.values())
    for rows in (report.by_kind, report.by_manner):
        assert sum(sum(row.values()) for row in rows.values()) == report.tries
    assert report.tries - report.retries == sum(report.calls.values())
    assert report.facts == report.facts_acknowledged + report.facts_unacknowledged


def test_a_receiver_that_acknowledges_gets_every_fact_once() -> None:
    play = played(always(200))
    assert play.report.tries == play.report.facts == play.report.facts_acknowledged > 30
    assert len(play.arrived.bodies) == play.report.tries
    assert set(play.arrived.paths) == {"/callbacks/tencent"}
    assert_adds_up(play.report)


def test_one_connection_sends_the_planned_bytes_in_the_planned_order() -> None:
    faults = Faults(duplicates=0.1, reorder=0.2, expired=0.1, forged=0.1, unsigned=0.1, malformed=0.1)
    play = played(always(200), faults=faults, connections=1)
    signing = Signing(key="abc")
    expected = [body_of(call, signing, t_of(call, signing, NOW_S)) for call in planned(drawn(), faults)]
    assert play.arrived.bodies == expected


def test_a_refused_call_is_tried_again_until_it_is_acknowledged() -> None:
    play = played(lambda _body, before: 503 if before < 2 else 200)
    assert play.report.facts_unacknowledged == 0
    assert play.report.refused == 2 * play.report.facts
    assert play.report.retries == 2 * play.report.facts
    assert_adds_up(play.report)


@pytest.mark.parametrize(("era", "tries"), [(Era.SEED, 4), (Era.TODAY, 13)])
def test_a_call_is_given_up_when_its_schedule_is_used_up(era: Era, tries: int) -> None:
    play = played(always(500), calls_max=1, era=era, speed=6000)
    assert play.report.refused == len(play.arrived.bodies) == tries
    assert play.report.facts_unacknowledged == 1
    assert play.report.unacknowledged[0].tries == tries
    assert_adds_up(play.report)


def test_retries_are_never_earlier_than_the_scaled_schedule() -> None:
    play = played(always(500), calls_max=1, era=Era.SEED, speed=600)
    gaps_s = [later - earlier for earlier, later in pairwise(play.arrived.arrived_s)]
    assert len(gaps_s) == 3
    assert min(gaps_s) >= 60 / 600


def test_pace_scales_the_line_the_retries_and_the_time_out() -> None:
    assert Pace(60).real_s(90_000) == 1.5
    assert Pace(60).retry_pause_s(120) == 2
    assert Pace(None).real_s(90_000) == 0
    assert Pace(None).retry_pause_s(60) == 0.1
    assert [Pace(speed).reply_timeout_s for speed in (1, 10, 60, None)] == [20, 2, 1, 5]


def test_a_lost_acknowledgement_is_repeated_to_the_byte() -> None:
    play = played(always(200), faults=Faults(lost_acknowledgements=1))
    facts = play.report.facts
    assert play.report.failures == {Failure.LOST_ACKNOWLEDGEMENT: facts}
    assert play.report.retries == play.report.acknowledged == facts
    assert play.report.facts_unacknowledged == 0
    for body in set(play.arrived.bodies):
        assert play.arrived.bodies.count(body) == 2
    assert len(play.arrived.bodies) == 2 * facts
    assert_adds_up(play.report)


def test_a_receiver_that_hangs_up_counts_as_failed_and_is_tried_again() -> None:
    play = played(lambda _body, before: "hang up" if before == 0 else 200)
    assert play.report.failures == {Failure.CUT: play.report.facts}
    assert play.report.facts_unacknowledged == 0
    assert_adds_up(play.report)


def test_a_receiver_that_keeps_silent_is_left_after_the_time_out() -> None:
    play = played(lambda _body, before: "silence" if before == 0 else 200, calls_max=1, speed=6000)
    assert play.report.failures == {Failure.TIMED_OUT: 1}
    assert play.report.facts_unacknowledged == 0


@pytest.mark.parametrize(("renew_t", "different"), [(False, 1), (True, 3)])
def test_retries_are_signed_anew_only_when_wanted(renew_t: bool, different: int) -> None:
    seconds = iter(range(NOW_S, NOW_S + 1000))
    signing = Signing(key="abc", renew_t=renew_t)
    count = iter(range(1000))
    play = played(
        lambda _body, _before: 503 if next(count) < 2 else 200,
        calls_max=1,
        signing=signing,
        clock=lambda: next(seconds),
    )
    assert len({json.loads(body)["t"] for body in play.arrived.bodies}) == different


def test_only_genuine_calls_are_retried() -> None:
    faults = Faults(duplicates=0.3, expired=0.3, forged=0.3, unsigned=0.3, malformed=0.3, altered=0.3)
    play = played(always(503), faults=faults, era=Era.SEED)
    assert {tried.call.manner for tried in play.tries if tried.number > 1} == {Manner.GENUINE}
    assert_adds_up(play.report)


@pytest.mark.parametrize("speed", [None, 240.0])
def test_nothing_gets_through_in_an_outage_and_everything_after_it(speed: float | None) -> None:
    play = played(always(200), outage_s=(0, 100), speed=speed)
    outages = play.report.failures[Failure.OUTAGE]
    assert outages > 20
    assert len(play.arrived.bodies) == play.report.tries - outages
    assert play.report.facts_unacknowledged == 0
    assert_adds_up(play.report)


def test_an_outage_longer_than_the_schedule_loses_facts_and_says_which() -> None:
    play = played(always(200), outage_s=(0, 100_000), era=Era.SEED)
    assert play.report.facts_acknowledged == 0
    assert play.arrived.bodies == []
    assert play.report.failures == {Failure.OUTAGE: 4 * play.report.facts}
    assert len(play.report.unacknowledged) == 20


async def test_a_receiver_that_does_not_listen_is_named_at_once() -> None:
    async with receiver(always(200)) as tiny:
        url = tiny.url
    player = Player(
        (), target(url), Signing(key=None), starts_at_ms=0, pace=Pace(None), on_try=lambda _tried: None
    )
    with pytest.raises(ReceiverUnreachable, match=r"no receiver answers at http://127\.0\.0\.1"):
        await player.play()


@pytest.mark.parametrize(
    ("url", "token", "expected"),
    [
        ("http://127.0.0.1:8470", None, "http://127.0.0.1:8470/callbacks/tencent"),
        ("http://127.0.0.1:8470/", "s3cret", "http://127.0.0.1:8470/callbacks/tencent/s3cret"),
        ("https://example.com/hook", None, "https://example.com:443/hook"),
        ("http://[::1]:8470/a?b=c", None, "http://[::1]:8470/a?b=c"),
    ],
)
def test_a_url_without_a_path_gets_the_receivers_own(url: str, token: str | None, expected: str) -> None:
    assert target(url, token).url == expected


@pytest.mark.parametrize("url", ["127.0.0.1:8470", "ftp://x", "http://", "http://x:y", "http://x/a b"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(SettingInvalid):
        target(url)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200),
        (b"HTTP/1.1 503 X\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 503),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200),
    ],
)
async def test_every_framing_of_an_answer_is_read(answer: bytes, status: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.read(65_536):
            assert head.endswith(b"{}")
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, Connection(target(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")) as to:
        assert [await to.post(b"{}") for _ in range(2)] == [status, status]
