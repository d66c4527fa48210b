"""Time travel on the real store: what was known by a position is what a ledger that ended there said."""

import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, TypeVar

import msgspec
import psycopg
import pytest

from streamledger.domain.answers import Session, TimelineEntry
from streamledger.domain.attributed import SLACK_MS
from streamledger.domain.errors import (
    SessionAmbiguous,
    SessionUnknown,
    SessionUnknownThen,
)
from streamledger.domain.events import Delivery
from streamledger.domain.explanation import AttributionExplanation, FieldExplanation
from streamledger.domain.instants import instant_ms, instant_us, parse_instant_ms
from streamledger.domain.notification import Kind
from streamledger.domain.suspicion import SuspectLimits
from streamledger.ledger import reader
from streamledger.postgres.connection import Database, open_pool_async
from streamledger.readmodel.moments import queries as past_queries
from streamledger.readmodel.moments.explaining import explain, explain_now
from streamledger.readmodel.moments.moment import NO_TIME_MS, Asked, KnownAt, Moment, parse_known_at
from streamledger.readmodel.moments.page import look_back
from streamledger.readmodel.moments.queries import PastQueries
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.projections.runner import catch_up
from streamledger.readmodel.queries.sessions import Queries, SessionFilter
from streamledger.tencent.reader import read_notification
from tests.moments import SILENCE_MS_MAX, STARTS_AT_MS, append_all, connect_to, disordered, naive
from tests.property.test_receipts_in_any_order import deliveries as received_in_any_order
from tests.received import BEGAN_S, SCHEMA, keep, received, screenshot, started, stopped

SEEDS = range(int(os.environ.get("STREAMLEDGER_TRAVEL_SEEDS", "2")))
NOW_MS = STARTS_AT_MS + 400_000

Answer = tuple[Session, list[TimelineEntry], list[TimelineEntry]]
Explained = tuple[list[FieldExplanation], list[AttributionExplanation]]
Answers = dict[str, Answer | str]
Found = TypeVar("Found")


@asynccontextmanager
async def open_queries(database: Database) -> AsyncIterator[Queries]:
    async with await open_pool_async(database, min_size=1, max_size=2, name="test") as pool:
        yield Queries(pool, SuspectLimits(silence_ms_max=SILENCE_MS_MAX), clock_ms=lambda: NOW_MS)


async def told(answer: Callable[[], Awaitable[Found]]) -> Found | str:
    """The answer, or how it is refused: unknown, be it now or then, and ambiguous."""
    try:
        return await answer()
    except (SessionUnknown, SessionUnknownThen):
        return "unknown"
    except SessionAmbiguous:
        return "ambiguous"


async def now_of(queries: Queries, sequence: str) -> Answer | str:
    async def answer() -> Answer:
        return (
            await queries.session(sequence),
            (await queries.timeline(sequence, limit=500)).items,
            (await queries.timeline(sequence, kind=Kind.SCREENSHOT, limit=500)).items,
        )

    return await told(answer)


async def then_of(past: PastQueries, sequence: str, asked: Asked) -> Answer | str:
    async def answer() -> Answer:
        return (
            await past.session(sequence, asked),
            (await past.timeline(sequence, asked, limit=500)).items,
            (await past.timeline(sequence, asked, kind=Kind.SCREENSHOT, limit=500)).items,
        )

    return await told(answer)


async def explained(past: PastQueries, sequence: str, asked: Asked) -> Explained | str:
    """Every field and every medium with the pushes that were considered, of a moment or of now."""

    async def answer() -> Explained:
        found = await explain(past, sequence, asked, limit=500)
        return found.fields, found.attributions.items

    return await told(answer)


def push_error(stream_id: str, sequence: str, at_s: int) -> dict[str, Any]:
    """Event type 321."""
    return {"event_type": 321, "stream_id": stream_id, "sequence": sequence, "data_time": at_s * 1000}


