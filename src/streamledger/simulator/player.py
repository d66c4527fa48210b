"""Plays planned calls against a receiver: scaled in time, over many connections, with its retries."""

import asyncio
import heapq
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus

import msgspec

from streamledger.domain.errors import StreamledgerError
from streamledger.simulator.connection import AnswerUnreadable, Connection, ReceiverUnreachable, Target
from streamledger.simulator.delivery import Call, Era, Manner, Signing, body_of, retry_schedule, t_of
from streamledger.simulator.report import Failure, Try


class SignatureWanted(StreamledgerError):
    """{url} takes signed ones only (403): give its callback key by --key or STREAMLEDGER_CALLBACK_KEYS"""

    exit_code = 2


class KeyRefused(StreamledgerError):
    """{url} refuses deliveries signed with this key (403): is it the receiver's, may this address send?"""

    exit_code = 2


class Pace(msgspec.Struct, frozen=True):
    """How fast the virtual line runs: `speed` virtual seconds per real one, or None for as fast as it can."""

    speed: float | None

    def real_s(self, virtual_ms: int) -> float:
        """Real seconds for a stretch of the line; none at the fastest."""
        return 0.0 if self.speed is None else virtual_ms / 1000 / self.speed

    def retry_pause_s(self, apart_s: int) -> float:
        """Real seconds before a retry. At the fastest 60 s are 0.1 s, so that a busy receiver can recover."""
        return apart_s / (600 if self.speed is None else self.speed)

    @property
    def reply_timeout_s(self) -> float:
        """20 s of the provider (267/38080), scaled, at least 1; at the fastest 5."""
        return 5.0 if self.speed is None else max(20.0 / self.speed, 1.0)


class Due(msgspec.Struct, frozen=True, order=True):
    """A try that is to be made. Ordered by real time, then by call."""

    real_s: float
    """Since the play began."""
    number: int
    """Of the call."""
    virtual_ms: int
    """Since the line began: what an outage is held against."""
    attempt: int
    place: int
    """Of the call in the plan."""


