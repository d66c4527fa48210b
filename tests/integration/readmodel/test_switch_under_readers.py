"""Readers while a rebuild switches: they lock in its order, and each answer sees one side of it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from psycopg import AsyncConnection
from psycopg.errors import LockNotAvailable

from streamledger.domain.answers import TimelineEntry
from streamledger.domain.suspicion import SuspectLimits
from streamledger.postgres.connection import Database, StorePool, connect, connect_async, open_pool_async
from streamledger.readmodel.moments.explaining import explain
from streamledger.readmodel.moments.growth import deliveries_of
from streamledger.readmodel.moments.moment import Asked, KnownAt
from streamledger.readmodel.moments.queries import PastQueries
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.projections.runner import catch_up
from streamledger.readmodel.queries.audit import AuditQueries, AuditScope
from streamledger.readmodel.queries.deliveries import DeliveryQueries
from streamledger.readmodel.queries.ledger_scan import DeliveryFilter
from streamledger.readmodel.queries.pages import PageQueries
from streamledger.readmodel.queries.sessions import Queries, SessionFilter
from streamledger.readmodel.queries.streams import StreamQueries
from streamledger.readmodel.rebuild.generation import tables_of
from tests.received import BEGAN_S, SCHEMA, keep, received, screenshot, started, stopped

TABLES = tables_of(PROJECTIONS)
"""In the order in which a switch locks them."""
NOW_MS = (BEGAN_S + 600) * 1000
SOME_TIME = "1970-01-01T00:00:00Z"
ENTRIES = [
    TimelineEntry(
        at=SOME_TIME,
        until=None,
        kind="screenshot",
        position=position,
        received_at=SOME_TIME,
        delay_ms=0,
        deliveries=1,
        conflicts=0,
        attribution=None,
        detail={},
    )
    for position in (1, 2, 3)
]
T = TypeVar("T")

WAITING_SQL = """
SELECT ARRAY(SELECT held.relation::regclass::text FROM pg_locks AS held
             WHERE held.pid = waiting.pid AND held.granted AND held.relation IS NOT NULL)
