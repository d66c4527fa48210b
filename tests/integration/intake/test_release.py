"""Releasing: sessions heal, twice does nothing, nothing that was set aside is lost, everything adds up."""

import asyncio
import json
import threading
from typing import Any

import pytest

from streamledger.ledger import reader
from streamledger.ledger.quarantine import QuarantineFilter
from streamledger.operations.import_events import import_events
from streamledger.operations.imported_delivery import ImportRules
from streamledger.operations.rebuild import Order, rebuild
from streamledger.operations.release import (
    ReleaseImpossible,
    ReleaseReport,
    ReleaseWish,
    release_by_filter,
    release_one,
)
from streamledger.operations.retention import Retention
from streamledger.postgres.connection import Database, connect
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.projections.runner import catch_up
from streamledger.tencent.signature import CallbackKey
from tests.deliveries import LEDGER
from tests.integration.intake.receiver import (
    KEY,
    NOW_S,
    OPERATOR,
    Clock,
    Running,
    clock,
    conserved,
    counters,
    findings,
    push,
    rows,
    running,
    signed,
)

__all__ = ["clock"]

SEQUENCE = "2210464508206756938"
START, STOP = push(1, NOW_S - 900), push(0, NOW_S - 300, push_duration="600000")
EXPIRED, FRESH = NOW_S - 5, NOW_S + 600
RULES = ImportRules(body_bytes_max=10_000, now_us=int(NOW_S * 1_000_000))


async def deliver(database: Database, *bodies: bytes, **settings: Any) -> list[int]:
    """Deliver bodies one after another; their statuses."""
    async with running(database, **settings) as receiver:
        return [(await receiver.deliver(body)).status_code for body in bodies]


async def session_of(receiver: Running) -> dict[str, Any]:
    """The session after the projections have caught up."""
    receiver.project()
    async with receiver.client() as client:
        answer = await client.get(f"/v1/sessions/{SEQUENCE}")
        session: dict[str, Any] = answer.json()
        return session


def release(database: Database, **wish: Any) -> ReleaseReport:
    """Release by filter."""
    wanted = wish.pop("wanted", QuarantineFilter())
    with connect(database, application_name="test release") as connection:
        return release_by_filter(connection, LEDGER, ReleaseWish(wanted=wanted, **wish), OPERATOR)


def ids(database: Database) -> list[str]:
    """The quarantine's ids in order of receipt."""
    return [row[0] for row in rows(database, "SELECT id::text FROM quarantine ORDER BY received_at_us, id")]


async def test_a_released_delivery_heals_its_session_and_keeps_its_receipt(
    database: Database, clock: Clock
) -> None:
    async with running(database) as receiver:
        assert (await receiver.deliver(signed(START, FRESH))).status_code == 200
        clock.now_s += 1
        assert (await receiver.deliver(signed(STOP, EXPIRED))).status_code == 200
        assert (await session_of(receiver))["ended_at"] is None
        clock.now_s += 3600
        async with receiver.client() as client:
            listed = (await client.get("/v1/quarantine")).json()["items"]
            assert [each["reason"] for each in listed] == ["expired"]
            path = f"/v1/quarantine/{listed[0]['id']}/release"
            answers = [await client.post(path, json={"reason": "it was late"}) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 200]
        note = answers[0].json()["released"]
        assert answers[1].json()["released"] == note, "releasing twice does nothing"
        assert (note["by"], note["reason"]) == ("anonymous", "it was late")
        session = await session_of(receiver)
        assert (session["state"], session["duration_ms"]) == ("ended", 600_000)
    with connect(database, application_name="test") as connection:
        events = list(reader.read_all(connection))
    assert [event.name for event in events] == ["push-started.v1", "push-stopped.v1", "admin-acted.v1"]
    released = events[1].delivery
    assert released.received_at_us == (NOW_S + 1) * 1_000_000
    assert released.source_ip == "203.0.113.10"
    assert released.t_passed
    assert released.key == "main"
    assert released.release is not None
    assert released.release.quarantine_reason == "expired"
    assert counters(database)["received"] == 2, "a release is no receipt"
    conserved(database)


