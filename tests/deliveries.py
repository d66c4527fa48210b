"""Bodies as Tencent sends them, and the events that they become, for tests below the HTTP edge."""

import itertools
import random
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import psycopg

from streamledger.domain.events import Belief, Delivery, DeliveryEvent, NewEvent, originator_of
from streamledger.ledger.application import Batch, Ledger, Stored, environment
from streamledger.ledger.mapper import event_class
from streamledger.ledger.quarantining import NewQuarantined, QuarantineCaps
from streamledger.postgres.connection import Database
from streamledger.tencent.envelope import read_envelope
from streamledger.tencent.signature import signature_of

SCHEMA = "streamledger"
KEY = "streamledger-test-key"
NOON_S = 1_764_000_000
"""2025-11-24T16:00:00Z: where the invented histories begin."""
AMPLE = QuarantineCaps(
    refused_rows_max=10_000, refused_bytes_max=10**9, signed_rows_max=10_000, signed_bytes_max=10**9
)

LEDGER = Ledger(environment(Database("", SCHEMA)))
"""For commands on a connection of the test's own; asked to read, it finds no database."""

_numbers = itertools.count(1)


def push_started(stream_id: str, sequence: str, at_s: int, **more: Any) -> dict[str, Any]:
    """Event type 1."""
    return {
        "app": "push.example.com",
        "appname": "live",
        "event_time": at_s,
        "event_type": 1,
        "sequence": sequence,
        "stream_id": stream_id,
        "user_ip": "192.0.2.7",
    } | more


def push_stopped(stream_id: str, sequence: str, at_s: int, **more: Any) -> dict[str, Any]:
    """Event type 0."""
    return push_started(stream_id, sequence, at_s) | {"event_type": 0, "errcode": 1, "errmsg": "ok"} | more


def recording(stream_id: str, file_id: str, end_s: int, duration_s: int = 60, **more: Any) -> dict[str, Any]:
    """Event type 100."""
    return {
        "app": "push.example.com",
        "appname": "live",
        "duration": duration_s,
        "end_time": end_s,
        "event_type": 100,
        "file_format": "flv",
        "file_id": file_id,
        "file_size": 1000 * duration_s,
        "start_time": end_s - duration_s,
        "stream_id": stream_id,
        "video_url": f"http://vod.example.com/{file_id}.flv",
    } | more


def screenshot(stream_id: str, at_s: int, **more: Any) -> dict[str, Any]:
    """Event type 200."""
    return {
        "create_time": at_s,
        "event_type": 200,
        "pic_url": f"/2025-11-24/{stream_id}-screenshot-{at_s}-1280x720.jpg",
        "stream_id": stream_id,
    } | more


def signed(body: Mapping[str, Any], t_s: int, key: str = KEY) -> bytes:
    """The bytes of a delivery: the body with t and a good sign."""
    return msgspec.json.encode({**body, "sign": signature_of(key, str(t_s)), "t": t_s})


def new_event(
    body: Mapping[str, Any] | bytes, received_s: float = NOON_S, t_s: int = NOON_S + 600
) -> DeliveryEvent:
    """The event that operations.receive would append for a believed delivery."""
    sent = body if isinstance(body, bytes) else signed(body, t_s)
    envelope = read_envelope(sent)
    delivery = Delivery(
        body=sent,
        received_at_us=round(received_s * 1_000_000),
        source_ip="192.0.2.1",
        believed=Belief("key", "main"),
        mended=envelope.mended,
    )
    return event_of(delivery)


def event_of(delivery: Delivery, delivery_id: uuid.UUID | None = None) -> DeliveryEvent:
    """The event of a delivery, as the receiver would file it."""
    envelope = read_envelope(delivery.body)
    return event_class(envelope.event_type)(
        originator_id=originator_of(envelope.stream_id, envelope.event_type),
        delivery_id=delivery_id or uuid.uuid4(),
        delivery=delivery,
    )


def any_event(stream_id: str = "room") -> DeliveryEvent:
    """A stop that nothing else has sent."""
    return new_event(push_stopped(stream_id, str(10**17 + next(_numbers)), NOON_S))


def quarantined(reason: str, body: bytes = b"{}", stream_id: str | None = None) -> NewQuarantined:
    """A delivery that is not believed."""
    return NewQuarantined(
        delivery_id=uuid.uuid4(),
        reason=reason,
        received_at_us=NOON_S * 1_000_000,
        source_ip="192.0.2.1",
        body=body,
        stream_id=stream_id,
    )


def store(
    connection: psycopg.Connection[Any],
    events: Sequence[NewEvent] = (),
    refused: Sequence[NewQuarantined] = (),
    caps: QuarantineCaps = AMPLE,
    counts: Mapping[str, int] | None = None,
) -> Stored:
    """One transaction of the writer."""
    batch = Batch(events=events, quarantined=refused, counts=counts or {})
    return LEDGER.receive(connection, batch, caps)


def cut(items: Sequence[Any], cuts: Sequence[int]) -> list[Sequence[Any]]:
    """The items in pieces that begin at these places."""
    edges = sorted({0, len(items), *(place % (len(items) + 1) for place in cuts)})
    return [items[begin:end] for begin, end in itertools.pairwise(edges)]


def shuffled(items: Sequence[Any], source: random.Random) -> list[Any]:
    """The items in another order."""
    return source.sample(list(items), len(items))
