"""`/health/ready` says whether deliveries are stored, and what else is not as it should be."""

import asyncio
import logging
import time

import httpx
import pytest

from streamledger.operations import health as health_module
from streamledger.operations.diagnose import diagnose
from streamledger.operations.troubles import LOOKED_AT_MAX
from streamledger.postgres.connection import Database, connect
from tests.integration.intake.receiver import (
    NOW_S,
    Clock,
    Running,
    clock,
    findings,
    push,
    running,
    signed,
)
from tests.integration.web.test_store_lost import away

__all__ = ["clock"]


async def ask(receiver: Running) -> httpx.Response:
    async with receiver.client() as client:
        began_s = time.monotonic()
        answer = await client.get("/health/ready")
        assert time.monotonic() - began_s < 1
        return answer


async def degraded(receiver: Running) -> dict[str, str]:
    """What else is not well, after a look."""
    with connect(receiver.database, application_name="test") as connection:
        receiver.litestar.state.health.look(connection)
    answer = await ask(receiver)
    assert answer.status_code == 200
    told = answer.json()
    assert told["status"] == ("degraded" if told["degraded"] else "ready")
    return {each["what"]: each["detail"] for each in told["degraded"]}


def test_while_the_store_is_away_ready_says_so_within_a_second_without_any_delivery(
    database: Database,
) -> None:
    async def play() -> None:
        async with running(database) as receiver:
            assert (await ask(receiver)).status_code == 200
            with away(database):
                await asyncio.sleep(0.3)  # a commit of a moment ago still counts
                at_once = await ask(receiver)
                await asyncio.sleep(4)
                known = await ask(receiver)
            for answer in (at_once, known):
                assert answer.status_code == 503
                assert "deliveries cannot be stored since 20" in answer.json()["detail"]
            assert "accepting connections" in known.json()["detail"]
            for _ in range(50):
                if (await ask(receiver)).status_code == 200:
                    return
                await asyncio.sleep(0.1)
            raise AssertionError("not ready again")

    asyncio.run(play())


async def test_a_disk_without_room_is_told_although_a_commit_still_finds_some(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(database) as receiver:
        assert (await ask(receiver)).status_code == 200
        monkeypatch.setattr(health_module, "free_bytes", lambda _: 4096)
        answer = await ask(receiver)
        assert answer.status_code == 503
        assert "the disk of the store is full, 4 KiB are free" in answer.json()["detail"]


@pytest.mark.parametrize("off_s", [720, -720])
def test_a_clock_beside_the_senders_is_told_by_ready_doctor_and_the_log_and_hinders_nothing(
    database: Database, clock: Clock, caplog: pytest.LogCaptureFixture, off_s: int
) -> None:
    async def deliver(receiver: Running, number: int, off_s: int) -> None:
        at_s = NOW_S + number
        clock.now_s = at_s + off_s
        answer = await receiver.deliver(signed(push(1, at_s, str(number + 1)), at_s + 600))
        assert answer.json() == {"code": 0}

    async def play() -> None:
        async with running(database) as receiver:
            for number in range(20):
                await deliver(receiver, number, off_s)
            receiver.project()
            for _ in range(2):
                assert f"about {abs(off_s)} s" in (await degraded(receiver))["clock"]
            with connect(database, application_name="test doctor") as connection:
                found = {each.check: each for each in diagnose(connection, clock())}
            assert found["clock"].level == "warning"
            for number in range(20, 40):
                await deliver(receiver, number, 0)
            receiver.project()
            assert await degraded(receiver) == {}

    with caplog.at_level(logging.WARNING):
        asyncio.run(play())
    lines = [record.getMessage() for record in caplog.records if "degraded" in record.getMessage()]
    assert [line.partition(":")[0] for line in lines] == [
        "degraded, though deliveries are stored",
        "no longer degraded",
    ]


async def test_a_few_late_ones_beside_many_of_one_second_say_nothing_of_the_clock(
    database: Database, clock: Clock
) -> None:
    """They share their signatures, and those set aside in the last minutes have one each."""
    async with running(database) as receiver:
        clock.now_s = NOW_S
        for number in range(20):
            await receiver.deliver(signed(push(1, NOW_S, f"late-{number}"), NOW_S - 1 - number))
        clock.now_s = NOW_S + 60
        for number in range(LOOKED_AT_MAX):
            await receiver.deliver(signed(push(1, NOW_S + 60, f"now-{number}"), NOW_S + 660))
        receiver.project()
        assert await degraded(receiver) == {}


async def test_a_read_model_that_stands_still_and_parked_events_are_told_and_hinder_nothing(
    database: Database, clock: Clock
) -> None:
    async with running(database) as receiver:
        await receiver.deliver(signed(push(1, NOW_S), NOW_S + 600))
        assert await degraded(receiver) == {}
        clock.now_s += 60
        assert await degraded(receiver) == {
            "projector": "the read model is 1 events and 60 s behind the ledger"
        }
        receiver.project()
        with connect(database, application_name="test") as connection:
            connection.execute(
                "INSERT INTO parked (projection, position, error, version, tries, parked_at_us)"
                " VALUES ('sessions', 1, 'x', 1, 1, 1)"
            )
        assert set(await degraded(receiver)) == {"parked"}
        assert findings(database)["parked"].level == "warning"