def test_the_acts_of_administrators_are_in_the_ledger_and_in_no_projection(
    database: Database, clock: Clock
) -> None:
    async def play() -> list[dict[str, Any]]:
        async with running(database) as receiver:
            await receiver.deliver(signed(STOP, EXPIRED))
            release(database)
            receiver.project()
            async with receiver.client() as client:
                events: list[dict[str, Any]] = (await client.get("/v1/events")).json()["items"]
                projection = (await client.get("/v1/projections")).json()["items"][0]
                assert (projection["lag_events"], projection["parked"]) == (0, 0)
                assert len((await client.get("/v1/streams")).json()["items"]) == 1
                return events

    act = asyncio.run(play())[-1]
    assert (act["name"], act["stream_id"], act["sequence"]) == ("admin-acted.v1", None, None)
    assert act["notification"] == {
        "action": "quarantine-released",
        "by": "operator",
        "reason": "the receiver was away",
        "subject": {"filter": {}, "released": 1},
    }


def test_many_who_release_the_same_at_once_append_it_once(database: Database, clock: Clock) -> None:
    asyncio.run(deliver(database, signed(STOP, EXPIRED)))
    (quarantine_id,) = ids(database)
    reports: list[ReleaseReport] = []

    def run() -> None:
        with connect(database, application_name="test release") as connection:
            reports.append(release_one(connection, LEDGER, quarantine_id, OPERATOR))

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({report.first_position for report in reports}) == 1
    assert sorted(report.released for report in reports) == [0, 0, 0, 0, 0, 1]
    assert sum(report.skipped.get("released_before", 0) for report in reports) == 5
    assert rows(database, "SELECT count(*) FROM ledger_events WHERE topic = 'push-stopped.v1'") == [(1,)]
    conserved(database)


def test_the_intake_goes_on_while_a_filter_releases_and_everything_adds_up(
    database: Database, clock: Clock
) -> None:
    late = [signed(push(0, NOW_S - 1, str(number)), EXPIRED) for number in range(450)]
    asyncio.run(deliver(database, *late))

    async def play() -> tuple[list[int], ReleaseReport]:
        async with running(database) as receiver:
            releasing = asyncio.ensure_future(asyncio.to_thread(release, database))
            statuses = []
            number = 0
            while not releasing.done() or number < 20:
                body = signed(push(1, NOW_S - 2, str(number)), FRESH)
                statuses.append((await receiver.deliver(body)).status_code)
                number += 1
            report = await releasing
            receiver.project()
            return statuses, report

    statuses, report = asyncio.run(play())
    assert set(statuses) == {200}
    assert report.released == 450
    assert rows(database, "SELECT count(*) FROM sessions WHERE ended") == [(450,)]
    assert release(database).released == 0
    conserved(database)


def test_what_cannot_be_read_cannot_be_released(database: Database, clock: Clock) -> None:
    asyncio.run(deliver(database, b"[1, 2]", signed(STOP, EXPIRED)))
    report = release(database)
    assert (report.released, report.skipped) == (1, {"unreadable": 1})
    malformed = rows(database, "SELECT id::text FROM quarantine WHERE reason = 'malformed'")[0][0]
    with connect(database, application_name="test") as connection, pytest.raises(ReleaseImpossible):
        release_one(connection, LEDGER, malformed, OPERATOR)
    conserved(database)


def test_the_hour_of_the_wrong_key_is_healed_by_the_right_one_and_by_nothing_else(
    database: Database, clock: Clock
) -> None:
    right = [signed(START, FRESH), signed(STOP, FRESH)]
    forged = [signed(push(1, NOW_S, "666"), FRESH, "guess"), signed(push(1, NOW_S, "667"), EXPIRED)]
    unsigned = json.dumps(push(1, NOW_S, "668")).encode()
    statuses = asyncio.run(deliver(database, *right, *forged, unsigned, callback_keys="main:wrong"))
    assert set(statuses) == {403}
    key = CallbackKey("main", KEY)
    report = release(database, verify_with=key, dry_run=True)
    assert (report.released, report.first_position) == (2, None)
    assert rows(database, "SELECT count(*) FROM ledger_events") == [(0,)]
    report = release(database, wanted=QuarantineFilter(reason="bad_signature"), verify_with=key)
    assert (report.released, report.skipped) == (2, {"not_verified": 2})
    with connect(database, application_name="test") as connection:
        released = [event.delivery for event in reader.read_all(connection) if event.delivery.release]
    assert [(each.key, each.t_passed) for each in released] == [("main", False)] * 2
    assert rows(database, "SELECT DISTINCT sequence FROM quarantine WHERE released_at_us IS NOT NULL") == [
        (SEQUENCE,)
    ]
    conserved(database)


