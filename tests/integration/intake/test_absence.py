"""What had to wait while nobody was there is believed, and nothing else that comes late."""

import asyncio
from typing import Any

import httpx
import pytest

from streamledger.domain.notification import Kind
from streamledger.ledger.absence import Absence, beat
from streamledger.ledger.reader import read_all
from streamledger.operations import absences, health
from streamledger.operations.absences import is_excused
from streamledger.postgres.connection import Database, connect
from streamledger.postgres.schema import migrate
from streamledger.simulator.delivery import Signing
from tests.integration.intake.receiver import (
    KEY,
    NOW_S,
    Clock,
    Running,
    clock,
    conserved,
    counters,
    push,
    rows,
    running,
    signed,
)
from tests.integration.intake.test_outage import STARTS_AT_MS, answers, calls, play

__all__ = ["clock"]

US = 1_000_000
AWAY_MS = (STARTS_AT_MS + 600_000, STARTS_AT_MS + 1_320_000)
AWAY = [Absence(1000 * US, 1700 * US)]


@pytest.mark.parametrize(
    ("event_type", "signed_s", "now_s", "excused"),
    [
        (1, 1000, 1701, True),  # signed as the absence began, tried again when it was over
        (1, 1000, 1990, True),  # its last try, with the margin
        (1, 1000, 1991, False),
        (1, 40, 1030, True),  # a whole schedule before the absence
        (1, 39, 1029, False),
        (1, 1700, 2690, True),
        (1, 1701, 2400, False),  # signed when somebody was there again
        (200, 1000, 1730, True),  # a screenshot's schedule is shorter
        (200, 1000, 1731, False),
    ],
)
def test_what_is_signed_before_or_in_an_absence_is_believed_while_its_schedule_lasts(
    event_type: int, signed_s: int, now_s: int, excused: bool
) -> None:
    assert is_excused(event_type, str(signed_s + 600), now_s * US, AWAY) is excused
    assert not is_excused(event_type, str(signed_s + 600), now_s * US, [])


def test_the_first_beat_and_short_silences_are_no_absence_and_any_node_is_there(database: Database) -> None:
    with connect(database, application_name="test") as one, connect(database, application_name="test") as two:
        assert beat(one, 1000 * US) == []
        assert beat(two, 1030 * US) == []
        assert beat(one, 1020 * US) == []  # a clock behind the other takes nothing back
        assert beat(one, 1061 * US) == [Absence(1030 * US, 1061 * US)]
        assert beat(two, 1062 * US) == [Absence(1030 * US, 1061 * US)]
        assert beat(two, 10_000 * US)[-1] == Absence(1062 * US, 10_000 * US)


async def test_after_an_outage_of_twelve_minutes_the_retries_are_believed_without_a_hand(
    database: Database, clock: Clock
) -> None:
    async def deliver(sequence: str, signed_s: int, believe: bool = True) -> None:
        async with running(database, believe_after_absence=believe) as receiver:
            answer = await receiver.deliver(signed(push(1, signed_s, sequence), signed_s + 600))
            assert answer.json() == {"code": 0}

    await deliver("1", NOW_S)
    clock.now_s = NOW_S + 720
    await deliver("2", NOW_S + 60, believe=False)  # who does not want it
    await deliver("3", NOW_S + 60)
    await deliver("4", NOW_S - 400)  # its schedule is over: a captured one
    assert counters(database)["quarantine:expired"] == 2
    assert rows(database, "SELECT sequence FROM quarantine ORDER BY sequence") == [("2",), ("4",)]
    conserved(database)


async def test_an_expired_delivery_is_neither_believed_nor_set_aside_while_the_store_cannot_tell(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.integration.web.test_store_lost import away

    looks = []
    look = absences.Absences.look

    async def counted(self: absences.Absences) -> None:
        looks.append(1)
        await look(self)

    async with running(database, believe_after_absence=True) as receiver:
        monkeypatch.setattr(absences.Absences, "look", counted)
        await asyncio.sleep(1.1)
        with away(database):
            late = signed(push(1, NOW_S - 700), NOW_S - 100)
            assert (await receiver.deliver(late)).status_code == 503
            assert looks == [1]
            assert (await receiver.deliver(signed(push(1, NOW_S), NOW_S + 600))).status_code == 503
            assert (await receiver.deliver(late)).status_code == 503
            assert looks == [1], "known to be gone, and yet looked for"
        clock.now_s += 40
        await asyncio.sleep(1.1)
        for _ in range(50):
            if (await receiver.deliver(late)).status_code == 200:
                break
            await asyncio.sleep(0.1)
    assert rows(database, "SELECT count(*) FROM ledger_events") == [(1,)]
    assert rows(database, "SELECT count(*) FROM quarantine") == [(0,)]
    conserved(database)


class Beating:
    """A receiver whose heartbeats keep pace with the clock that is played, but for the time away."""

    def __init__(self, receiver: Running, clock: Clock) -> None:
        self._receiver = receiver
        self._clock = clock
        self._beaten_s = STARTS_AT_MS // 1000

    async def deliver(self, body: bytes) -> httpx.Response:
        with connect(self._receiver.database, application_name="test") as connection:
            while self._beaten_s + 20 < self._clock.now_s:
                self._beaten_s += 20
                if not AWAY_MS[0] <= self._beaten_s * 1000 < AWAY_MS[1]:
                    beat(connection, self._beaten_s * US)
        return await self._receiver.deliver(body)


async def test_an_outage_under_the_providers_schedule_leaves_every_session_as_without_it(
    database: Database, empty_database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve minutes, with the first `t` on every retry, on a clock that is played, without a release."""
    monkeypatch.setattr(absences, "LOOK_S", 0.0)
    monkeypatch.setattr(health, "WATCH_S", 3600.0)  # its beats know nothing of this clock's pace
    migrate(empty_database)
    signing = Signing(key=KEY)
    planned = calls()
    clock.now_s = STARTS_AT_MS / 1000
    async with (
        running(database, believe_after_absence=True) as receiver,
        running(empty_database) as never_away,
    ):
        beating: Any = Beating(receiver, clock)
        given_up = await play(beating, clock, planned, signing, AWAY_MS)
        assert {call.kind for call in planned if call.number in given_up} <= {Kind.SCREENSHOT}
        assert counters(database)["ledger"] == len(planned) - len(given_up) == counters(database)["received"]
        arrived = tuple(call for call in planned if call.number not in given_up)
        await play(never_away, clock, arrived, signing, (0, 0))
        assert await answers(receiver) == await answers(never_away)
    with connect(database, application_name="test") as connection:
        late = [event for event in read_all(connection) if event.delivery.believed.late == "away"]
    assert late, "nothing came after its t"
    conserved(database)
