"""A seeded history, copied straight into the ledger: what rebuilds are measured on."""

import itertools
import random
import time
from collections.abc import Iterator

import psycopg

from benchmarks.load import bodies
from streamledger.domain.events import Belief, Delivery, event_name, originator_of
from streamledger.ledger import mapper
from streamledger.ledger.delivery_id import new_delivery_id
from streamledger.tencent.envelope import read_envelope

EVENTS_PER_STREAM = 2000
BELIEVED = Belief("key", "bench")
REPEATED_SHARE = 0.03
"""Deliveries that come twice."""


def deliveries(events: int, seed: int) -> Iterator[bytes]:
    """Bodies as they arrive, from streams that live side by side, some of them twice."""
    chance = random.Random(seed)
    made = 0
    before: list[bytes] = []
    for body in bodies(events, max(1, events // EVENTS_PER_STREAM), seed):
        yield body
        made += 1
        if chance.random() < REPEATED_SHARE:
            before.append(body)
        if len(before) > 50:
            yield before.pop(0)
            made += 1
        if made >= events:
            return


def fill(connection: psycopg.Connection, events: int, seed: int = 1) -> None:
    """Copy a history into an empty ledger, numbered as the appender would."""
    versions: dict[str, int] = {}
    began_us = (
        int(time.time()) * 1_000_000
    )  # after what they tell: a time that lies ahead of it counts as none
    columns = "(originator_id, originator_version, topic, state, notification_id, delivery_id)"
    with connection.cursor() as cursor:
        with cursor.copy(f"COPY ledger_events {columns} FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["text", "int8", "text", "bytea", "int8", "uuid"])
            for position, body in enumerate(itertools.islice(deliveries(events, seed), events), 1):
                envelope = read_envelope(body)
                originator = originator_of(envelope.stream_id, envelope.event_type)
                version = versions[originator] = versions.get(originator, 0) + 1
                now_us = began_us + position * 1000
                delivery = Delivery(
                    body=body, received_at_us=now_us, source_ip="203.0.113.9", believed=BELIEVED
                )
                copy.write_row(
                    (
                        originator,
                        version,
                        event_name(envelope.event_type),
                        mapper.encode(delivery),
                        position,
                        new_delivery_id(now_us),
                    )
                )
        cursor.execute("UPDATE ledger_head SET position = %s", (events,))
        cursor.execute("ANALYZE ledger_events")
