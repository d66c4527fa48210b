"""Disordered histories, a ledger that grows by one delivery, and the naive answer about a moment."""

import random
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
import psycopg

from streamledger.domain.answers import Session, TimelineEntry
from streamledger.domain.events import Delivery, LedgerEvent, event_name, originator_of
from streamledger.domain.notification import Kind
from streamledger.domain.session import SessionState
from streamledger.domain.succession import spans_of
from streamledger.domain.suspicion import SuspectLimits
from streamledger.ledger import mapper, transaction
from streamledger.ledger.append import NewEvent, QuarantineCaps
from streamledger.ledger.transaction import Batch
from streamledger.postgres.connection import Database, connect
from streamledger.readmodel import answering, batch
from streamledger.readmodel.answering import Found
from streamledger.readmodel.moment import Moment
from streamledger.readmodel.projection import read_facts
from streamledger.readmodel.runner import catch_up
from streamledger.readmodel.session_projection import PROJECTIONS
from streamledger.readmodel.workspace import Workspace
from streamledger.simulator.history import generate
from streamledger.simulator.truth import Shape
from streamledger.tencent.reader import read_notification

STARTS_AT_MS = 1_713_731_478_000
SILENCE_MS_MAX = 120_000
LIMITS = SuspectLimits(silence_ms_max=SILENCE_MS_MAX)
NO_QUARANTINE = QuarantineCaps(refused_rows_max=0, refused_bytes_max=0, signed_rows_max=0, signed_bytes_max=0)


def disordered(seed: int, *, streams: int = 1, duration_s: int = 120) -> list[Delivery]:
    """A small history with every trouble at once: permuted, copied, contradicted, with unreadable times,
    sequences under two streams, pushes that overlap; receipts lie a second apart."""
    drawn = random.Random(seed)
    shape = Shape(
        streams=streams,
        sessions_per_stream=3,
        duration_s=duration_s,
        screenshot_interval_s=30,
        recording_interval_s=40,
        recording_formats=("mp4",),
        reconnected=0.5,
        backed_up=0.4,
        start_unreported=0.2,
        stop_unreported=0.2,
        troubled=0.5,
        stream_prefix="room",
    )
    history = generate(shape, starts_at_ms=STARTS_AT_MS, random=drawn)
    timed = [(fact.called_at_ms, fact.body) for fact in history.facts]
    bodies: list[tuple[float, dict[str, Any]]] = []
    for called_at_ms, body in timed:
        bodies.append((called_at_ms, body))
        for _ in range(drawn.choice((0, 0, 0, 1, 2))):
            bodies.append((called_at_ms + drawn.choice((1_000, 60_000, 300_000)), body))
        if drawn.random() < 0.15:
            bodies.append((called_at_ms + drawn.choice((0, 45_000)), _altered(body, drawn)))
    if drawn.random() < 0.5:
        drawn.shuffle(bodies)
    else:
        bodies.sort(key=lambda each: each[0] + drawn.choice((0, 0, 0, 50_000, 200_000)))
    return [
        Delivery(
            body=msgspec.json.encode({**body, "t": number}),
            received_at_us=(STARTS_AT_MS + number * 1000) * 1000 + 250,
            source_ip="192.0.2.1",
        )
        for number, (_, body) in enumerate(bodies)
    ]


def _altered(body: dict[str, Any], drawn: random.Random) -> dict[str, Any]:
    """The same identity with another content: another time, no time, other fields, or another stream."""
    altered = dict(body)
    name = next(
        name for name in ("event_time", "create_time", "end_time", "data_time", "stream_id") if name in body
    )
    change = drawn.choice(("earlier", "later", "unreadable", "app", "stream"))
    if change == "app":
        altered["app"] = "other.example.com"
    elif change == "stream":
        altered["stream_id"] = f"room_{drawn.randint(1, 2):03d}"
    elif change == "unreadable" and name != "end_time":
        altered[name] = "soon"
    elif isinstance(body[name], int):
        unit = 1000 if name == "data_time" else 1
        altered[name] = body[name] + (-1 if change == "earlier" else 1) * drawn.randint(1, 90) * unit
    return altered


def append_all(
    connection: psycopg.Connection[Any], database: Database, deliveries: Sequence[Delivery]
) -> int:
    """Append deliveries and let the projections take them in; returns the last position."""
    events = []
    for delivery in deliveries:
        notification = read_notification(delivery.body)
        events.append(
            NewEvent(
                originator_id=originator_of(notification.stream_id, notification.event_type),
                name=event_name(notification.event_type),
                state=mapper.encode(delivery),
                delivery_id=uuid.uuid4(),
            )
        )
    transaction.store(connection, database.schema, Batch(events=events), NO_QUARANTINE)
    return catch_up(connection, database.schema, PROJECTIONS)


def connect_to(database: Database) -> psycopg.Connection[Any]:
    """A connection for `append_all`."""
    return connect(database, application_name="test")


def naive(
    events: Sequence[LedgerEvent], moment: Moment, sequence: str, now_ms: int
) -> tuple[Session, list[TimelineEntry]] | None:
    """Session and timeline from the whole history up to the moment: nothing looked up, everything judged."""
    facts = [fact for fact in read_facts(events) if moment.holds(fact)]
    workspace = Workspace()
    items = batch.take(workspace, facts)
    batch.settle(workspace, list(workspace.sessions), list(workspace.sessions), {})
    states: dict[str, list[SessionState]] = {}
    for row in workspace.sessions.values():
        states.setdefault(row.stream_id, []).append(row.fold)
    spans = {name: spans_of(each) for name, each in states.items()}
    batch.attribute(workspace, items, spans, moment.slack_ms)
    sessions = [row for row in workspace.sessions.values() if row.sequence == sequence]
    if len(sessions) != 1:
        return None
    session = sessions[0]
    entries = sorted(
        (
            row
            for key, rows in workspace.timeline.items()
            for row in rows.values()
            if row.sequence == sequence and key[0] == session.stream_id
        ),
        key=lambda row: (row.at_ms, row.kind, row.key),
    )
    files = [row for row in entries if row.kind == Kind.RECORDING]
    statuses = [row for row in entries if row.kind == Kind.RECORDING_STATUS]
    ended_ms = None
    if statuses and statuses[-1].note == "record_ended":
        ended_ms = max(statuses[-1].at_ms, *(row.until_ms for row in files[-1:]), 0)
    elif files and not (statuses and statuses[-1].at_ms > files[-1].until_ms):
        ended_ms = files[-1].until_ms + (files[-1].until_ms - files[-1].at_ms)
    pictures = [row for row in entries if row.kind == Kind.SCREENSHOT]
    found = Found(
        session,
        max([row.at_ms for row in entries] + [row.until_ms for row in files[-1:]]),
        None if session.ended else ended_ms,
        pictures[-1].position if pictures else None,
    )
    by_position = {event.position: event for event in events}
    latest = by_position.get(found.screenshot_position or -1)
    answer = answering.session_answer(found, latest, now_ms, LIMITS, shared=False)
    return answer, [answering.timeline_entry(row, by_position.get(row.position)) for row in entries]