class Player:
    """One play of a plan. `play` ends when every call is acknowledged, given up or never retried.

    Signatures take the real clock (`clock`, seconds since 1970) at the first try, as `t` is judged by
    the receiver's; everything else in the bodies was fixed when the history was drawn.
    `outage_s` is a stretch of the virtual line, in seconds from its start, in which no try gets through.
    """

    def __init__(
        self,
        calls: Sequence[Call],
        to: Target,
        signing: Signing,
        *,
        starts_at_ms: int,
        pace: Pace,
        on_try: Callable[[Try], None],
        era: Era = Era.TODAY,
        connections: int = 16,
        outage_s: tuple[float, float] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._calls = calls
        self._to = to
        self._signing = signing
        self._starts_at_ms = starts_at_ms
        self._pace = pace
        self._on_try = on_try
        self._era = era
        self._connections = connections
        self._outage_s = outage_s
        self._clock = clock
        self._next_place = 0
        self._retries: list[Due] = []
        self._under_way = 0
        self._t_by_call: dict[int, int] = {}
        self._taking = asyncio.Lock()
        self._changed = asyncio.Event()
        self._began_s = 0.0
        self._acknowledged = False

    async def play(self) -> None:
        """Raises ReceiverUnreachable when nobody listens at the start (unless an outage begins there).

        Raises SignatureWanted or KeyRefused when the first genuine calls are answered with 403: the others
        would be too, and a receiver that counts refusals would shut the door on those that follow.
        """
        first = Connection(self._to)
        if self._outage_s is None or self._outage_s[0] > 0:
            try:
                async with asyncio.timeout(self._pace.reply_timeout_s):
                    await first.open()
            except OSError as error:  # TimeoutError is one
                cause = "no connection in time" if isinstance(error, TimeoutError) else error
                raise ReceiverUnreachable(url=self._to.url, cause=cause) from error
        self._began_s = time.monotonic()
        others = (Connection(self._to) for _ in range(self._connections - 1))
        try:
            async with asyncio.TaskGroup() as group:
                for connection in (first, *others):
                    group.create_task(self._work(connection))
        except ExceptionGroup as failed:  # several connections may be refused at the same moment
            refused = failed.subgroup((SignatureWanted, KeyRefused))
            if refused is None:
                raise
            raise refused.exceptions[0] from None

    async def _work(self, connection: Connection) -> None:
        async with connection:
            while (due := await self._take()) is not None:
                tried = await self._try(connection, due)
                self._on_try(tried)
                self._stop_when_refused(tried)
                if tried.status != 200 and tried.call.manner in (Manner.GENUINE, Manner.TWIN):
                    self._plan_retry(due, tried.call)
                self._under_way -= 1
                self._changed.set()

    def _stop_when_refused(self, tried: Try) -> None:
        if tried.call.manner is not Manner.GENUINE or self._acknowledged:
            return
        self._acknowledged = tried.status == HTTPStatus.OK
        if tried.status == HTTPStatus.FORBIDDEN:
            raise (SignatureWanted if self._signing.key is None else KeyRefused)(url=self._to.url)

    async def _take(self) -> Due | None:
        """The next try when its time has come; None when nothing is left and nothing can come any more."""
        async with self._taking:
            while True:
                self._changed.clear()
                due, wait_s = self._pop(time.monotonic() - self._began_s)
                if due is not None:
                    self._under_way += 1
                    return due
                if wait_s is None and not self._under_way:
                    return None
                try:
                    async with asyncio.timeout(wait_s):
                        await self._changed.wait()
                except TimeoutError:
                    pass  # its time has come

    def _pop(self, now_s: float) -> tuple[Due | None, float | None]:
        """What is due now, or the seconds until something will be. Retries that are due go first."""
        waits_s = []
        if self._retries:
            if self._retries[0].real_s <= now_s:
                return heapq.heappop(self._retries), None
            waits_s.append(self._retries[0].real_s - now_s)
        if self._next_place < len(self._calls):
            call = self._calls[self._next_place]
            virtual_ms = call.at_ms - self._starts_at_ms
            real_s = self._pace.real_s(virtual_ms)
            if real_s <= now_s:
                due = Due(real_s, call.number, virtual_ms, 1, self._next_place)
                self._next_place += 1
                return due, None
            waits_s.append(real_s - now_s)
        return None, min(waits_s, default=None)

    def _plan_retry(self, due: Due, call: Call) -> None:
        schedule = retry_schedule(call.event_type, self._era)
        if due.attempt > schedule.retries:
            return
        # Counted from the end of the failed try: 12 retries after time-outs reach 980 s, not 720.
        real_s = time.monotonic() - self._began_s + self._pace.retry_pause_s(schedule.apart_s)
        speed = self._pace.speed
        virtual_ms = due.virtual_ms + schedule.apart_s * 1000 if speed is None else int(real_s * speed * 1000)
        heapq.heappush(self._retries, Due(real_s, due.number, virtual_ms, due.attempt + 1, due.place))

    async def _try(self, connection: Connection, due: Due) -> Try:
        call = self._calls[due.place]
        body = self._body(call, due.attempt)

        def ended(status: int | None, failure: Failure | None, latency_ms: float | None = None) -> Try:
            return Try(
                call=call,
                number=due.attempt,
                status=status,
                failure=failure,
                latency_ms=latency_ms,
                body=body,
            )

        if self._outage_s and self._outage_s[0] * 1000 <= due.virtual_ms < self._outage_s[1] * 1000:
            return ended(None, Failure.OUTAGE)
        try:
            async with asyncio.timeout(self._pace.reply_timeout_s):
                try:
                    await connection.open()
                except TimeoutError:
                    raise
                except OSError:
                    return ended(None, Failure.UNREACHABLE)
                if call.acknowledgement_lost and due.attempt == 1:
                    await connection.post_and_hang_up(body)
                    return ended(None, Failure.LOST_ACKNOWLEDGEMENT)
                sent_s = time.perf_counter()
                status = await connection.post(body)
        except TimeoutError:
            return ended(None, Failure.TIMED_OUT)
        except (OSError, EOFError, AnswerUnreadable):
            return ended(None, Failure.CUT)
        return ended(status, None, (time.perf_counter() - sent_s) * 1000)

    def _body(self, call: Call, attempt: int) -> bytes:
        """Signed with the t of the first try, or anew: also a duplicate repeats its original to the byte."""
        again = attempt > 1 or call.manner is Manner.DUPLICATE
        t = self._t_by_call.get(call.signed_as)
        if t is None or (again and self._signing.renew_t):
            t = t_of(call, self._signing, int(self._clock()))
            self._t_by_call[call.signed_as] = t
        return body_of(call, self._signing, t)
