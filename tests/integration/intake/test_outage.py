"""The outage drill: fifteen minutes away under the provider's own schedules, on a clock that is played."""

import asyncio
import heapq
from typing import Any

import pytest
from click.testing import CliRunner

from streamledger.cli.main import cli
from streamledger.domain.notification import Kind
from streamledger.postgres.connection import Database
from streamledger.postgres.schema import migrate
from streamledger.simulator.delivery import Call, Faults, Signing, body_of, plan, retry_schedule, t_of
from streamledger.simulator.history import generate, randomness
from streamledger.simulator.truth import Shape
from tests.integration.intake.receiver import (
    KEY,
    NOW_S,
    Clock,
    Running,
    clock,
    conserved,
    counters,
    running,
)

__all__ = ["clock"]

STARTS_AT_MS = NOW_S * 1000
AWAY_MS = (STARTS_AT_MS + 600_000, STARTS_AT_MS + 1_500_000)
REPLY_TIMEOUT_MS = 20_000
SHAPE = Shape(streams=2, sessions_per_stream=3, duration_s=2400, screenshot_interval_s=60)


def calls() -> tuple[Call, ...]:
    """What the provider calls, each fact once."""
    history = generate(SHAPE, starts_at_ms=STARTS_AT_MS, random=randomness(7, STARTS_AT_MS, "history"))
    return plan(history.facts, Faults(), random=randomness(7, STARTS_AT_MS, "delivery"))


async def play(
    receiver: Running, clock: Clock, planned: tuple[Call, ...], signing: Signing, away_ms: tuple[int, int]
) -> set[int]:
    """Call until acknowledged or given up, as the schedule of each type says; the numbers of those given up.

    A receiver that is away does not answer at all, so each try lasts until the reply's time-out.
    """
    due = [(call.at_ms, call.number, 0) for call in planned]
    by_number = {call.number: call for call in planned}
    first_t: dict[int, int] = {}
    given_up = set()
    heapq.heapify(due)
    while due:
        at_ms, number, retries = heapq.heappop(due)
        call = by_number[number]
        if retries == 0 or signing.renew_t:
            first_t[number] = t_of(call, signing, at_ms // 1000)
        if not away_ms[0] <= at_ms < away_ms[1]:
            clock.now_s = at_ms / 1000
            answer = await receiver.deliver(body_of(call, signing, first_t[number]))
            assert answer.status_code == 200
            continue
        schedule = retry_schedule(call.event_type)
        if retries == schedule.retries:
            given_up.add(number)
        else:
            again_ms = at_ms + REPLY_TIMEOUT_MS + schedule.apart_s * 1000
            heapq.heappush(due, (again_ms, number, retries + 1))
    return given_up


async def answers(receiver: Running) -> dict[str, Any]:
    """Every session with its timeline, without what tells when and where it was received."""
    receiver.project()
    found = {}
    async with receiver.client() as client:
        for session in (await client.get("/v1/sessions", params={"limit": 500})).json()["items"]:
            path = f"/v1/sessions/{session['sequence']}/timeline"
            entries = (await client.get(path, params={"limit": 500})).json()["items"]
            for entry in entries:
                for name in ("position", "received_at", "delay_ms"):
                    del entry[name]
            del session["position"]
            if session["duration_source"] == "running":
                del session["duration_ms"]  # it grows while the test looks
            found[session["sequence"]] = [session, entries]
    return found


@pytest.mark.parametrize("renew_t", [False, True], ids=["t kept", "t renewed"])
async def test_after_fifteen_minutes_away_one_command_gives_the_sessions_that_would_have_been(
    database: Database, empty_database: Database, clock: Clock, renew_t: bool
) -> None:
    migrate(empty_database)
    signing = Signing(key=KEY, renew_t=renew_t)
    planned = calls()
    async with running(database) as receiver, running(empty_database) as never_away:
        given_up = await play(receiver, clock, planned, signing, AWAY_MS)
        kinds = {call.kind for call in planned if call.number in given_up}
        assert kinds <= {Kind.SCREENSHOT}, "the provider gives up a screenshot after 700 s, a push after 960"
        arrived = tuple(call for call in planned if call.number not in given_up)
        assert len(arrived) == counters(database)["received"], "nothing that came is lost"
        await play(never_away, clock, arrived, signing, (0, 0))
        expected = await answers(never_away)
        expired = counters(database).get("quarantine:expired", 0)
        if renew_t:
            assert expired == 0
        else:
            assert expired > 0
            assert await answers(receiver) != expected
        command = ["quarantine", "release", "--reason", "expired", "--because", "fifteen minutes away"]
        released = await asyncio.to_thread(
            CliRunner().invoke, cli, [*command, "--database-url", database.dsn]
        )
        assert released.exit_code == 0, released.output
        assert f"released: {expired}" in released.output
        assert await answers(receiver) == expected
    conserved(database)
