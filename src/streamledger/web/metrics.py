"""`/metrics` for Prometheus: intake, quarantine, queue, projections and store (ADR 0023, 0041)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from litestar import Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from streamledger.ledger.quarantine import REASONS
from streamledger.operations.limits import LIMITS, WRONG_TOKEN
from streamledger.operations.timings import BOUNDS_S, SHARED, Distribution, Timings
from streamledger.readmodel.queries.system import ProjectionLag, SystemQueries, SystemState
from streamledger.supervision import TaskStatus
from streamledger.version import __version__
from streamledger.web.auth import may_read

PREFIX: Final = "streamledger_"
OUTCOMES: Final = (
    "ledger",
    *(f"quarantine:{reason}" for reason in REASONS),
    *(f"refused:{reason}" for reason in ("bad_signature", "unsigned", "malformed", "rate_limited")),
    *(f"refused:{reason}" for reason in ("store_unavailable", "queue_full", "path_token", "address")),
)
"""Told from the first look on: the increase of a series that was not there before is none to Prometheus."""
PROJECTION_GAUGES: Final[tuple[tuple[str, str, Callable[[ProjectionLag], float]], ...]] = (
    ("position", "Position that a projection has taken in.", lambda each: each.position),
    (
        "lag_positions",
        "How far a projection is behind the ledger, in events.",
        lambda each: max(0, each.head - each.position),
    ),
    (
        "lag_seconds",
        "Since when the first event that it has not taken in waits; 0 when caught up.",
        lambda each: each.lag_s,
    ),
    ("parked", "Events that a projection could not take in.", lambda each: each.parked),
)


@get(
    "/metrics",
    tags=["health"],
    summary="Metrics for Prometheus",
    guards=[may_read],
    media_type="text/plain; version=0.0.4",
)
async def metrics(system: NamedDependency[SystemQueries], state: State) -> Response[bytes]:
    """What is committed, the same from every worker; queue, connections and tasks are the answering one's."""
    options = state.options
    look = Look(
        state=await system.state(),
        sessions=await state.session_counts.by_state(),
        timings=SHARED,
        queue_length=state.receiver.queue_length,
        restarts=options.embedded_restarts(),
        disk_free_bytes=options.disk_free_bytes(),
        connections=state.bounds.connections.count(),
        tasks=state.tasks.statuses(),
    )
    registry = CollectorRegistry(auto_describe=False)
    registry.register(look)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4.partition("; charset")[0])


