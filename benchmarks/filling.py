"""Fills a ledger and its read model with as many sessions as a test of queries needs.

A small history goes the whole true way, through ledger and projections; its rows are then multiplied in SQL
under other stream names. So the rows are those that the program writes, whatever columns they have.
"""

import random
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import psycopg

from streamledger.domain.events import Delivery, originator_of
from streamledger.ledger.application import Batch, Ledger, environment
from streamledger.ledger.mapper import event_class
from streamledger.ledger.quarantining import QuarantineCaps
from streamledger.postgres.connection import Database
from streamledger.readmodel.fold.columns import NARROW
from streamledger.readmodel.fold.rows import StreamRow, TimelineRow
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.projections.runner import catch_up
from streamledger.tencent.reader import read_notification

STREAMS = 100
SESSIONS_PER_STREAM = 10
SCREENSHOTS, RECORDINGS = 8, 2
"""Media of one session."""
COLUMNS = {
    "sessions": NARROW,
    "session_folds": ("stream_id", "sequence", "fold"),
    "timeline": TimelineRow.__struct_fields__,
    "streams": StreamRow.__struct_fields__,
}
LONG_STREAM = "long"
LONG_SEQUENCE = "4000000000000000001"
SCREENSHOT_EVERY_S = 10

_NO_QUARANTINE = QuarantineCaps(
    refused_rows_max=0, refused_bytes_max=0, signed_rows_max=0, signed_bytes_max=0
)
Body = dict[str, object]