@pytest.mark.parametrize("seed", SEEDS)
async def test_what_was_known_at_each_position_is_what_a_ledger_that_ended_there_says(
    database: Database, seed: int
) -> None:
    await compare_with_shorter_ledgers(database, disordered(seed, streams=1 + seed % 2))


@pytest.mark.parametrize("seed", range(4))
async def test_the_same_where_an_earlier_receipt_takes_a_time_away_that_was_told_before(
    database: Database, seed: int
) -> None:
    await compare_with_shorter_ledgers(database, received_in_any_order(random.Random(seed)))


async def compare_with_shorter_ledgers(database: Database, deliveries: Sequence[Delivery]) -> None:
    """Take these in one by one, and hold what was said of each session then to what is said of then."""
    sequences = sorted(
        {sequence for each in deliveries if (sequence := read_notification(each.body).sequence)}
    )
    said: list[tuple[int, Answers, dict[str, Explained | str]]] = []
    async with open_queries(database) as queries:
        past = PastQueries(queries)
        with connect_to(database) as connection:
            for delivery in deliveries:
                position = append_all(connection, database, [delivery])
                asked_why = sequences if position % 5 == 0 else []  # it takes as long as all else
                why = {name: await explained(past, name, Asked()) for name in asked_why}
                said.append((position, {name: await now_of(queries, name) for name in sequences}, why))
        for position, answers, why in said:
            asked = Asked(known_at=KnownAt(position=position))
            for sequence, answer in answers.items():
                assert await then_of(past, sequence, asked) == answer, (position, sequence)
                if sequence in why:
                    assert await explained(past, sequence, asked) == why[sequence], (position, sequence)


@pytest.mark.parametrize("seed", SEEDS)
async def test_at_any_two_times_with_any_slack_the_answer_is_that_of_the_whole_history_up_to_them(
    database: Database, seed: int
) -> None:
    deliveries = disordered(seed + 1000)
    sequences = sorted(
        {sequence for each in deliveries if (sequence := read_notification(each.body).sequence)}
    )
    drawn = random.Random(seed)
    with connect_to(database) as connection:
        append_all(connection, database, deliveries)
        events = list(reader.read_all(connection))
    positions = [event.position for event in events]
    async with open_queries(database) as queries:
        past = PastQueries(queries)
        for _ in range(25):
            position = drawn.choice([*positions, positions[-1], positions[-1]])
            as_of_ms = drawn.choice([None, STARTS_AT_MS + drawn.randint(-10, 300) * 1000])
            slack_ms = drawn.choice([None, None, 0, 1000, 30_000, 90_000, 600_000])
            asked = Asked(as_of_ms=as_of_ms, known_at=KnownAt(position=position), slack_ms=slack_ms)
            moment = Moment(
                position=position,
                as_of_ms=NO_TIME_MS if as_of_ms is None else as_of_ms,
                slack_ms=SLACK_MS if slack_ms is None else slack_ms,
            )
            for sequence in sequences:
                expected = naive(events, moment, sequence, NOW_MS if as_of_ms is None else as_of_ms)
                answer = await then_of(past, sequence, asked)
                if isinstance(answer, str):
                    assert expected is None, (seed, asked, sequence)
                else:
                    assert (answer[0], answer[1]) == expected, (seed, asked, sequence)


async def test_a_time_of_receipt_stands_for_the_last_position_received_by_it(database: Database) -> None:
    deliveries = disordered(1)
    sequence = next(found for each in deliveries if (found := read_notification(each.body).sequence))
    with connect_to(database) as connection:
        append_all(connection, database, deliveries)
        positions = [event.position for event in reader.read_all(connection)]
    async with open_queries(database) as queries:
        past = PastQueries(queries)
        for position, delivery in zip(positions, deliveries, strict=True):
            at = Asked(known_at=parse_known_at(instant_us(delivery.received_at_us)))
            by_position = Asked(known_at=KnownAt(position=position))
            assert await then_of(past, sequence, at) == await then_of(past, sequence, by_position)


