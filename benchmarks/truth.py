"""The answers held against the truth: a simulated history with every trouble, and what is said of it.

Deliveries travel on the virtual line: from a pool of addresses, by two callback templates, with retries after
lost acknowledgements, some of which wait in the receiver's own queue.
"""

import argparse
import sys
import tempfile
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec
import psycopg

from benchmarks.table import print_table
from streamledger.domain.events import Belief, Delivery, originator_of
from streamledger.domain.notification import Kind
from streamledger.domain.suspicion import SuspectLimits
from streamledger.ledger.application import Batch, Ledger, environment
from streamledger.ledger.mapper import event_class
from streamledger.ledger.quarantining import QuarantineCaps
from streamledger.postgres.connection import Database, connect
from streamledger.postgres.embedded import start_embedded
from streamledger.postgres.schema import migrate
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.projections.runner import catch_up
from streamledger.readmodel.queries.evidence import SIGNS, SUSPECT, suspect_facts
from streamledger.simulator.delivery import Call, Faults, Manner, Signing, body_of, plan, retry_schedule
from streamledger.simulator.history import generate, randomness
from streamledger.simulator.oddities import of_all, with_oddities
from streamledger.simulator.truth import History, Shape
from streamledger.tencent.envelope import read_envelope
from streamledger.tencent.reader import read_notification

STREAMS: Final = 1000
LINE_S: Final = 2 * 3600
ODD_SHARE: Final = 0.1
POOL: Final = ("192.0.2.1", "192.0.2.2", "192.0.2.3")
SIGNING: Final = Signing(key="first", second_key="second")
LIMITS: Final = SuspectLimits(silence_ms_max=3_600_000)
_NO_QUARANTINE = QuarantineCaps(
    refused_rows_max=0, refused_bytes_max=0, signed_rows_max=0, signed_bytes_max=0
)


class Sent(msgspec.Struct, frozen=True):
    """One delivery as it was received."""

    received_ms: int
    call: Call
    attempt: int
    source_ip: str
    body: bytes


def main(arguments: Sequence[str] | None = None) -> None:
    """`python -m benchmarks truth`; with `--streams` another size."""
    parser = argparse.ArgumentParser(prog="benchmarks.truth")
    parser.add_argument("--streams", type=int, default=STREAMS)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments or [])
    ends_ms = int(time.time()) * 1000
    starts_at_ms = ends_ms - LINE_S * 1000
    shape = Shape(
        streams=given.streams,
        sessions_per_stream=2,
        duration_s=LINE_S,
        screenshot_interval_s=60,
        recording_interval_s=600,
        stop_unreported=0.05,
    )
    history = generate(
        shape, starts_at_ms=starts_at_ms, random=randomness(given.seed, starts_at_ms, "history")
    )
    odd = randomness(given.seed, starts_at_ms, "oddities")
    history = with_oddities(history, of_all(ODD_SHARE), odd)
    sent = [
        each
        for each in travel(history, randomness(given.seed, starts_at_ms, "faults"))
        if each.received_ms <= ends_ms
    ]
    with (
        tempfile.TemporaryDirectory(prefix="streamledger-truth-") as directory,
        start_embedded(Path(directory)) as server,
    ):
        database = Database(server.owner_dsn)
        migrate(database)
        with connect(database, application_name="truth") as connection:
            positions = _append(connection, database.schema, sent)
            received = {each.call.fact for each in sent}
            _tell_presence(connection, history, received, ends_ms)
            _tell_attribution(connection, history, received)
            _tell_classes(connection, dict(zip(positions, sent, strict=True)))


def travel(history: History, random: Random) -> list[Sent]:
    """Every delivery in the order of its receipt; each retry is signed anew."""
    faults = Faults(duplicates=0.05, reorder=0.1, lost_acknowledgements=0.05)
    sent: list[Sent] = []
    for call in plan(history.facts, faults, random=random, twins=True):
        at_ms, attempt = call.at_ms, 0
        if call.manner is Manner.DUPLICATE:
            at_ms += random.randint(0, 20_000)
        while True:
            t = at_ms // 1000 + SIGNING.validity_s
            queued_ms = random.randint(0, 19_000) if attempt and random.random() < 0.2 else 0
            sent.append(
                Sent(at_ms + queued_ms, call, attempt, random.choice(POOL), body_of(call, SIGNING, t))
            )
            is_lost = call.acknowledgement_lost and (attempt == 0 or random.random() < 0.3)
            if not is_lost or attempt == 3:
                break
            attempt += 1
            at_ms += retry_schedule(call.event_type).apart_s * 1000 + random.randint(0, 20_000)
    return sorted(sent, key=lambda each: each.received_ms)