def fill(
    connection: psycopg.Connection[Any], schema: str, sessions: int, *, now_s: int, seed: int = 1
) -> None:
    """At least `sessions` sessions, ten to a stream, with ten media each; the newest end about now.

    One stream in fifty is live.
    """
    append(connection, schema, _bodies(now_s, random.Random(seed)))
    multiply(connection, -(-sessions // (STREAMS * SESSIONS_PER_STREAM)) - 1)
    follow_up(connection)


def fill_long_stream(
    connection: psycopg.Connection[Any], schema: str, screenshots: int, *, now_s: int
) -> None:
    """One stream with one ended session of so many screenshots."""
    started_s = now_s - screenshots * SCREENSHOT_EVERY_S
    append(
        connection,
        schema,
        [
            _push(1, LONG_STREAM, LONG_SEQUENCE, started_s),
            _screenshot(LONG_STREAM, started_s + 1, "/long.jpg"),
        ],
    )
    with _without_indexes(connection, ("timeline", "ledger_events")):
        numbers = f"generate_series(1::int8, {screenshots - 1}) AS g"
        by_name = {
            "key": "t.key || g",
            "at_ms": f"t.at_ms + g * {SCREENSHOT_EVERY_S}000",
            "until_ms": f"t.until_ms + g * {SCREENSHOT_EVERY_S}000",
            "received_ms": f"t.received_ms + g * {SCREENSHOT_EVERY_S}000",
            "position": "t.position + g",
        }
        _insert(connection, "timeline", by_name, numbers, "t.stream_id = 'long' AND t.kind = 'screenshot'")
        connection.execute(
            "INSERT INTO ledger_events"
            " (originator_id, originator_version, topic, state, notification_id, delivery_id)"
            f" SELECT t.originator_id, t.originator_version + g, t.topic, t.state, t.notification_id + g,"
            f" gen_random_uuid() FROM ledger_events AS t, {numbers}"
            " WHERE t.originator_id = 'long' AND t.topic = 'screenshot-created.v1'"
        )
    connection.execute("UPDATE sessions SET screenshots = %s WHERE stream_id = 'long'", (screenshots,))
    follow_up(connection)
    append(connection, schema, [_push(0, LONG_STREAM, LONG_SEQUENCE, now_s)])


def append(connection: psycopg.Connection[Any], schema: str, bodies: Sequence[Body]) -> None:
    """The true way: into the ledger, through the projections."""
    events = []
    for body in bodies:
        encoded = msgspec.json.encode(body)
        notification = read_notification(encoded)
        delivery = Delivery(
            body=encoded, received_at_us=(notification.at_ms or 0) * 1000 + 500_000, source_ip="192.0.2.1"
        )
        events.append(
            event_class(notification.event_type)(
                originator_id=originator_of(notification.stream_id, notification.event_type),
                delivery_id=uuid.uuid4(),
                delivery=delivery,
            )
        )
    ledger = Ledger(environment(Database("", schema)))
    ledger.receive(connection, Batch(events=events), _NO_QUARANTINE)
    catch_up(connection, schema, PROJECTIONS)


def multiply(connection: psycopg.Connection[Any], times: int) -> None:
    """Copy everything so many times under other stream names, sequences and positions."""
    if times <= 0:
        return
    row = connection.execute("SELECT max(notification_id) FROM ledger_events").fetchone()
    assert row is not None
    step = int(row[0])
    numbers = f"generate_series(1, {times}) AS g"
    by_name = {
        "stream_id": "t.stream_id || '-' || g",
        "sequence": "CASE t.sequence WHEN '' THEN '' ELSE (t.sequence::numeric + g * 1000000)::text END",
        "position": f"t.position + g * {step}::bigint",
    }
    with _without_indexes(connection, ("ledger_events", *COLUMNS)):
        for table, names in COLUMNS.items():
            changed = {name: by_name[name] for name in by_name if name in names}
            if table == "session_folds":
                sequence = by_name["sequence"]
                changed["fold"] = (
                    "(t.fold::jsonb || jsonb_build_object('stream_id', t.stream_id || '-' || g,"
                    f" 'sequence', {sequence}))::text"
                )
            _insert(connection, table, changed, numbers, "true")
        connection.execute(
            "INSERT INTO ledger_events"
            " (originator_id, originator_version, topic, state, notification_id, delivery_id)"
            " SELECT t.originator_id || '-' || g, t.originator_version, t.topic, t.state,"
            f" t.notification_id + g * {step}::bigint, gen_random_uuid() FROM ledger_events AS t, {numbers}"
        )


def follow_up(connection: psycopg.Connection[Any]) -> None:
    """Let the projections stand behind what was inserted past them, and the planner know of it."""
    connection.execute("UPDATE ledger_head SET position = (SELECT max(notification_id) FROM ledger_events)")
    connection.execute("UPDATE projections SET position = (SELECT max(notification_id) FROM ledger_events)")
    connection.execute("VACUUM ANALYZE")


def _insert(
    connection: psycopg.Connection[Any], table: str, changed: dict[str, str], numbers: str, condition: str
) -> None:
    names = COLUMNS[table]
    values = ", ".join(changed.get(name, f"t.{name}") for name in names)
    connection.execute(
        f"INSERT INTO {table} ({', '.join(names)}) SELECT {values}"
        f" FROM {table} AS t, {numbers} WHERE {condition}"
    )


@contextmanager
def _without_indexes(connection: psycopg.Connection[Any], tables: Sequence[str]) -> Iterator[None]:
    """Drop the secondary indexes, and make them again at the end: much faster than keeping them up."""
    rows = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema"
        " AND tablename = ANY(%s) AND indexname NOT LIKE '%%_pkey'",
        (list(tables),),
    ).fetchall()
    for name, _ in rows:
        connection.execute(f"DROP INDEX {name}")
    connection.execute("SET synchronous_commit = off")
    connection.execute("SET maintenance_work_mem = '256MB'")
    yield
    for _, definition in rows:
        connection.execute(definition)


def _bodies(now_s: int, drawn: random.Random) -> list[Body]:
    bodies: list[Body] = []
    for stream in range(STREAMS):
        stream_id = f"room-{stream:03d}"
        at_s = now_s - SESSIONS_PER_STREAM * 200 - drawn.randint(0, 100)
        for number in range(SESSIONS_PER_STREAM):
            sequence = str(3_000_000_000_000_000_000 + stream * SESSIONS_PER_STREAM + number)
            bodies.append(_push(1, stream_id, sequence, at_s))
            for picture in range(SCREENSHOTS):
                taken_s = at_s + 5 + picture * SCREENSHOT_EVERY_S
                bodies.append(_screenshot(stream_id, taken_s, f"/{sequence}-{picture}.jpg"))
            for file in range(RECORDINGS):
                bodies.append(
                    _recording(stream_id, at_s + 50 * file, at_s + 50 * (file + 1), f"{sequence}{file}")
                )
            at_s += 190
            is_live = stream % 50 == 0 and number == SESSIONS_PER_STREAM - 1
            if not is_live:
                bodies.append(_push(0, stream_id, sequence, at_s - 20))
    return bodies


def _push(event_type: int, stream_id: str, sequence: str, at_s: int) -> Body:
    return {
        "event_type": event_type,
        "stream_id": stream_id,
        "sequence": sequence,
        "event_time": at_s,
        "app": "push.example.com",
        "appname": "live",
        "node": "198.51.100.7",
        "user_ip": "203.0.113.9",
        "errcode": 1,
        "errmsg": "The push client actively stopped the push",
        "stream_param": "txSecret=0123456789abcdef0123456789abcdef&txTime=6B078AA3",
    }


def _screenshot(stream_id: str, at_s: int, pic_url: str) -> Body:
    return {
        "event_type": 200,
        "stream_id": stream_id,
        "create_time": at_s,
        "pic_url": pic_url,
        "pic_full_url": f"http://pictures.example.com{pic_url}",
        "app": "push.example.com",
        "appname": "live",
        "width": 1280,
        "height": 720,
    }


def _recording(stream_id: str, from_s: int, until_s: int, file_id: str) -> Body:
    return {
        "event_type": 100,
        "stream_id": stream_id,
        "start_time": from_s,
        "end_time": until_s,
        "duration": until_s - from_s,
        "file_id": file_id,
        "file_format": "mp4",
        "file_size": 12_345_678,
        "video_url": f"http://files.example.com/{file_id}.mp4",
        "app": "push.example.com",
        "appname": "live",
    }
