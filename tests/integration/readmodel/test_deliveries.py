"""The deliveries projection and its queries on a real PostgreSQL: classes, evidence, replays found."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar

import psycopg
import pytest

from streamledger.domain.delivery_answers import DeliveryAnswer
from streamledger.domain.errors import CursorInvalid, DeliveryUnknown, ParameterInvalid, SessionUnknown
from streamledger.domain.forensics import DeliveryClass
from streamledger.ledger import reader
from streamledger.ledger.append import NewEvent
from streamledger.postgres.connection import Database, connect, open_pool_async
from streamledger.readmodel import projection
from streamledger.readmodel.audit_queries import AuditQueries, AuditScope
from streamledger.readmodel.delivery_projection import DeliveriesProjection
from streamledger.readmodel.delivery_queries import DeliveryFilter, DeliveryQueries
from streamledger.readmodel.queries import Page, Queries
from streamledger.readmodel.runner import catch_up
from streamledger.readmodel.session_projection import PROJECTIONS
from tests.received import (
    BEGAN_S,
    SCHEMA,
    STRANGER,
    TENCENT,
    keep,
    received,
    screenshot,
    set_aside,
    signed,
    started,
    stopped,
)

Answer = TypeVar("Answer")
HOUR_S, DAY_S = 3600, 86400


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection[Any]]:
    with connect(database, application_name="test") as opened:
        yield opened


def told(connection: psycopg.Connection[Any], events: Sequence[NewEvent]) -> list[int]:
    """Store events and let every projection take them in."""
    positions = keep(connection, events)
    catch_up(connection, SCHEMA, PROJECTIONS)
    return positions


def ask(database: Database, question: Callable[[DeliveryQueries], Awaitable[Answer]]) -> Answer:
    """One question to the queries about deliveries."""

    async def answer() -> Answer:
        pool = await open_pool_async(database, min_size=1, max_size=1, name="test")
        try:
            return await question(DeliveryQueries(pool))
        finally:
            await pool.close()

    return asyncio.run(answer())


def listed(database: Database, **wanted: Any) -> list[DeliveryAnswer]:
    found: Page[DeliveryAnswer] = ask(database, lambda queries: queries.deliveries(DeliveryFilter(**wanted)))
    return found.items


def sessions_of(database: Database) -> list[Any]:
    async def answer() -> list[Any]:
        pool = await open_pool_async(database, min_size=1, max_size=1, name="test")
        try:
            queries = Queries(pool, silence_ms_max=HOUR_S * 1000, clock_ms=lambda: (BEGAN_S + 600) * 1000)
            session = await queries.session("77")
            return [
                session.started_at,
                session.ended_at,
                session.duration_ms,
                session.anomalies,
                session.stop,
            ]
        finally:
            await pool.close()

    return asyncio.run(answer())


def test_a_replayed_delivery_changes_no_session_and_is_found_with_its_first_beside_it(
    database: Database, connection: psycopg.Connection[Any]
) -> None:
    begin, end = started("room", "77"), stopped("room", "77", BEGAN_S + 300)
    captured = signed(begin, BEGAN_S + 600)
    positions = told(
        connection,
        [received(captured, BEGAN_S + 1), received(end, BEGAN_S + 301), received(begin, BEGAN_S + 61.3)],
    )
    before = sessions_of(database)
    replays = told(
        connection,
        [
            received(captured, BEGAN_S + HOUR_S),
            received(captured, BEGAN_S + DAY_S),
            received(captured, BEGAN_S + 121, source_ip=STRANGER),
        ],
    )
    assert sessions_of(database) == before
    found = listed(database, class_=DeliveryClass.REPLAY)
    assert sorted(int(each.position) for each in found) == replays
    assert {each.first_position for each in found} == {positions[0]}
    assert [each.evidence.address for each in found] == ["same", "same", "other"]
    detail = ask(database, lambda queries: queries.delivery(replays[2]))
    assert [int(each.delivery.position) for each in detail.same_notification] == [
        positions[0],
        positions[2],
        *replays,
    ]
    assert detail.same_notification[0].delivery.class_ == "first"
    assert [each.field for each in detail.same_notification[1].differences] == ["sign", "t"]
    assert f"from {STRANGER}, the first came from {TENCENT}" in detail.delivery.in_words


def test_a_captured_delivery_that_has_expired_is_found_beside_the_first_too(
    database: Database, connection: psycopg.Connection[Any]
) -> None:
    captured = signed(started("room", "77"), BEGAN_S + 600)
    (first,) = told(connection, [received(captured, BEGAN_S + 1)])
    keep(
        connection,
        aside=[
            set_aside(captured, BEGAN_S + HOUR_S, source_ip=STRANGER),
            set_aside(captured, BEGAN_S + 721),
            set_aside(started("room", "78"), BEGAN_S + HOUR_S),
            set_aside(b"{", BEGAN_S + 5, "malformed"),
        ],
    )
    detail = ask(database, lambda queries: queries.delivery(first))
    assert [(each.class_, each.source_ip) for each in detail.set_aside] == [
        ("replay", STRANGER),
        ("late_retry", TENCENT),
    ]
    assert detail.set_aside[0].evidence.bytes == "same"
    assert detail.set_aside[1].try_ == 12


def test_a_conflict_names_what_differs_with_both_values_and_no_secret(
    database: Database, connection: psycopg.Connection[Any]
) -> None:
    one = started("room", "77", stream_param="txSecret=abc&txTime=1", node="192.0.2.1")
    other = started("room", "77", BEGAN_S + 40, stream_param="txSecret=def&txTime=2", node=None)
    first, second, third = told(
        connection, [received(one, BEGAN_S), received(other, BEGAN_S + 5), received(other, BEGAN_S + 70)]
    )
    found = listed(database, class_=DeliveryClass.CONFLICT)
    assert [int(each.position) for each in found] == [third, second]
    assert found[1].evidence.differs == ("event_time", "node", "stream_param")
    assert found[0].evidence.same_as == second
    detail = ask(database, lambda queries: queries.delivery(second))
    shown = {each.field: (each.first, each.this) for each in detail.same_notification[1].differences}
    assert shown["event_time"] == (BEGAN_S, BEGAN_S + 40)
    assert shown["stream_param"] == ("txSecret=REDACTED&txTime=1", "txSecret=REDACTED&txTime=2")
    assert detail.body["stream_param"] == "txSecret=REDACTED&txTime=2"
    assert detail.notification.contents == 2
    assert detail.same_notification[0].delivery.first_position == first


def test_a_session_has_the_deliveries_that_name_it_and_those_attributed_to_it(
    database: Database, connection: psycopg.Connection[Any]
) -> None:
    begin, shot, end = (
        started("room", "77"),
        screenshot("room", BEGAN_S + 60),
        stopped("room", "77", BEGAN_S + 90),
    )
    elsewhere = screenshot("room", BEGAN_S + DAY_S)
    told(
        connection,
        [
            received(end, BEGAN_S + 91),
            received(shot, BEGAN_S + 61),
            received(begin, BEGAN_S + 100),
            received(shot, BEGAN_S + 181),
            received(elsewhere, BEGAN_S + DAY_S),
            received(begin, BEGAN_S + 160),
        ],
    )
    whole = ask(database, lambda queries: queries.of_session("77"))
    assert [(each.event_type, each.class_) for each in whole.items] == [
        (1, "first"),
        (1, "retry"),
        (200, "first"),
        (200, "retry"),
        (0, "first"),
    ]
    paged: list[DeliveryAnswer] = []
    cursor = None
    for _ in range(5):
        page = ask(database, lambda queries, cursor=cursor: queries.of_session("77", None, 1, cursor))
        paged += page.items
        cursor = page.next_cursor
    assert paged == whole.items
    assert cursor is None
    with pytest.raises(SessionUnknown):
        ask(database, lambda queries: queries.of_session("78"))


def test_lists_are_filtered_and_paged(database: Database, connection: psycopg.Connection[Any]) -> None:
    events = [received(started(f"room-{n % 3}", str(100 + n)), BEGAN_S + n) for n in range(12)]
    events.append(received(started("room-0", "200"), BEGAN_S + 50, source_ip=STRANGER, key="rotated"))
    events.append(received({"event_type": 999, "data": 1}, BEGAN_S + 60))
    positions = told(connection, events)
    assert [int(each.position) for each in listed(database)] == positions[::-1]
    assert [each.sequence for each in listed(database, stream_id="room-1")] == ["110", "107", "104", "101"]
    assert [each.source_ip for each in listed(database, sequence="200")] == [STRANGER]
    assert [each.sequence for each in listed(database, source_ip=STRANGER)] == ["200"]
    assert [each.sequence for each in listed(database, key="rotated")] == ["200"]
    ranged = listed(database, from_ms=(BEGAN_S + 3) * 1000, to_ms=(BEGAN_S + 5) * 1000)
    assert [each.sequence for each in ranged] == ["104", "103"]
    assert listed(database)[0].stream_id is None
    assert listed(database)[0].sequence is None
    paged: list[DeliveryAnswer] = []
    cursor = None
    for _ in range(3):
        page = ask(database, lambda queries, cursor=cursor: queries.deliveries(DeliveryFilter(), 5, cursor))
        paged += page.items
        cursor = page.next_cursor
    assert paged == listed(database)
    with pytest.raises(CursorInvalid):
        ask(database, lambda queries: queries.deliveries(DeliveryFilter(), 5, "nonsense"))
    with pytest.raises(ParameterInvalid):
        listed(database, stream_id="a\0b")
    with pytest.raises(DeliveryUnknown):
        ask(database, lambda queries: queries.delivery(positions[-1] + 1))


def test_any_body_that_the_ledger_takes_is_judged(
    database: Database, connection: psycopg.Connection[Any]
) -> None:
    odd = b'{"event_type": 1, "stream_id": "r\\u00fc m", "sequence": "9", "a\\u0000\\tb\\\\": %s, "t": "%s"}'
    told(
        connection,
        [
            received(odd % (b"1", b"9" * 64), BEGAN_S),
            received(odd % (b"1.0", b"9" * 64), BEGAN_S + 60),
            received(odd % (b"true", b"0"), BEGAN_S + 61),
            received(b'{"event_type": "100", "file_id": "f", // tolerant\n}', BEGAN_S, source_ip=""),
        ],
    )
    found = listed(database, class_=DeliveryClass.CONFLICT)
    assert [each.evidence.differs for each in found] == [("a\ufffd\ufffdb\\",)] * 2
    assert len(listed(database)) == 4


def test_the_audit_counts_days_and_lists_what_is_suspicious(
    database: Database, connection: psycopg.Connection[Any]
) -> None:
    captured = signed(started("room", "77"), BEGAN_S + 600)
    told(
        connection,
        [
            received(captured, BEGAN_S),
            received(captured, BEGAN_S + 60),
            received(captured, BEGAN_S + 720),
            received(captured, BEGAN_S + DAY_S),
            received(started("room", "77", BEGAN_S + 1), BEGAN_S + 70),
            received(started("other", "78"), BEGAN_S, released=True),
            received(started("invented", "79", BEGAN_S + 500), BEGAN_S + 500, t_s=BEGAN_S + 600),
        ],
    )
    keep(
        connection,
        aside=[
            set_aside(started("other", "78"), BEGAN_S),
            set_aside(captured, BEGAN_S + HOUR_S, source_ip=STRANGER),
            set_aside(captured, BEGAN_S + HOUR_S, "bad_signature"),
            set_aside(captured, BEGAN_S + HOUR_S, "unsigned"),
            set_aside(captured, BEGAN_S + HOUR_S, "too_far_ahead"),
            set_aside(b"nonsense", BEGAN_S + HOUR_S, "malformed"),
        ],
    )

    def audited(limit: int = 50, **scope: Any) -> Any:
        async def answer() -> Any:
            pool = await open_pool_async(database, min_size=1, max_size=1, name="test")
            try:
                wanted = AuditScope.of(BEGAN_S * 1000, (BEGAN_S + DAY_S + 1) * 1000, 0, **scope)
                return await AuditQueries(pool).report(wanted, limit)
            finally:
                await pool.close()

        return asyncio.run(answer())

    report = audited()
    first_day, second_day = report.days
    assert (first_day.day, second_day.day) == ("2025-11-24", "2025-11-25")
    assert (first_day.received, first_day.believed, second_day.received) == (11, 6, 1)
    assert first_day.received == first_day.believed - first_day.released + 6
    assert (first_day.repeated, first_day.late_retries, first_day.conflicts) == (1, 1, 1)
    assert (first_day.replayed, second_day.replayed) == (0, 1)
    assert (first_day.expired, first_day.too_far_ahead, first_day.forged) == (2, 1, 1)
    assert (first_day.unsigned, first_day.malformed, first_day.released) == (1, 1, 1)
    assert [each.class_ for each in report.suspicious][:1] == ["replay"]
    assert {each.class_ for each in report.suspicious} == {
        "replay", "conflict", "late_retry", "expired", "too_far_ahead", "forged", "unsigned", "malformed"
    }  # fmt: skip
    expired = next(each for each in report.suspicious if each.source_ip == STRANGER)
    assert (expired.class_, expired.would_be, expired.first_source_ip) == ("expired", "replay", TENCENT)
    assert "1 h after the first" in expired.in_words
    assert not report.more
    assert audited(3).more
    assert len(audited(3).suspicious) == 3
    assert [each.class_ for each in audited(classes=("released",)).suspicious] == ["released"]
    assert (first_day.signed_early, second_day.signed_early) == (1, 0)
    early = audited(classes=("signed_early", "conflict")).suspicious
    assert [(each.class_, each.stream_id) for each in early] == [("first", "invented"), ("conflict", "room")]
    assert "signed 8 min 20 s before what it reports" in early[0].in_words
    in_stream = audited(stream_id="other")
    assert [(day.received, day.released) for day in in_stream.days] == [(1, 1), (0, 0)]
    with pytest.raises(ParameterInvalid, match="1 to 400 days"):
        AuditScope.of(BEGAN_S * 1000, BEGAN_S * 1000 - DAY_S * 1000, 0).widened()


def test_the_rows_do_not_depend_on_where_batches_are_cut(
    database: Database, connection: psycopg.Connection[Any]
) -> None:
    bodies = [
        started("a", "1"),
        started("a", "1", BEGAN_S + 9),
        screenshot("a", BEGAN_S),
        stopped("b", "2", BEGAN_S),
    ]
    offsets = (0, 1, 60, 100, 120, 700)
    keep(
        connection,
        [
            received(
                body, BEGAN_S + offset, t_s=BEGAN_S + 600, source_ip=STRANGER if offset == 100 else TENCENT
            )
            for offset, body in itertools.product(offsets, bodies)
        ],
    )
    events = reader.read_after(connection, 0, 1000)
    found = set()
    for size in (1, 2, 5, len(events)):
        digest = 0
        connection.execute("TRUNCATE deliveries, notifications, delivery_days")
        for begin in range(0, len(events), size):
            facts = projection.read_facts(events[begin : begin + size])
            digest += DeliveriesProjection().take_in(connection, facts)
        rows = tuple(
            str(connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall())
            for table in DeliveriesProjection.tables
        )
        found.add((digest % 2**64, rows))
    assert len(found) == 1
    classes = dict(
        connection.execute("SELECT judged_as, sum(deliveries)::int FROM delivery_days GROUP BY 1").fetchall()
    )
    assert classes["first"] == 3
    assert classes.keys() == {"first", "retry", "replay", "conflict", "late_retry"}