@dataclass(kw_only=True, eq=False)  # the registry keeps it by its identity
class Look(Collector):
    """One look at the store, as families of samples."""

    state: SystemState
    sessions: Mapping[str, int]
    timings: Timings
    queue_length: int
    restarts: int
    disk_free_bytes: int | None
    connections: Mapping[str, int]
    tasks: Sequence[TaskStatus]

    def collect(self) -> Iterator[Metric]:
        """Every family; one without samples is there too, with its help."""
        yield from self._intake()
        yield from self._durations()
        yield from self._quarantine()
        yield from self._projections()
        yield from self._limits()
        yield from self._worker()
        yield from self._store()

    def _intake(self) -> Iterator[Metric]:
        counters = self.state.counters
        yield _counter("received", "Deliveries received.", counters.get("received", 0))
        became = CounterMetricFamily(
            f"{PREFIX}deliveries",
            "What became of the deliveries received; their sum is received_total.",
            labels=("outcome", "reason"),
        )
        for name, count in {**dict.fromkeys(OUTCOMES, 0), **counters}.items():
            outcome, _, reason = name.partition(":")
            if outcome in ("ledger", "quarantine", "refused"):
                became.add_metric((outcome, reason), count)
        yield became
        yield _counter("released", "Deliveries released.", counters.get("released", 0))
        yield _counter("acted", "Acts of administrators.", counters.get("acted", 0))
        yield _counter("imported", "Events imported.", counters.get("imported", 0))
        yield _gauges(
            "last_delivery_timestamp_seconds",
            "Receipt of the latest delivery, by where it is kept.",
            "kept",
            {kept: received_at_us / 1e6 for kept, received_at_us in self.state.last_received_us.items()},
        )

    def _durations(self) -> Iterator[Metric]:
        answers = HistogramMetricFamily(
            f"{PREFIX}answer_seconds",
            "From a callback's beginning in its worker to its answer, of all workers since they began.",
            labels=("answer",),
        )
        for answer, found in self.timings.answers().items():
            answers.add_metric((answer,), *_buckets(found))
        yield answers
        yield HistogramMetricFamily(
            f"{PREFIX}commit_seconds",
            "How long the intake's transactions took until they were on disk, of all workers.",
            *_buckets(self.timings.commits()),
        )

    def _quarantine(self) -> Iterator[Metric]:
        counters, usage = self.state.counters, self.state.usage
        purged = {
            name.removeprefix("purged:"): count
            for name, count in counters.items()
            if name.startswith("purged:")
        }
        yield _counters("purged", "Quarantined deliveries that aged out.", "reason", purged)
        rows = {each.budget: each.rows for each in usage}
        yield _gauges("quarantine_rows", "Deliveries in the quarantine.", "budget", rows)
        size = {each.budget: each.bytes for each in usage}
        yield _gauges("quarantine_bytes", "Bytes of their bodies.", "budget", size)

    def _projections(self) -> Iterator[Metric]:
        yield _gauge("ledger_position", "Position of the last event.", self.state.head)
        for name, text, value_of in PROJECTION_GAUGES:
            values = {each.name: value_of(each) for each in self.state.projections}
            yield _gauges(f"projection_{name}", text, "projection", values)
        yield _gauges(
            "sessions",
            "Sessions by state; many ended ones are estimated, many open ones not all judged (watching.md).",
            "state",
            self.sessions,
        )

    def _limits(self) -> Iterator[Metric]:
        counters = self.state.counters
        yield _counters(
            "limit_reached",
            "How often a limit was reached, by the name of its setting (docs/security.md).",
            "limit",
            {limit.name: counters.get(limit.counter, 0) for limit in LIMITS.values()},
        )
        yield _counter("wrong_tokens", "Wrong bearer tokens and sign-ins.", counters.get(WRONG_TOKEN, 0))

    def _worker(self) -> Iterator[Metric]:
        yield _gauge(
            "queue_length",
            "Deliveries that wait for the store in the worker that answers.",
            self.queue_length,
        )
        yield _gauges(
            "connections",
            "Connections of the worker that answers, by what they are at.",
            "phase",
            self.connections,
        )
        yield _gauges(
            "task_running",
            "Whether a background task of the answering worker runs; 0 while it waits after a failure.",
            "task",
            {each.name: int(each.state == "running") for each in self.tasks},
        )
        yield _counters(
            "task_failures",
            "Failures of the answering worker's background tasks.",
            "task",
            {each.name: each.failures for each in self.tasks},
        )

    def _store(self) -> Iterator[Metric]:
        yield _counter(
            "embedded_restarts",
            "How often the embedded PostgreSQL was started again since the program began.",
            self.restarts,
        )
        if self.disk_free_bytes is not None:
            yield _gauge(
                "disk_free_bytes", "Free space of the disk of the embedded store.", self.disk_free_bytes
            )
        yield _gauges("build_info", "1, with the version that runs.", "version", {__version__: 1})


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"{PREFIX}{name}", text, value=value)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}{name}", text, value=value)


def _counters(name: str, text: str, label: str, values: Mapping[str, float]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"{PREFIX}{name}", text, labels=(label,))
    for of, value in values.items():
        family.add_metric((of,), value)
    return family


def _gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"{PREFIX}{name}", text, labels=(label,))
    for of, value in values.items():
        family.add_metric((of,), value)
    return family


def _buckets(found: Distribution) -> tuple[list[tuple[str, float]], float]:
    """Buckets and sum, as the library takes them."""
    names = (*map(str, BOUNDS_S), "+Inf")
    return [(name, float(count)) for name, count in zip(names, found.counts, strict=True)], found.sum_s
