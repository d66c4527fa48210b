"""What was sent and what came back, counted while a play goes on."""

from array import array
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from streamledger.domain.notification import Kind
from streamledger.simulator.delivery import Call, Manner
from streamledger.simulator.truth import Fact

_UNACKNOWLEDGED_SHOWN_MAX = 20


class Failure(StrEnum):
    """Why a try brought no answer."""

    LOST_ACKNOWLEDGEMENT = "lost_acknowledgement"  # we hung up before reading it, as planned
    TIMED_OUT = "timed_out"
    CUT = "cut"  # the receiver closed before its answer was complete, or answered no HTTP
    UNREACHABLE = "unreachable"
    OUTAGE = "outage"  # not sent: the play's outage


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """One try of a call, and its end: a status, or a failure."""

    call: Call
    number: int
    """1 is the first try."""
    status: int | None = None
    failure: Failure | None = None
    latency_ms: float | None = None
    body: bytes


class Unacknowledged(msgspec.Struct, frozen=True, kw_only=True):
    """A genuine fact that the receiver never answered with 200."""

    kind: Kind
    stream_id: str
    key: str
    tries: int


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds from the first byte sent to the answer's last, over all answered tries."""

    p50_ms: float
    p99_ms: float
    max_ms: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The account of a play: tries = acknowledged + refused + failed, and failed = the sum of failures."""

    facts: int
    facts_acknowledged: int
    facts_unacknowledged: int
    unacknowledged: tuple[Unacknowledged, ...]
    """The first 20 of them."""
    calls: dict[str, int]
    """By manner, retries not counted."""
    tries: int
    retries: int
    acknowledged: int
    """Tries answered with status 200, whatever their manner."""
    refused: int
    """Tries answered with another status."""
    failed: int
    failures: dict[str, int]
    by_kind: dict[str, dict[str, int]]
    """Tries by kind, then by status or failure."""
    by_manner: dict[str, dict[str, int]]
    latency: Latency | None
    took_s: float
    tries_per_s: float


class Tally:
    """The counts of a play that goes on; give it every try as it ends."""

    def __init__(self, facts: Sequence[Fact]) -> None:
        self._facts = facts
        self._acknowledged_facts: set[int] = set()
        self._tries_of_fact: Counter[int] = Counter()
        self._by_kind: Counter[tuple[Kind, str]] = Counter()
        self._by_manner: Counter[tuple[Manner, str]] = Counter()
        self._calls: Counter[Manner] = Counter()
        self._latencies_ms = array("d")
        self.tries = 0
        self.retries = 0
        self.acknowledged = 0
        self.refused = 0

    def take(self, tried: Try) -> None:
        """Counts one try."""
        call = tried.call
        self.tries += 1
        if tried.number == 1:
            self._calls[call.manner] += 1
        else:
            self.retries += 1
        if call.manner is Manner.GENUINE:
            self._tries_of_fact[call.fact] += 1
        if tried.status == 200:
            self.acknowledged += 1
            if call.manner is Manner.GENUINE:
                self._acknowledged_facts.add(call.fact)
        elif tried.status is not None:
            self.refused += 1
        end = str(tried.status) if tried.failure is None else tried.failure.value
        self._by_kind[call.kind, end] += 1
        self._by_manner[call.manner, end] += 1
        if tried.latency_ms is not None:
            self._latencies_ms.append(tried.latency_ms)

    @property
    def facts(self) -> int:
        """Facts that are to be reported in all."""
        return len(self._facts)

    @property
    def facts_acknowledged(self) -> int:
        """Genuine facts answered with 200 so far."""
        return len(self._acknowledged_facts)

    def report(self, took_s: float) -> Report:
        """The account so far."""
        missing = [index for index in range(len(self._facts)) if index not in self._acknowledged_facts]
        failures: Counter[str] = Counter()
        for (_, end), count in self._by_manner.items():
            if end in set(Failure):
                failures[end] += count
        return Report(
            facts=len(self._facts),
            facts_acknowledged=self.facts_acknowledged,
            facts_unacknowledged=len(missing),
            unacknowledged=tuple(
                self._unacknowledged(index) for index in missing[:_UNACKNOWLEDGED_SHOWN_MAX]
            ),
            calls={manner.value: count for manner, count in sorted(self._calls.items())},
            tries=self.tries,
            retries=self.retries,
            acknowledged=self.acknowledged,
            refused=self.refused,
            failed=failures.total(),
            failures=dict(sorted(failures.items())),
            by_kind=_nested(self._by_kind),
            by_manner=_nested(self._by_manner),
            latency=_latency(self._latencies_ms),
            took_s=round(took_s, 3),
            tries_per_s=round(self.tries / took_s, 1) if took_s > 0 else 0.0,
        )

    def _unacknowledged(self, index: int) -> Unacknowledged:
        fact = self._facts[index]
        return Unacknowledged(
            kind=fact.kind, stream_id=fact.stream_id, key=fact.key, tries=self._tries_of_fact[index]
        )


def _nested(counts: Counter[tuple[Kind, str]] | Counter[tuple[Manner, str]]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (name, end), count in sorted(counts.items()):
        nested.setdefault(name.value, {})[end] = count
    return nested


def _latency(latencies_ms: "array[float]") -> Latency | None:
    if not latencies_ms:
        return None
    ordered = sorted(latencies_ms)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)

    return Latency(p50_ms=at(0.5), p99_ms=at(0.99), max_ms=round(ordered[-1], 2))