FROM pg_locks AS waiting WHERE NOT waiting.granted AND waiting.relation = %s::regclass
"""


class Asking:
    """Everything that the pages and the JSON interface ask of the tables that a rebuild switches."""

    def __init__(self, pool: StorePool) -> None:
        queries = Queries(pool, SuspectLimits(silence_ms_max=60_000), clock_ms=lambda: NOW_MS)
        pages = PageQueries(pool, clock_ms=lambda: NOW_MS)
        streams, past = StreamQueries(queries), PastQueries(queries)
        deliveries, audit = DeliveryQueries(pool), AuditQueries(pool, lambda: NOW_MS)
        then = Asked(known_at=KnownAt(position=3))
        self.questions: dict[str, Callable[[], Awaitable[Any]]] = {
            "sessions": lambda: queries.sessions(SessionFilter()),
            "live sessions": lambda: queries.sessions(SessionFilter(state="live")),
            "suspect sessions": lambda: queries.sessions(SessionFilter(state="suspect")),
            "session": lambda: queries.session("1"),
            "timeline": lambda: queries.timeline("1"),
            "streams": queries.streams,
            "live streams": lambda: queries.streams("live"),
            "stream": lambda: queries.stream("room"),
            "projections": queries.projections,
            "broadcasts": lambda: streams.broadcasts("room", 60_000),
            "unattributed": lambda: streams.unattributed("room"),
            "past session": lambda: past.session("1", then),
            "past timeline": lambda: past.timeline("1", then),
            "explanation": lambda: explain(past, "1", Asked()),
            "overview": pages.overview,
            "health": lambda: pages.health([("room", "1")]),
            "picture": lambda: pages.picture("room", "1", 3),
            "growth": lambda: deliveries_of(pool, ENTRIES),
            "matching": lambda: pages.streams_matching("oo"),
            "owners": lambda: pages.streams_of("1"),
            "deliveries": lambda: deliveries.deliveries(DeliveryFilter()),
            "delivery": lambda: deliveries.delivery(1),
            "session's deliveries": lambda: deliveries.of_session("1"),
            "audit": lambda: audit.report(AuditScope.of(None, None, NOW_MS)),
            "audit of a stream": lambda: audit.report(AuditScope.of(None, None, NOW_MS, stream_id="room")),
        }


@pytest.fixture
def filled(database: Database) -> Database:
    """A session that has ended, one that has not, media, and one delivery that came twice."""
    bodies = [started("room", "1"), *(screenshot("room", BEGAN_S + number) for number in range(1, 4))]
    bodies += [stopped("room", "1", BEGAN_S + 100), started("room", "2", BEGAN_S + 200), started("room", "1")]
    with connect(database, application_name="test") as connection:
        keep(connection, [received(body, BEGAN_S + second) for second, body in enumerate(bodies)])
        catch_up(connection, SCHEMA, PROJECTIONS)
    return database


def test_every_question_locks_tables_in_the_order_in_which_a_switch_does(filled: Database) -> None:
    """Else a switch that has one table and a reader that has the other wait for each other, until PostgreSQL
    ends one of both: a visitor would be told that the store is away."""

    async def asked(pool: StorePool, holder: AsyncConnection, watch: AsyncConnection) -> list[str]:
        wrong = []
        for name, question in Asking(pool).questions.items():
            # The second time around statements are prepared: then locks are taken in the order of a plan.
            for table in TABLES * 2:
                await holder.execute(f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
                task = asyncio.ensure_future(question())
                held = await held_while_waiting_for(table, task, watch)
                await holder.execute("ROLLBACK")
                await task
                late = [each for each in held if TABLES.index(each) > TABLES.index(table)]
                wrong += [f"{name} waits for {table} with {each} locked" for each in late]
        return wrong

    assert "\n".join(beside(filled, asked)) == ""


@pytest.mark.parametrize(
    ("question", "read_late", "switched"),
    [
        ("timeline", "ledger_events", "timeline"),
        ("delivery", "ledger_events", "notifications"),
        ("audit", "quarantine", "notifications"),
    ],
)
def test_an_answer_of_several_statements_sees_one_side_of_a_switch(
    filled: Database, question: str, read_late: str, switched: str
) -> None:
    """A rebuild up to an earlier position takes rows away: what was found would lack what belongs to it."""

    async def asked(pool: StorePool, holder: AsyncConnection, watch: AsyncConnection) -> None:
        await holder.execute(f"BEGIN; LOCK TABLE {read_late} IN ACCESS EXCLUSIVE MODE".encode())
        task = asyncio.ensure_future(Asking(pool).questions[question]())
        await held_while_waiting_for(read_late, task, watch)
        with pytest.raises(LockNotAvailable):
            await watch.execute(f"BEGIN; LOCK TABLE {switched} IN ACCESS EXCLUSIVE MODE NOWAIT".encode())
        await holder.execute("ROLLBACK")
        await task

    beside(filled, asked)


def beside(
    database: Database, asked: Callable[[StorePool, AsyncConnection, AsyncConnection], Awaitable[T]]
) -> T:
    """What is asked over a pool of one connection, with two more that hold locks and watch them."""

    async def with_connections() -> T:
        async with (
            await open_pool_async(database, min_size=1, max_size=1, name="test") as pool,
            await connect_async(database, application_name="holder") as holder,
            await connect_async(database, application_name="watch") as watch,
        ):
            return await asked(pool, holder, watch)

    return asyncio.run(with_connections())


async def held_while_waiting_for(table: str, asked: asyncio.Future[Any], watch: AsyncConnection) -> list[str]:
    """The switched tables that the question has locked when it comes to this one; none if it never does."""
    while not asked.done():
        row = await (await watch.execute(WAITING_SQL, (table,))).fetchone()
        if row is not None:
            return [name for name in row[0] if name in TABLES]
    return []
