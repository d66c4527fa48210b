"""Which connection goes when there are too many, and what else is closed: on a clock, without sockets."""

from collections.abc import Callable

import msgspec

from streamledger.settings import Settings
from streamledger.web.connections import ConnectionLimits, Connections, Phase, Place
from streamledger.web.reached import ReachedLimits

LIMITS = msgspec.structs.replace(
    Settings().picked(ConnectionLimits), connections_max=4, connections_per_address_max=3
)


class Fake(Place):
    """A connection that only remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.was_cut = False
        self.streaming = False
        self.written, self.waiting = 0, 0

    @property
    def is_streaming(self) -> bool:
        return self.streaming

    def waiting_bytes(self) -> int:
        return self.waiting

    def written_bytes(self) -> int:
        return self.written

    def cut(self) -> None:
        self.was_cut = True


class Process:
    """Connections on a clock of the test."""

    def __init__(
        self, limits: ConnectionLimits = LIMITS, is_exempt: Callable[[str], bool] | None = None
    ) -> None:
        self.now_s = 0.0
        self.counted: list[str] = []
        reached = ReachedLimits(lambda: self.now_s)
        reached.count_with(self.counted.append)
        self.all = Connections(limits, reached, is_exempt or (lambda _: False), lambda: self.now_s)

    def connect(self, address: str | None, phase: Phase = Phase.HEAD, held: int = 0) -> Fake:
        self.now_s += 1
        made = Fake()
        self.all.enter(made, address)
        self.all.settle(made, phase, held)
        return made


def test_the_first_to_go_is_the_oldest_without_a_head_then_the_longest_idle() -> None:
    process = Process()
    busy = process.connect("a", Phase.BUSY)
    feed = process.connect("b", Phase.BUSY)
    feed.streaming = True
    idle = process.connect("c", Phase.IDLE)
    silent = process.connect("d")
    order = [silent, idle, busy, feed]
    for number, expected in enumerate(order):
        newest = process.connect(f"new {number}", Phase.BUSY)
        newest.streaming = True
        assert [each.was_cut for each in order] == [each in order[: number + 1] for each in order]
        assert not newest.was_cut
        assert expected.gone
    assert process.counted == ["limit:connections_max"] * 4


def test_an_address_at_its_limit_loses_one_of_its_own() -> None:
    process = Process()
    other = process.connect("192.0.2.2")
    mine = [process.connect("192.0.2.1", phase) for phase in (Phase.BUSY, Phase.IDLE, Phase.IDLE)]
    process.connect("192.0.2.1")
    assert [each.was_cut for each in (*mine, other)] == [False, True, False, False]
    assert process.counted == ["limit:connections_per_address_max"]


def test_one_network_of_ipv6_is_one_address_and_proxies_and_sockets_have_no_limit() -> None:
    process = Process(
        msgspec.structs.replace(LIMITS, connections_max=100), is_exempt=lambda address: address == "10.0.0.1"
    )
    for address in ("2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4"):
        process.connect(address)
    assert len(process.counted) == 1
    for address in ("10.0.0.1", None):
        for _ in range(10):
            process.connect(address)
    assert len(process.counted) == 1


def test_each_phase_has_its_time() -> None:
    process = Process(msgspec.structs.replace(LIMITS, head_s_max=10, body_s_max=20, idle_s_max=75))
    made = {phase: process.connect(phase.name, phase) for phase in Phase}
    gone = []
    for _ in range(100):
        process.now_s += 1
        process.all.sweep()
        gone += [phase for phase, each in made.items() if each.was_cut and phase not in gone]
    assert gone == [Phase.HEAD, Phase.BODY, Phase.IDLE]
    assert process.counted == ["limit:head_s_max", "limit:body_s_max", "limit:idle_s_max"]


def test_a_phase_begins_anew_and_a_part_of_a_head_does_not() -> None:
    process = Process()
    slow = process.connect("a")
    for _ in range(9):
        process.now_s += 1
        process.all.settle(slow, Phase.HEAD, 10)
        process.all.sweep()
    assert not slow.was_cut
    process.now_s += 2
    process.all.sweep()
    assert slow.was_cut


def test_unfinished_requests_are_limited_in_bytes_and_the_oldest_body_goes() -> None:
    process = Process(msgspec.structs.replace(LIMITS, unfinished_bytes_max=100))
    head = process.connect("a", Phase.HEAD, 30)
    old = process.connect("b", Phase.BODY, 30)
    new = process.connect("c", Phase.BODY, 40)
    process.all.settle(new, Phase.BODY, 50)
    assert [each.was_cut for each in (head, old, new)] == [False, True, False]
    process.all.settle(new, Phase.BUSY, 0)
    process.connect("d", Phase.BODY, 70)
    assert not new.was_cut, "what is whole holds nothing"
    assert process.counted == ["limit:unfinished_bytes_max"]


def test_answers_that_are_not_read_are_limited_in_bytes_and_in_time() -> None:
    process = Process(msgspec.structs.replace(LIMITS, unread_bytes_max=100, unread_s_max=30))
    least, most, stuck = (process.connect(name, Phase.BUSY) for name in "abc")
    least.waiting, most.waiting, stuck.waiting = 20, 70, 20
    process.all.sweep()
    assert [each.was_cut for each in (least, most, stuck)] == [False, True, False]
    for _ in range(31):
        process.now_s += 1
        least.written += 1  # it reads, however slowly
        process.all.sweep()
    assert [each.was_cut for each in (least, stuck)] == [False, True]
    assert process.counted == ["limit:unread_bytes_max", "limit:unread_s_max"]


def test_what_has_left_counts_no_more() -> None:
    process = Process()
    first = process.connect("a", Phase.BODY, 50)
    process.all.leave(first)
    process.all.leave(first)
    process.all.settle(first, Phase.BUSY, 9)
    assert sum(process.all.count().values()) == 0
    for _ in range(3):
        process.connect("a")
    assert process.counted == []
