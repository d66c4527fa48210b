"""What strangers hold of a web process: its connections, each limited by itself and all of them together.

A newcomer is never refused for those who came before: at a limit another connection goes, the oldest
without a whole head first, then the one that rests longest between two requests (ADR 0017).
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Final

import msgspec

from streamledger.operations.refusal_limit import owner_of
from streamledger.web.reached import ReachedLimits

CONNECTION: Final = "streamledger.connection"
"""The key of a request's scope that holds the place of its connection."""

SWEEP_S: Final = 0.25
"""How often ages and unread answers are looked at."""


class Phase(IntEnum):
    """What a connection is at; at a limit those of the lowest phase go first."""

    HEAD = 0  # no whole head has come, or only a part of the next one
    IDLE = 1  # rests between two requests
    BODY = 2  # a head has come, its body not yet
    BUSY = 3  # is being answered


class ConnectionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of the same names."""

    connections_max: int
    connections_per_address_max: int
    head_bytes_max: int
    head_lines_max: int
    head_s_max: float
    body_bytes_max: int
    body_s_max: float
    idle_s_max: float
    pipelined_requests_max: int
    unfinished_bytes_max: int
    unread_bytes_max: int
    unread_s_max: float


class Place:
    """One connection's place among all; what carries it says the rest."""

    def __init__(self) -> None:
        self.address: str | None = None
        self.owner: str | None = None
        """Whose limit it counts under; None for those that are exempt."""
        self.phase = Phase.HEAD
        self.since_s = 0.0
        """When the phase began."""
        self.unfinished_bytes = 0
        self.gone = True
        self.taken_bytes = -1
        """How many of the answers' bytes the other side had taken when last looked at; -1 is all of them."""
        self.stuck_since_s = 0.0

    @property
    def is_streaming(self) -> bool:
        """Whether an answer has begun and goes on: a reader of a feed, who goes last."""
        raise NotImplementedError

    def waiting_bytes(self) -> int:
        """Bytes of answers that the other side has not taken yet."""
        raise NotImplementedError

    def written_bytes(self) -> int:
        """Bytes of answers so far, those included."""
        raise NotImplementedError

    def cut(self) -> None:
        """Close at once, whatever waits."""
        raise NotImplementedError

    def take_body(self, bytes_max: int) -> bytes | None:
        """The body of the request that is being answered; None while it is not whole, or is longer."""
        raise NotImplementedError

    def answer_whole(self, head: bytes, body: bytes) -> bool:
        """Answer that request with 200 in one write; False when something is in the way of that."""
        raise NotImplementedError


