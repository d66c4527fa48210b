"""Deliveries as they come in over time, put into a ledger or its quarantine, for tests of forensics."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import psycopg

from streamledger.domain.events import Belief, By, Delivery, NewEvent, Release
from streamledger.ledger.quarantining import NewQuarantined
from streamledger.tencent.envelope import read_envelope
from streamledger.tencent.signature import signature_of
from tests.deliveries import event_of, store

SCHEMA = "streamledger"
KEY = "streamledger-test-key"
BEGAN_S = 1_764_000_000
"""2025-11-24T16:00:00Z"""
TENCENT, STRANGER = "192.0.2.7", "198.51.100.9"


def started(stream_id: str, sequence: str, at_s: int = BEGAN_S, **more: Any) -> dict[str, Any]:
    """Event type 1."""
    fields = {"event_type": 1, "stream_id": stream_id, "sequence": sequence, "event_time": at_s}
    return {**fields, "app": "push.example.com", "appname": "live", "user_ip": "203.0.113.5", **more}


def stopped(stream_id: str, sequence: str, at_s: int, **more: Any) -> dict[str, Any]:
    """Event type 0."""
    return {**started(stream_id, sequence, at_s), "event_type": 0, "errcode": 1, **more}


def screenshot(stream_id: str, at_s: int, **more: Any) -> dict[str, Any]:
    """Event type 200."""
    fields = {"event_type": 200, "stream_id": stream_id, "create_time": at_s}
    return {**fields, "pic_url": f"/2025-11-24/{stream_id}-screenshot-{at_s}.jpg", **more}


def signed(body: Mapping[str, Any], t_s: int) -> bytes:
    """The body with t and a good sign."""
    return msgspec.json.encode({"t": t_s, "sign": signature_of(KEY, str(t_s)), **body})


def received(
    body: Mapping[str, Any] | bytes,
    at_s: float,
    *,
    t_s: int | None = None,
    source_ip: str = TENCENT,
    key: str | None = "main",
    released: bool = False,
) -> NewEvent:
    """A believed delivery at this time; by default it was signed when it was received."""
    sent = body if isinstance(body, bytes) else signed(body, t_s or int(at_s) + 600)
    release = None
    if released:
        release = Release(
            quarantine_id=str(uuid.uuid4()),
            quarantine_reason="expired",
            by="an operator",
            reason="outage",
            released_at_us=round(at_s * 1e6) + 10**9,
        )
    by: By = "release" if released else "key" if key else "unchecked"
    return event_of(
        Delivery(
            body=sent,
            received_at_us=round(at_s * 1e6),
            source_ip=source_ip,
            believed=Belief(by, key, release=release),
        )
    )


def set_aside(
    body: Mapping[str, Any] | bytes, at_s: float, reason: str = "expired", source_ip: str = TENCENT
) -> NewQuarantined:
    """A delivery that is not believed."""
    sent = body if isinstance(body, bytes) else signed(body, BEGAN_S + 600)
    readable = reason != "malformed"
    envelope = read_envelope(sent) if readable else None
    return NewQuarantined(
        delivery_id=uuid.uuid4(),
        reason=reason,
        received_at_us=round(at_s * 1e6),
        source_ip=source_ip,
        body=sent,
        event_type=envelope.event_type if envelope else None,
        stream_id=envelope.stream_id if envelope else None,
        sequence=envelope.sequence if envelope else None,
    )


def keep(
    connection: psycopg.Connection[Any],
    events: Sequence[NewEvent] = (),
    aside: Sequence[NewQuarantined] = (),
) -> list[int]:
    """Store deliveries as the receiver's writer does; returns the positions of the events."""
    return list(store(connection, events, aside).positions)