def test_a_key_verifies_only_what_came_within_its_window_and_the_report_says_so(
    database: Database, clock: Clock
) -> None:
    asyncio.run(
        deliver(database, signed(START, FRESH), signed(STOP, FRESH, "guess"), callback_keys="main:wrong")
    )
    too_old = CallbackKey("main", KEY, not_after_s=NOW_S - 1)
    report = release(database, verify_with=too_old)
    assert (report.released, report.skipped) == (0, {"key_not_valid_then": 1, "not_verified": 1})


def test_a_release_that_an_import_brought_in_is_not_repeated(database: Database, clock: Clock) -> None:
    asyncio.run(deliver(database, signed(START, EXPIRED), signed(STOP, EXPIRED)))
    first, second = ids(database)
    release(database)
    with connect(database, application_name="a store restored from before the release") as connection:
        connection.execute(
            "UPDATE quarantine SET released_at_us = NULL, released_by = NULL, release_reason = NULL,"
            " released_position = NULL"
        )
        connection.execute("UPDATE quarantine_usage SET rows = 2 - rows, bytes = 0 WHERE budget <> 'refused'")
        report = release_one(connection, LEDGER, first, OPERATOR)
        assert (report.released, report.skipped) == (0, {"released_before": 1})
        again = release_by_filter(connection, LEDGER, ReleaseWish(wanted=QuarantineFilter()), OPERATOR)
        assert (again.released, again.skipped) == (0, {"released_before": 1})
    assert rows(database, "SELECT count(*) FROM quarantine WHERE released_position IS NOT NULL") == [(2,)]
    assert rows(database, "SELECT count(*) FROM ledger_events WHERE topic <> 'admin-acted.v1'") == [(2,)]
    assert second != first


async def test_of_repeated_deliveries_only_the_first_is_released_and_none_that_is_believed_already(
    database: Database, clock: Clock
) -> None:
    other = push(0, NOW_S - 10, "999")
    streamless = {"event_type": 314, "callback_event": "TaskExit", "task_id": "7"}
    async with running(database) as receiver:
        await receiver.deliver(signed(START, FRESH))
        await receiver.deliver(signed(streamless, FRESH))
        receiver.project()  # these the timeline knows; what follows only the ledger does
        await receiver.deliver(signed(other, FRESH))
        for late in (START, STOP, STOP, other, STOP, streamless, streamless | {"task_id": "8"}):
            clock.now_s += 1
            await receiver.deliver(signed(late, EXPIRED))
    dry = release(database, first_only=True, dry_run=True)
    report = release(database, first_only=True)
    assert (dry.released, dry.skipped) == (report.released, report.skipped)
    assert report.released == 2
    assert report.skipped == {"believed_already": 3, "repeated": 2}
    again = release(database, first_only=True)
    assert (again.released, again.skipped) == (0, {"believed_already": 5})
    conserved(database)


def test_a_limit_stops_and_the_same_call_goes_on(database: Database, clock: Clock) -> None:
    asyncio.run(deliver(database, *(signed(push(0, NOW_S, str(number)), EXPIRED) for number in range(7))))
    assert [release(database, limit=3).released for _ in range(4)] == [3, 3, 1, 0]


async def test_a_filter_means_what_it_says(database: Database, clock: Clock) -> None:
    async with running(database) as receiver:
        for step in range(3):
            clock.now_s = NOW_S + step
            await receiver.deliver(signed(push(0, NOW_S, str(step), stream_id=f"s{step}"), EXPIRED))
        await receiver.deliver(signed(START, FRESH, "guess"))
    second = QuarantineFilter(from_us=(NOW_S + 1) * 1_000_000, to_us=(NOW_S + 2) * 1_000_000)
    assert release(database, wanted=second).released == 1
    assert release(database, wanted=QuarantineFilter(stream_id="s0")).released == 1
    assert release(database, wanted=QuarantineFilter(reason="unsigned")).released == 0
    assert rows(database, "SELECT stream_id FROM quarantine WHERE released_at_us IS NOT NULL ORDER BY 1") == [
        ("s0",),
        ("s1",),
    ]


