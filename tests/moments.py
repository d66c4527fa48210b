"""Disordered histories, a ledger that grows by one delivery, and the naive answer about a moment."""

import random
from collections.abc import Sequence
from typing import Any

import msgspec
import psycopg

from streamledger.domain.answers import Session, TimelineEntry
from streamledger.domain.events import Delivery, LedgerEvent
from streamledger.domain.notification import Kind
from streamledger.domain.suspicion import SuspectLimits
from streamledger.postgres.connection import Database, connect
from streamledger.readmodel.fold.engine import fold
from streamledger.readmodel.fold.nothing import Nothing
from streamledger.readmodel.fold.signs import recorded_ms, signs_of
from streamledger.readmodel.moments.moment import Moment
from streamledger.readmodel.moments.session import begin
from streamledger.readmodel.projections.reading import read_facts
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.projections.runner import catch_up
from streamledger.readmodel.queries import presenters as answering
from streamledger.readmodel.queries.presenters import Found
from streamledger.simulator.history import generate
from streamledger.simulator.truth import Shape
from tests.deliveries import event_of, store

STARTS_AT_MS = 1_713_731_478_000
SILENCE_MS_MAX = 120_000
LIMITS = SuspectLimits(silence_ms_max=SILENCE_MS_MAX)


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
    store(connection, [event_of(delivery) for delivery in deliveries])
    return catch_up(connection, database.schema, PROJECTIONS)


def connect_to(database: Database) -> psycopg.Connection[Any]:
    """A connection for `append_all`."""
    return connect(database, application_name="test")


def naive(
    events: Sequence[LedgerEvent], moment: Moment, sequence: str, now_ms: int
) -> tuple[Session, list[TimelineEntry]] | None:
    """Session and timeline from the whole history up to the moment: nothing looked up, everything judged."""
    read = list(read_facts(events))
    facts = [fact for fact in read if moment.holds(fact)]
    view = Nothing()
    for fact in read:
        if moment.is_begun_by(fact):
            begin(view.at_hand(fact.notification.stream_id or ""), [fact])
    changes = fold(view, facts, moment.slack_ms)
    list(view.write(changes))
    list(view.end())
    streams = {fact.notification.stream_id for fact in read if fact.notification.stream_id is not None}
    known = [row for stream_id in streams for row in view.at_hand(stream_id).rows.values()]
    sessions = [row for row in known if row.sequence == sequence]
    if len(sessions) != 1:
        return None
    session = sessions[0]
    entries = sorted(
        (
            row
            for rows in changes.entries.values()
            for row in rows
            if row.sequence == sequence and row.stream_id == session.stream_id
        ),
        key=lambda row: (row.at_ms, row.kind, row.key),
    )
    files = [(row.at_ms, row.until_ms) for row in entries if row.kind == Kind.RECORDING]
    pictures = [row for row in entries if row.kind == Kind.SCREENSHOT]
    found = Found(
        session,
        signs_of(entries, param_known=session.witness is not None),
        recorded_ms(session, files),
        pictures[-1].position if pictures else None,
    )
    by_position = {event.position: event for event in events}
    latest = by_position.get(found.screenshot_position or -1)
    answer = answering.session_answer(found, latest, now_ms, LIMITS, shared=False)
    return answer, [answering.timeline_entry(row, by_position.get(row.position)) for row in entries]