async def test_no_switch_of_a_rebuild_comes_between_a_moments_snapshot_and_its_tables(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliveries = disordered(1)
    sequence = next(found for each in deliveries if (found := read_notification(each.body).sequence))
    taken_in = past_queries._taken_in
    tries = []

    async def switch_meanwhile(connection: psycopg.AsyncConnection[Any]) -> int:
        found = await taken_in(connection)
        with connect_to(database) as other:
            other.execute("SET lock_timeout = '20ms'")
            for table in ("sessions", "timeline", "streams"):
                with pytest.raises(psycopg.errors.LockNotAvailable):
                    other.execute(f"ALTER TABLE {table} RENAME TO {table}_was1")
                tries.append(table)
        return found

    with connect_to(database) as connection:
        append_all(connection, database, deliveries)
        head = reader.head(connection)
    monkeypatch.setattr(past_queries, "_taken_in", switch_meanwhile)
    async with open_queries(database) as queries:
        assert isinstance(
            await then_of(PastQueries(queries), sequence, Asked(known_at=KnownAt(position=head))), tuple
        )
    assert tries


async def test_pages_of_a_past_timeline_put_together_are_the_whole(database: Database) -> None:
    deliveries = disordered(3)
    sequence = next(found for each in deliveries if (found := read_notification(each.body).sequence))
    with connect_to(database) as connection:
        last = append_all(connection, database, deliveries)
    async with open_queries(database) as queries:
        past = PastQueries(queries)
        asked = Asked(known_at=KnownAt(position=last - 5))
        whole = (await past.timeline(sequence, asked, limit=500)).items
        paged: list[TimelineEntry] = []
        cursor = None
        while True:
            page = await past.timeline(sequence, asked, limit=2, cursor=cursor)
            paged += page.items
            cursor = page.next_cursor
            if cursor is None:
                break
        session = await past.session(sequence, asked)
        shown = await look_back(
            past, sequence, asked, session.stream_id, limit=2, cursor=None, explained=True
        )
        assert shown.session == session
        assert shown.table == await past.timeline(sequence, asked, limit=2)
        assert [entry.position for entry in shown.picture.entries] == [each.position for each in whole]
        assert shown.picture.screenshots + shown.picture.others == len(whole)
        assert shown.fields == (await explain(past, sequence, asked)).fields
        assert shown.position == last - 5
        assert len(whole) > 2
        assert msgspec.to_builtins(paged) == msgspec.to_builtins(whole)


async def test_what_is_known_now_is_explained_as_at_the_last_moment(database: Database) -> None:
    deliveries = disordered(3)
    with connect_to(database) as connection:
        append_all(connection, database, deliveries)
    async with open_queries(database) as queries:
        past = PastQueries(queries)
        for session in (await queries.sessions(SessionFilter())).items:
            explained = await explain(past, session.sequence, Asked(), session.stream_id)
            assert await explain_now(past, session) == explained.fields


async def test_a_push_that_was_too_far_is_named_now_as_it_is_when_it_has_changed_since(
    database: Database,
) -> None:
    bodies = [stopped("room-1", "0", BEGAN_S - 43), screenshot("room-1", BEGAN_S), started("room-1", "2")]
    error = push_error("room-1", "0", BEGAN_S - 100)
    async with open_queries(database) as queries:
        past = PastQueries(queries)
        with connect_to(database) as connection:
            keep(connection, [received(body, BEGAN_S + 60) for body in bodies])
            position = catch_up(connection, SCHEMA, PROJECTIONS)
            said = await explained(past, "2", Asked())
            keep(connection, [received(error, BEGAN_S + 61)])
            catch_up(connection, SCHEMA, PROJECTIONS)
        assert isinstance(said, tuple)
        outcomes = [(each.sequence, each.outcome) for each in said[1][0].candidates]
        assert outcomes == [("2", "chosen"), ("0", "too_far")]
        assert await explained(past, "2", Asked(known_at=KnownAt(position=position))) == said


ROOM = "room-1"
BESIDE = [
    started(ROOM, "s", BEGAN_S + 100, stream_param="u=1"),
    stopped(ROOM, "s", BEGAN_S + 200),
    screenshot(ROOM, BEGAN_S + 150, stream_param="u=1"),
]
LATER = [BEGAN_S + 1000 * number for number in range(1, 13)]
AFAR: dict[str, tuple[list[dict[str, Any]], int, int]] = {
    "the eighth later open push ends one": (
        [started(ROOM, "far", BEGAN_S), *(started(ROOM, f"{at_s}", at_s) for at_s in LATER)],
        *(BEGAN_S, BEGAN_S + 8000),
    ),
    "the eighth after its last sign does": (
        [
            started(ROOM, "far", BEGAN_S),
            push_error(ROOM, "far", BEGAN_S + 2500),
            *(started(ROOM, f"{at_s}", at_s) for at_s in LATER),
        ],
        *(BEGAN_S, BEGAN_S + 10_000),
    ),
    "what had ended before an unknown start begins it": (
        [
            *(started(ROOM, "before", BEGAN_S - 6000), stopped(ROOM, "before", BEGAN_S - 5000)),
            stopped(ROOM, "far", BEGAN_S + 180),
        ],
        *(BEGAN_S - 5000, BEGAN_S + 180),
    ),
}


@pytest.mark.parametrize("name", AFAR)
async def test_what_bounds_a_push_from_afar_is_looked_at_now_and_of_the_past(
    database: Database, name: str
) -> None:
    told, from_s, until_s = AFAR[name]
    bodies = [*BESIDE, *told]
    others = sorted({body["sequence"] for body in told} - {"far"})
    async with open_queries(database) as queries:
        past = PastQueries(queries)
        with connect_to(database) as connection:
            keep(connection, [received(body, BEGAN_S + 20_000) for body in bodies])
            position = catch_up(connection, SCHEMA, PROJECTIONS)
            for asked in (Asked(), Asked(known_at=KnownAt(position=position))):
                (medium,) = (await explain(past, "s", asked, ROOM)).attributions.items
                (far,) = (each for each in medium.candidates if each.sequence == "far")
                assert (far.from_at, far.until_at) == (instant_ms(from_s * 1000), instant_ms(until_s * 1000))
                since = [push_error(ROOM, other, BEGAN_S + 15_000) for other in others]
                keep(connection, [received(body, BEGAN_S + 20_001) for body in since])
                catch_up(connection, SCHEMA, PROJECTIONS)


async def test_a_picture_of_the_past_is_thinned_evenly_among_what_was_known_then(database: Database) -> None:
    bodies = [started("room-1", "1"), *(screenshot("room-1", BEGAN_S + number) for number in range(1, 501))]
    bodies += [stopped("room-1", "1", BEGAN_S + 600)]
    with connect_to(database) as connection:
        keep(connection, [received(body, BEGAN_S + 700) for body in bodies])
        catch_up(connection, SCHEMA, PROJECTIONS)
        positions = [event.position for event in reader.read_all(connection)]
    async with open_queries(database) as queries:
        past = PastQueries(queries)
        for known, least in ((51, 50), (101, 100), (401, 60), (501, 60)):
            asked = Asked(known_at=KnownAt(position=positions[known - 1]))
            shown = await look_back(past, "1", asked, "room-1", limit=1, cursor=None, explained=False)
            at_s = [
                parse_instant_ms(entry.at) // 1000 - BEGAN_S
                for entry in shown.picture.entries
                if entry.kind == "screenshot"
            ]
            assert (shown.picture.screenshots, shown.picture.others) == (known - 1, 1)
            assert (at_s[0], at_s[-1]) == (1, known - 1)
            assert len(at_s) == least
            assert max(after - before for before, after in pairwise(at_s)) <= 2 * known / least