def _append(connection: psycopg.Connection[Any], schema: str, sent: Sequence[Sent]) -> list[int]:
    ledger = Ledger(environment(Database("", schema)))
    positions: list[int] = []
    for first in range(0, len(sent), 2000):
        events = []
        for each in sent[first : first + 2000]:
            envelope = read_envelope(each.body)
            key = "second" if each.call.manner is Manner.TWIN else "first"
            delivery = Delivery(
                body=each.body,
                received_at_us=each.received_ms * 1000,
                source_ip=each.source_ip,
                believed=Belief("key", key),
            )
            events.append(
                event_class(envelope.event_type)(
                    originator_id=originator_of(envelope.stream_id, envelope.event_type),
                    delivery_id=uuid.uuid4(),
                    delivery=delivery,
                )
            )
        positions += ledger.receive(connection, Batch(events=events), _NO_QUARANTINE).positions
    catch_up(connection, schema, PROJECTIONS)
    return positions


def _tell_presence(
    connection: psycopg.Connection[Any], history: History, received: set[int], now_ms: int
) -> None:
    """What each session is said to be, beside what it is and what of it was received by now."""
    told = _told_of(history, received)
    sql = (
        "SELECT s.sequence, CASE WHEN s.ended THEN 'ended' WHEN"
        f" {SUSPECT} THEN 'suspect' ELSE 'live' END FROM sessions AS s {SIGNS}"
    )
    said = dict(connection.execute(sql, suspect_facts(LIMITS, now_ms)).fetchall())  # type: ignore[call-overload]  # made of constants
    counted: Counter[tuple[str, str]] = Counter()
    for session in history.sessions:
        truly = "live" if session.ended_at_ms is None else "ended"
        if truly == "ended" and Kind.PUSH_STOPPED not in told[session.sequence]:
            latest_ms = max((told[session.sequence].values()), default=session.started_at_ms)
            is_heard = told[session.sequence].keys() - {Kind.PUSH_STARTED}
            limit_ms = LIMITS.silence_ms_max if is_heard else LIMITS.unheard_ms_max
            truly += ", no stop, " + ("within" if now_ms <= latest_ms + limit_ms else "beyond") + " its limit"
        counted[truly, said.get(session.sequence, "unknown")] += 1
    states = ("live", "suspect", "ended", "unknown")
    print_table(
        ("a push that is", *states),
        [
            (truly, *(str(counted[truly, state]) for state in states))
            for truly in (
                "live",
                "ended",
                *(f"ended, no stop, {each} its limit" for each in ("within", "beyond")),
            )
        ],
        benchmark="truth: presence",
    )


def _told_of(history: History, received: set[int]) -> dict[str, dict[Kind, int]]:
    """Of each push the kinds that were received of it, each with its latest moment."""
    told: dict[str, dict[Kind, int]] = defaultdict(dict)
    for number, fact in enumerate(history.facts):
        if number in received:
            own = told[fact.sequence]
            own[fact.kind] = max(own.get(fact.kind, 0), fact.happened_at_ms)
    return told


def _tell_attribution(connection: psycopg.Connection[Any], history: History, received: set[int]) -> None:
    """How sure each attribution is said to be, and whether it is right; of media that were received."""
    rows: dict[tuple[str, str, str], list[tuple[str, str]]] = defaultdict(list)
    for stream_id, kind, key, sequence, confidence in connection.execute(
        "SELECT stream_id, kind, key, sequence, coalesce(confidence, 'certain') FROM timeline"
        " WHERE kind IN ('recording', 'screenshot')"
    ):
        rows[stream_id, kind, key].append((sequence, confidence))
    counted: Counter[tuple[str, str, str]] = Counter()
    for number, fact in enumerate(history.facts):
        if fact.kind not in ("recording", "screenshot") or number not in received:
            continue
        told = read_notification(msgspec.json.encode(fact.body))
        found = rows.get((fact.stream_id, fact.kind, told.key), [])
        named = [(sequence, confidence) for sequence, confidence in found if sequence]
        confidence = named[0][1] if named else "unattributed"
        is_right = fact.sequence in {sequence for sequence, _ in named}
        counted[fact.kind, confidence, "right" if is_right else "wrong" if named else "nothing"] += 1
    columns = ("right", "wrong", "nothing")
    print_table(
        ("said of a medium", *columns),
        [
            (f"{kind}, {confidence}", *(str(counted[kind, confidence, each]) for each in columns))
            for kind in ("recording", "screenshot")
            for confidence in ("certain", "probable", "ambiguous", "unattributed")
        ],
        benchmark="truth: attribution",
    )


def _tell_classes(connection: psycopg.Connection[Any], sent: dict[int, Sent]) -> None:
    """As what each delivery is classed, beside what it is."""
    classes = dict(connection.execute("SELECT position, judged_as FROM repeats").fetchall())
    counted: Counter[tuple[str, str]] = Counter()
    for position, each in sent.items():
        truly = each.call.manner.value if not each.attempt else "retry"
        counted[truly, classes.get(position, "first")] += 1
    names = ("first", "retry", "late_retry", "twin", "conflict", "replay")
    print_table(
        ("a delivery that is", *(name.replace("_", " ") for name in names)),
        [
            (truly, *(str(counted[truly, name]) for name in names))
            for truly in sorted({truly for truly, _ in counted})
        ],
        benchmark="truth: deliveries",
    )


if __name__ == "__main__":
    main(sys.argv[1:])