async def test_a_released_delivery_frees_its_room_and_stays_as_evidence(
    database: Database, clock: Clock
) -> None:
    async with running(database, quarantine_signed_rows_max=1) as receiver:
        assert (await receiver.deliver(signed(START, EXPIRED))).status_code == 200
        assert (await receiver.deliver(signed(STOP, EXPIRED))).status_code == 503
        release(database)
        assert (await receiver.deliver(signed(STOP, EXPIRED))).status_code == 200
    assert rows(database, "SELECT budget, rows FROM quarantine_usage ORDER BY budget") == [
        ("refused", 0),
        ("released", 1),
        ("signed", 1),
    ]
    assert len(ids(database)) == 2
    conserved(database)


async def test_what_nobody_released_ages_out_in_batches_and_is_counted(
    database: Database, clock: Clock
) -> None:
    async with running(database) as receiver:
        for number in range(4):
            await receiver.deliver(signed(push(0, NOW_S, str(number)), EXPIRED))
        await receiver.deliver(b"no JSON")
        clock.now_s += 10 * 86_400
        await receiver.deliver(b"nor this")
    release(database, limit=1)
    retention = Retention(
        lambda: connect(database, application_name="test"),
        days_max=7,
        clock_us=lambda: int((NOW_S + 10 * 86_400) * 1_000_000),
    )
    assert retention.step() == 4
    assert retention.step() == 0
    left = rows(database, "SELECT reason, released_at_us IS NOT NULL FROM quarantine ORDER BY 1, 2")
    assert left == [("expired", True), ("malformed", False)]
    counted = counters(database)
    assert (counted["purged:expired"], counted["purged:malformed"]) == (3, 1)
    conserved(database)


@pytest.mark.parametrize(
    "theft",
    [
        "DELETE FROM quarantine",
        "UPDATE intake_counters SET count = count + 1 WHERE outcome = 'released'",
        "UPDATE intake_counters SET count = count - 1 WHERE outcome = 'received'",
    ],
)
def test_what_does_not_add_up_is_seen(database: Database, clock: Clock, theft: str) -> None:
    asyncio.run(deliver(database, signed(STOP, EXPIRED), signed(START, FRESH)))
    release(database)
    conserved(database)
    with connect(database, application_name="thief") as connection:
        connection.execute(theft.encode())
    assert findings(database)["conservation"].level == "bad"


def test_a_theft_does_not_hide_behind_an_import(database: Database, clock: Clock) -> None:
    asyncio.run(deliver(database, signed(START, FRESH), signed(STOP, EXPIRED)))
    lines = [json.dumps(push(1, NOW_S - 60, str(number))).encode() for number in range(3)]
    with connect(database, application_name="import") as connection:
        import_events(connection, LEDGER, lines, plain=True, rules=RULES, actor=OPERATOR)
    conserved(database)
    assert "3 imported" in findings(database)["conservation"].detail
    with connect(database, application_name="thief") as connection:
        connection.execute("ALTER TABLE ledger_events DISABLE TRIGGER USER")
        connection.execute("DELETE FROM ledger_events WHERE notification_id = 1")
        connection.execute("ALTER TABLE ledger_events ENABLE TRIGGER USER")
    assert findings(database)["conservation"].level == "bad"


def test_a_rebuild_passes_the_acts_of_administrators_by_as_the_live_projections_do(
    database: Database, clock: Clock
) -> None:
    asyncio.run(deliver(database, signed(START, FRESH), signed(STOP, EXPIRED)))
    release(database)
    with connect(database, application_name="test projector") as connection:
        catch_up(connection, database.schema, PROJECTIONS)
    done = rebuild(database, Order(projections=PROJECTIONS), clock_us=lambda: 1)
    assert sum(done.parked.values()) == 0