class Connections:
    """All connections of a process, in order of age within each phase."""

    def __init__(
        self,
        limits: ConnectionLimits,
        reached: ReachedLimits,
        is_exempt: Callable[[str], bool] = lambda _: False,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`is_exempt`: which addresses have no limit of their own, as proxies stand for many."""
        self.limits = limits
        self._reached = reached
        self._is_exempt = is_exempt
        self._clock_s = clock_s
        self._in: dict[Phase, dict[Place, None]] = {phase: {} for phase in Phase}
        self._of: dict[str, dict[Place, None]] = {}
        self._count = 0
        self._unfinished_bytes = 0
        self._sweep: asyncio.TimerHandle | None = None

    def count(self) -> dict[str, int]:
        """How many there are, by phase."""
        return {phase.name.lower(): len(places) for phase, places in self._in.items()}

    def enter(self, place: Place, address: str | None) -> None:
        """A connection was made; where that is one too many, another one goes."""
        place.address = address
        place.owner = None if not address or self._is_exempt(address) else owner_of(address)
        if place.owner is not None:
            others = self._of.get(place.owner, {})
            if len(others) >= self.limits.connections_per_address_max:
                # They are in the order in which they came: nearly always the first one is found at once.
                silent = next((each for each in others if each.phase is Phase.HEAD), None)
                self.close(silent or min(others, key=_standing), "connections_per_address_max")
            self._of.setdefault(place.owner, {})[place] = None
        if self._count >= self.limits.connections_max:
            self.close(self._first_to_go(), "connections_max")
        place.gone = False
        place.phase, place.since_s = Phase.HEAD, self._clock_s()
        self._in[Phase.HEAD][place] = None
        self._count += 1

    def leave(self, place: Place) -> None:
        """A connection has ended, or is being closed."""
        if place.gone:
            return
        place.gone = True
        del self._in[place.phase][place]
        self._count -= 1
        self._unfinished_bytes -= place.unfinished_bytes
        if place.owner is not None:
            others = self._of[place.owner]
            del others[place]
            if not others:
                del self._of[place.owner]

    def settle(self, place: Place, phase: Phase, unfinished_bytes: int) -> None:
        """A connection is at another phase, or holds more or less of an unfinished request."""
        if place.gone:
            return
        if phase is not place.phase:
            del self._in[place.phase][place]
            self._in[phase][place] = None
            place.phase, place.since_s = phase, self._clock_s()
        self._unfinished_bytes += unfinished_bytes - place.unfinished_bytes
        place.unfinished_bytes = unfinished_bytes
        while self._unfinished_bytes > self.limits.unfinished_bytes_max:
            holders = (each for each in self._oldest(Phase.BODY, Phase.HEAD) if each.unfinished_bytes)
            self.close(next(holders), "unfinished_bytes_max")

    def note(self, place: Place, limit: str) -> None:
        """A connection was refused because of a limit, and told so."""
        self._reached.note(limit, place.address)

    def close(self, place: Place, limit: str) -> None:
        """Close a connection because of a limit."""
        self.leave(place)
        self.note(place, limit)
        place.cut()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Sweep now and then, until `stop`."""
        self._sweep = loop.call_later(SWEEP_S, self.start, loop)  # first: a fault below must not end it
        self.sweep()
        self._reached.look()

    def stop(self) -> None:
        """Sweep no more."""
        if self._sweep is not None:
            self._sweep.cancel()

    def sweep(self) -> None:
        """Close what has taken too long, and what is not read."""
        now_s, limits = self._clock_s(), self.limits
        for phase, limit, s_max in (
            (Phase.HEAD, "head_s_max", limits.head_s_max),
            # The intake answers 408 by itself; here is for all others, and for those that do not read it.
            (Phase.BODY, "body_s_max", limits.body_s_max + 2 * SWEEP_S),
            (Phase.IDLE, "idle_s_max", limits.idle_s_max + 2 * SWEEP_S),
        ):
            places = self._in[phase]
            while places and now_s - (oldest := next(iter(places))).since_s > s_max:
                self.close(oldest, limit)
        self._sweep_unread(now_s)

    def _sweep_unread(self, now_s: float) -> None:
        unread_bytes, holders = 0, []
        for place in list(self._oldest(*Phase)):
            waiting = place.waiting_bytes()
            if not waiting:
                place.taken_bytes = -1
                continue
            taken = place.written_bytes() - waiting
            if taken != place.taken_bytes:
                place.taken_bytes, place.stuck_since_s = taken, now_s
            elif now_s - place.stuck_since_s > self.limits.unread_s_max:
                self.close(place, "unread_s_max")
                continue
            unread_bytes += waiting
            holders.append((waiting, place))
        if unread_bytes > self.limits.unread_bytes_max:
            for waiting, place in sorted(holders, key=lambda each: each[0], reverse=True):
                self.close(place, "unread_bytes_max")
                unread_bytes -= waiting
                if unread_bytes <= self.limits.unread_bytes_max:
                    break

    def _oldest(self, *phases: Phase) -> Iterable[Place]:
        for phase in phases:
            yield from self._in[phase]

    def _first_to_go(self) -> Place:
        """As `_standing` orders them; each phase is in order of age already."""
        places = self._oldest(*Phase)
        found = (each for each in places if each.phase is not Phase.BUSY or not each.is_streaming)
        return next(found, None) or next(iter(self._in[Phase.BUSY]))


def _standing(place: Place) -> tuple[bool, Phase, float]:
    return place.phase is Phase.BUSY and place.is_streaming, place.phase, place.since_s
