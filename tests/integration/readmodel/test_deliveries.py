"""The deliveries projection and its queries on a real PostgreSQL: classes, evidence, replays found."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar

import psycopg
import pytest

from streamledger.domain.delivery_answers import DeliveryAnswer
from streamledger.domain.errors import CursorInvalid, DeliveryUnknown, ParameterInvalid, SessionUnknown
from streamledger.domain.events import NewEvent
from streamledger.domain.forensics import DeliveryClass
from streamledger.domain.suspicion import SuspectLimits
from streamledger.operations.rebuild import Order
from streamledger.operations.verify_projections import verify_projections
from streamledger.postgres.connection import Database, connect, open_pool_async
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.projections.runner import catch_up
from streamledger.readmodel.queries import ledger_scan
from streamledger.readmodel.queries.audit import AuditQueries, AuditScope
from streamledger.readmodel.queries.deliveries import DeliveryQueries
from streamledger.readmodel.queries.delivery_rows import delivered_at, known_of
from streamledger.readmodel.queries.ledger_scan import DeliveryFilter
from streamledger.readmodel.queries.sessions import Page, Queries
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
        async with await open_pool_async(database, min_size=1, max_size=1, name="test") as pool:
            return await question(DeliveryQueries(pool))

    return asyncio.run(answer())


def listed(database: Database, **wanted: Any) -> list[DeliveryAnswer]:
    found: Page[DeliveryAnswer] = ask(database, lambda queries: queries.deliveries(DeliveryFilter(**wanted)))
    return found.items


def sessions_of(database: Database) -> list[Any]:
    async def answer() -> list[Any]:
        async with await open_pool_async(database, min_size=1, max_size=1, name="test") as pool:
            queries = Queries(
                pool, SuspectLimits(silence_ms_max=HOUR_S * 1000), clock_ms=lambda: (BEGAN_S + 600) * 1000
            )
            session = await queries.session("77")
            return [
                session.started_at,
                session.ended_at,
                session.duration_ms,
                session.anomalies,
                session.stop,
            ]

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
    assert [each.evidence.address for each in found] == ["other", "same", "same"]
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
            async with await open_pool_async(database, min_size=1, max_size=1, name="test") as pool:
                wanted = AuditScope.of(BEGAN_S * 1000, (BEGAN_S + DAY_S + 1) * 1000, 0, **scope)
                return await AuditQueries(pool).report(wanted, limit)

        return asyncio.run(answer())

    report = audited()
    first_day, second_day = report.days
    assert (first_day.day, second_day.day) == ("2025-11-24", "2025-11-25")
    assert (first_day.received, first_day.believed, second_day.received) == (11, 6, 1)
    assert first_day.received == first_day.believed - first_day.released + 6
    assert (first_day.repeated, first_day.late_retries, first_day.conflicts) == (1, 1, 1)
    assert (first_day.replayed, second_day.replayed) == (0, 1)
    assert (first_day.expired, first_day.too_far_ahead, first_day.bad_signature) == (2, 1, 1)
    assert (first_day.unsigned, first_day.malformed, first_day.released) == (1, 1, 1)
    assert [each.class_ for each in report.suspicious][:1] == ["replay"]
    assert {each.class_ for each in report.suspicious} == {
        "replay", "conflict", "late_retry",
        "expired", "too_far_ahead", "bad_signature", "unsigned", "malformed",
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


def test_a_notification_has_a_row_from_its_second_delivery_on(connection: psycopg.Connection[Any]) -> None:
    kept = "SELECT key, deliveries FROM notifications ORDER BY 1"
    told(connection, [received(started("room", "1"), BEGAN_S), received(started("room", "2"), BEGAN_S)])
    assert connection.execute(kept).fetchall() == []
    told(connection, [received(started("room", "2"), BEGAN_S + 60)])
    assert connection.execute(kept).fetchall() == [("2", 2)]
    told(connection, [received(started("room", name), BEGAN_S + 120) for name in ("1", "2", "3", "3")])
    assert connection.execute(kept).fetchall() == [("1", 2), ("2", 3), ("3", 2)]


def test_what_came_once_is_known_as_well_as_what_came_again(
    database: Database, connection: psycopg.Connection[Any]
) -> None:
    once, again = signed(started("room", "1"), BEGAN_S + 600), signed(started("room", "2"), BEGAN_S + 600)
    told(connection, [received(body, BEGAN_S + at) for at, body in enumerate([once, again, again])])
    keep(connection, aside=[set_aside(body, BEGAN_S + HOUR_S, source_ip=STRANGER) for body in (once, again)])

    async def asked() -> tuple[Any, ...]:
        async with await open_pool_async(database, min_size=1, max_size=1, name="test") as pool:
            queries = DeliveryQueries(pool)
            async with pool.connection() as opened:
                known = await known_of(opened, [("room", "push_started", name) for name in ("1", "2", "3")])
            scope = AuditScope.of(BEGAN_S * 1000, (BEGAN_S + 7200) * 1000, 0)
            report = await AuditQueries(pool).report(scope)
            return known, await queries.delivery(1), await queries.delivery(3), report

    known, first, third, report = asyncio.run(asked())
    assert {key[2]: row.deliveries for key, row in known.items()} == {"1": 1, "2": 2}
    assert (first.notification.deliveries, first.notification.contents, first.more) == (1, 1, 0)
    assert third.notification.deliveries == 2
    for detail in (first, third):
        assert [(each.class_, each.evidence.bytes) for each in detail.set_aside] == [("replay", "same")]
    assert [each.would_be for each in report.suspicious] == ["replay", "replay"]
    assert {each.first_position for each in report.suspicious} == {1, 2}


def test_rows_that_other_rules_made_are_said_to_be_so(
    database: Database, connection: psycopg.Connection[Any]
) -> None:
    told(connection, [received(started("room", "1"), BEGAN_S)])
    connection.execute("UPDATE projections SET fold_version = 9 WHERE name = 'tallies'")
    order = Order(projections=PROJECTIONS, workers=1)
    found = {each.projection: each for each in verify_projections(database, order, clock_us=lambda: 1)}
    assert found["sessions"].sound
    assert not found["tallies"].sound
    assert "made by version 9 of the rules" in found["tallies"].detail


SENDERS = ("192.0.2.7", "192.0.2.8", "198.51.100.9")
KEYS = (None, "main", "rotated")


def random_deliveries(chance: random.Random) -> list[NewEvent]:
    """Of few notifications, so that many come again; received in any order of times, over a day or so."""
    events = []
    for _ in range(chance.choice([60, 150])):
        stream = f"room-{chance.randrange(3)}"
        body = chance.choice(
            [
                started(stream, str(chance.randrange(6))),
                stopped(stream, str(chance.randrange(6)), BEGAN_S + 50),
                screenshot(stream, BEGAN_S + chance.randrange(40)),
                {"event_type": 999, "data": chance.randrange(9)},
            ]
        )
        events.append(
            received(
                body,
                BEGAN_S + chance.choice([0, 1, 59, 60, 61, 119, 180, 3600, 86_400]) + chance.randrange(3),
                t_s=BEGAN_S + 600,
                source_ip=chance.choice(SENDERS),
                key=chance.choice(KEYS),
                released=chance.random() < 0.1,
            )
        )
    return events


@pytest.mark.parametrize("seed", range(4))
async def test_pages_of_any_filter_are_the_whole_ledger_sieved(
    database: Database, connection: psycopg.Connection[Any], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search in the ledger, the rows of repeats, those of a sequence: held against brute force."""
    chance = random.Random(seed)
    told(connection, random_deliveries(chance))
    monkeypatch.setattr(ledger_scan, "CHUNK_EVENTS", chance.choice([1, 3, 500]))
    monkeypatch.setattr(ledger_scan, "SCANNED_MAX", chance.choice([7, 20_000]))
    monkeypatch.setattr(ledger_scan, "RANGES_MAX", chance.choice([1, 2, 2_000]))
    async with await open_pool_async(database, min_size=1, max_size=1, name="test") as pool:
        queries = DeliveryQueries(pool)
        async with pool.connection() as opened:
            head = (
                await (await opened.execute("SELECT max(notification_id) FROM ledger_events")).fetchall()
            )[0][0]
            rows = await delivered_at(opened, range(1, head + 1))
        assert len(rows) == head
        for _ in range(40):
            wanted = random_filter(chance)
            expected = [at for at in sorted(rows, reverse=True) if wanted.fits(rows[at])]
            found, cursor, limit = [], None, chance.choice([1, 4, 100])
            while True:
                page = await queries.deliveries(wanted, limit, cursor)
                assert len(page.items) <= limit
                found += [int(each.position) for each in page.items]
                cursor = page.next_cursor
                if cursor is None:
                    break
            assert found == expected, wanted


def random_filter(chance: random.Random) -> DeliveryFilter:
    """Each condition in one of three."""

    def maybe(*values: Any) -> Any:
        return chance.choice(values) if chance.random() < 0.33 else None

    from_ms = maybe(*((BEGAN_S + at) * 1000 for at in (0, 1, 60, 61, 3600)))
    until_ms = maybe(*((BEGAN_S + at) * 1000 for at in (1, 60, 62, 120, 3601, 86_402)))
    return DeliveryFilter(
        class_=maybe(*DeliveryClass),
        stream_id=maybe("room-0", "room-1", "nobody"),
        sequence=maybe("0", "1", "nothing"),
        key=maybe("main", "rotated", "x"),
        source_ip=maybe(*SENDERS),
        from_ms=from_ms,
        to_ms=until_ms,
    )
