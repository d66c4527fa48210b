"""`/metrics`: what came in, the quarantine, the queue and the projections, in Prometheus's text form."""

from collections.abc import Iterable, Mapping
from typing import Final

from litestar import Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency

from streamledger.readmodel.system_queries import SystemQueries, SystemState
from streamledger.web.auth import may_read

MEDIA_TYPE: Final = "text/plain; version=0.0.4"
"""The framework adds the charset."""

Sample = tuple[Mapping[str, str], float]


@get("/metrics", tags=["health"], summary="Metrics for Prometheus", guards=[may_read], media_type=MEDIA_TYPE)
async def metrics(system: NamedDependency[SystemQueries], state: State) -> Response[bytes]:
    """Counters of the ledger, the same from every worker; the queue is the answering worker's own."""
    text = exposition(await system.state(), state.queue_length())
    return Response(text.encode(), media_type=MEDIA_TYPE)


def exposition(state: SystemState, queue_length: int) -> str:
    """The metrics as text."""
    outcomes = []
    for outcome, count in state.counters.items():
        kind, _, reason = outcome.partition(":")
        if kind in ("ledger", "quarantine", "refused"):
            outcomes.append(({"outcome": kind, "reason": reason}, count))
    purged = [
        ({"reason": outcome.partition(":")[2]}, count)
        for outcome, count in state.counters.items()
        if outcome.startswith("purged:")
    ]
    parts = [
        _metric(
            "received_total", "counter", "Deliveries received.", [({}, state.counters.get("received", 0))]
        ),
        _metric(
            "deliveries_total",
            "counter",
            "What became of the deliveries received; their sum is received_total.",
            outcomes,
        ),
        _metric(
            "released_total", "counter", "Deliveries released.", [({}, state.counters.get("released", 0))]
        ),
        _metric("acted_total", "counter", "Acts of administrators.", [({}, state.counters.get("acted", 0))]),
        _metric("imported_total", "counter", "Events imported.", [({}, state.counters.get("imported", 0))]),
        _metric("purged_total", "counter", "Quarantined deliveries that aged out.", purged),
        _metric(
            "quarantine_rows",
            "gauge",
            "Deliveries in the quarantine.",
            [({"budget": each.budget}, each.rows) for each in state.usage],
        ),
        _metric(
            "quarantine_bytes",
            "gauge",
            "Bytes of their bodies.",
            [({"budget": each.budget}, each.bytes) for each in state.usage],
        ),
        _metric(
            "queue_length",
            "gauge",
            "Deliveries that wait for the store in the worker that answers.",
            [({}, queue_length)],
        ),
        _metric("ledger_position", "gauge", "Position of the last event.", [({}, state.head)]),
        _metric(
            "projection_position",
            "gauge",
            "Position that a projection has taken in.",
            [({"projection": each.name}, each.position) for each in state.projections],
        ),
        _metric(
            "projection_lag_positions",
            "gauge",
            "How far a projection is behind the ledger.",
            [({"projection": each.name}, max(0, each.head - each.position)) for each in state.projections],
        ),
    ]
    return "".join(parts)


def _metric(name: str, kind: str, help_text: str, samples: Iterable[Sample]) -> str:
    full = f"streamledger_{name}"
    lines = [f"# HELP {full} {help_text}", f"# TYPE {full} {kind}"]
    lines += [f"{full}{_labels(labels)} {value}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    shown = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{shown}}}" if shown else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
