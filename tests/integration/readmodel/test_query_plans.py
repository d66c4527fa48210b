"""Every query of the read model is answered by indexes, with plans made for its values and without them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg._queries import PostgresQuery
from psycopg.adapt import Transformer

from benchmarks.filling import LONG_SEQUENCE, fill, fill_long_stream
from streamledger.domain.events import Delivery
from streamledger.domain.forensics import DeliveryClass
from streamledger.domain.notification import Kind
from streamledger.domain.suspicion import SuspectLimits
from streamledger.ledger import reader
from streamledger.postgres.connection import Database, connect, open_pool_async
from streamledger.postgres.embedded import EmbeddedServer
from streamledger.readmodel.fold.facts import Event, fact_of
from streamledger.readmodel.moments.explaining import explain
from streamledger.readmodel.moments.moment import Asked, KnownAt
from streamledger.readmodel.moments.queries import PastQueries
from streamledger.readmodel.projections import store
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.projections.runner import INDEXES_ONLY
from streamledger.readmodel.queries.audit import AuditQueries, AuditScope
from streamledger.readmodel.queries.deliveries import DeliveryQueries
from streamledger.readmodel.queries.ledger_scan import DeliveryFilter
from streamledger.readmodel.queries.pages import PageQueries
from streamledger.readmodel.queries.rebuilds import RebuildQueries
from streamledger.readmodel.queries.recent import recent_trouble
from streamledger.readmodel.queries.sessions import Queries, SessionFilter
from streamledger.readmodel.queries.streams import StreamQueries
from tests.conftest import clone
from tests.deliveries import push_started
from tests.integration.readmodel.plans import Node, nodes

BIG_TABLES = {"sessions", "timeline", "streams", "ledger_events"}
SORTED_ROWS_MAX = 2000
NOW_S = 1_713_731_478
NOW_MS = NOW_S * 1000
STREAM = "room-007"
SEQUENCE = "3000000000000000075"  # the sixth session of that stream
LIVE_STREAM = "room-050"
LIVE_SEQUENCE = "3000000000000000509"
UNTIL_THEN = Asked(as_of_ms=NOW_MS - 900_000)
MORE_SLACK = Asked(slack_ms=60_000)

Question = Callable[[Queries, PastQueries], Awaitable[object]]
Statement = tuple[str, Any]


def listed(limit: int = 50, cursor: bool = False, **wanted: Any) -> Question:
    """The question for a list of sessions, or for its second page."""

    async def question(queries: Queries, _: PastQueries) -> object:
        page = await queries.sessions(SessionFilter(**wanted), limit)
        assert page.items
        if cursor:
            page = await queries.sessions(SessionFilter(**wanted), limit, page.next_cursor)
        return page

    return question


async def second_page_of_timeline(queries: Queries, _: PastQueries) -> object:
    page = await queries.timeline(SEQUENCE, limit=3)
    return await queries.timeline(SEQUENCE, limit=3, cursor=page.next_cursor)


async def second_page_of_streams(queries: Queries, _: PastQueries) -> object:
    page = await queries.streams(limit=3)
    return await queries.streams(limit=3, cursor=page.next_cursor)


def known_at(queries: PastQueries, sequence: str) -> Awaitable[object]:
    return queries.session(sequence, Asked(known_at=KnownAt(position=6_112)))


QUESTIONS: dict[str, Question] = {
    "sessions, newest first": listed(),
    "sessions, oldest first": listed(descending=False),
    "sessions, the next page": listed(limit=20, cursor=True),
    "sessions of a time": listed(started_from_ms=NOW_MS - 900_000, started_to_ms=NOW_MS - 600_000),
    "sessions that ended": listed(state="ended"),
    "sessions that are live": listed(state="live"),
    "sessions of a stream": listed(stream_id=STREAM),
    "sessions of a stream, the next page": listed(limit=3, stream_id=STREAM, cursor=True),
    "open sessions of a stream": listed(stream_id=LIVE_STREAM, state="live"),
    "one session": lambda queries, _: queries.session(SEQUENCE),
    "one session of a stream": lambda queries, _: queries.session(SEQUENCE, STREAM),
    "a timeline": lambda queries, _: queries.timeline(SEQUENCE),
    "a timeline, the next page": second_page_of_timeline,
    "recordings": lambda queries, _: queries.timeline(SEQUENCE, kind=Kind.RECORDING),
    "screenshots": lambda queries, _: queries.timeline(SEQUENCE, kind=Kind.SCREENSHOT),
    "streams": lambda queries, _: queries.streams(),
    "streams, the next page": second_page_of_streams,
    "live streams": lambda queries, _: queries.streams("live"),
    "one stream": lambda queries, _: queries.stream(STREAM),
    "unattributed media": lambda queries, _: StreamQueries(queries).unattributed(),
    "unattributed media of a stream": lambda queries, _: StreamQueries(queries).unattributed(STREAM),
    "notifications of a stream": lambda queries, _: StreamQueries(queries).notifications(STREAM),
    "broadcasts of a stream": lambda queries, _: StreamQueries(queries).broadcasts(STREAM, 60_000),
    "events": lambda queries, _: queries.events(20_000),
    "projections": lambda queries, _: queries.projections(),
    "a session as of a time": lambda _, past: past.session(SEQUENCE, UNTIL_THEN),
    "a session known at a position": lambda _, past: known_at(past, SEQUENCE),
    "an open session known at a position": lambda _, past: known_at(past, LIVE_SEQUENCE),
    "a long session as of a time": lambda _, past: past.session(LONG_SEQUENCE, UNTIL_THEN),
    "a timeline as of a time": lambda _, past: past.timeline(SEQUENCE, UNTIL_THEN),
    "recordings as of a time": lambda _, past: past.timeline(SEQUENCE, UNTIL_THEN, kind=Kind.RECORDING),
    "a session with another slack": lambda _, past: past.session(SEQUENCE, MORE_SLACK),
    "an open session with another slack": lambda _, past: past.session(LIVE_SEQUENCE, MORE_SLACK),
    "a long session with another slack": lambda _, past: past.session(LONG_SEQUENCE, MORE_SLACK),
    "a timeline with another slack": lambda _, past: past.timeline(SEQUENCE, MORE_SLACK),
    "an explanation with another slack": lambda _, past: explain(past, SEQUENCE, MORE_SLACK),
    "a time of receipt": lambda _, past: past.session(
        SEQUENCE, Asked(known_at=KnownAt(received_us=NOW_MS * 1000))
    ),
    "an explanation": lambda _, past: explain(past, SEQUENCE, Asked()),
    "an explanation of the past": lambda _, past: explain(past, SEQUENCE, UNTIL_THEN),
}


@pytest.fixture(scope="module")
def filled(postgres_server: EmbeddedServer, template_database: str) -> Iterator[Database]:
    """A database with ten thousand sessions and a hundred and thirty thousand timeline rows."""
    with clone(postgres_server.dsn, template_database) as database:
        with connect(database, application_name="test") as connection:
            fill(connection, database.schema, 10_000, now_s=NOW_S)
            fill_long_stream(connection, database.schema, 20_000, now_s=NOW_S)
            connection.execute("VACUUM ANALYZE")
        yield database


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Statement]:
    """Every statement that is executed, with its parameters."""
    statements: list[Statement] = []
    execute = psycopg.AsyncCursor.execute

    async def recording(self: Any, query: Any, params: Any = None, **options: Any) -> Any:
        statements.append((query, params))
        return await execute(self, query, params, **options)

    monkeypatch.setattr(psycopg.AsyncCursor, "execute", recording)
    return statements


def ask(database: Database, question: Question) -> None:
    async def answer() -> None:
        async with await open_pool_async(database, min_size=1, max_size=2, name="test") as pool:
            queries = Queries(pool, SuspectLimits(silence_ms_max=10**12), clock_ms=lambda: NOW_MS)
            await question(queries, PastQueries(queries))

    asyncio.run(answer())


def plans(database: Database, sql: str, parameters: Any) -> list[Node]:
    """The plan made for these values, and the one that is kept for all."""
    with connect(database, application_name="test") as connection:
        query = PostgresQuery(Transformer(connection))
        query.convert(sql, parameters)
        # Simple text, without parameters: the placeholders are the server's, $1 and on.
        generic = b"EXPLAIN (FORMAT JSON, GENERIC_PLAN) " + query.query
        custom = connection.execute(f"EXPLAIN (FORMAT JSON) {sql}", parameters).fetchone()  # type: ignore[arg-type]  # recorded from the code itself
        kept = connection.execute(generic).fetchone()
    assert custom is not None
    assert kept is not None
    return [custom[0][0]["Plan"], kept[0][0]["Plan"]]


def faults(plan: Node) -> list[str]:
    """Scans of whole tables, and sorts of many rows."""
    found = []
    for node in nodes(plan):
        kind, table = node["Node Type"], node.get("Relation Name")
        if kind == "Seq Scan" and table in BIG_TABLES:
            found.append(f"scans {table}")
        if kind == "Sort" and max(child["Plan Rows"] for child in node["Plans"]) > SORTED_ROWS_MAX:
            found.append(f"sorts {node['Plans'][0]['Plan Rows']} rows by {node['Sort Key']}")
    return found


def is_query(statement: Statement) -> bool:
    sql = statement[0]
    return isinstance(sql, str) and sql.lstrip().startswith(("SELECT", "WITH"))


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_query_is_answered_by_indexes(filled: Database, recorded: list[Statement], name: str) -> None:
    ask(filled, QUESTIONS[name])
    statements = [statement for statement in recorded if is_query(statement)]
    assert statements
    found = {
        sql: some
        for sql, parameters in statements
        for plan in plans(filled, sql, parameters)
        if (some := faults(plan))
    }
    assert found == {}


def test_a_scan_of_a_whole_table_and_a_sort_of_many_rows_are_seen(filled: Database) -> None:
    sql = "SELECT * FROM timeline WHERE content = %(content)s ORDER BY received_ms, at_ms"
    for plan in plans(filled, sql, {"content": ""}):
        assert faults(plan)
    (sorted_plan, _) = plans(filled, "SELECT * FROM timeline ORDER BY received_ms LIMIT 5", None)
    assert any("sorts" in fault for fault in faults(sorted_plan))


async def all_about_deliveries(queries: Queries, _: PastQueries) -> None:
    """Every filter alone, a session's, one delivery, the audit and what the pages ask."""
    deliveries = DeliveryQueries(queries.pool)
    for wanted in (
        DeliveryFilter(),
        DeliveryFilter(stream_id=STREAM),
        DeliveryFilter(sequence=SEQUENCE),
        DeliveryFilter(source_ip="192.0.2.1"),
        DeliveryFilter(key=""),
        DeliveryFilter(class_=DeliveryClass.RETRY),
        DeliveryFilter(class_=DeliveryClass.RETRY, stream_id=STREAM),
    ):
        await deliveries.deliveries(wanted)
    await deliveries.of_session(SEQUENCE, STREAM)
    await deliveries.delivery(1)
    audit = AuditQueries(queries.pool)
    await audit.report(AuditScope.of(NOW_MS - 86_400_000, NOW_MS, 0, classes=("signed_early", "replay")))
    await audit.report(AuditScope.of(NOW_MS - 86_400_000, NOW_MS, 0, stream_id=STREAM))
    pages = PageQueries(queries.pool, clock_ms=queries.now_ms)
    await pages.overview()
    await recent_trouble(queries.pool, NOW_MS - 900_000)
    await pages.streams_matching("oo", are_open=True)
    await RebuildQueries(queries.pool).latest()


def test_every_index_of_the_read_model_serves_a_question(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All questions are asked, and a late start is taken in: an index that is not looked at then is none."""
    scans = (
        "SELECT indexrelname, idx_scan FROM pg_stat_user_indexes"
        " WHERE schemaname = current_schema() AND relname = ANY(%s)"
    )
    tables = ["sessions", "session_folds", "timeline", "streams"]  # of the others: test_delivery_plans
    with connect(filled, application_name="test") as connection:
        before = dict(connection.execute(scans, (tables,)).fetchall())
    for question in (*QUESTIONS.values(), all_about_deliveries):
        ask(filled, question)
    monkeypatch.setattr(store, "WHOLE_SESSIONS_MAX", 0)
    with connect(filled, application_name="test") as connection:
        for statement in INDEXES_ONLY:
            connection.execute(statement)
        events = [as_event(connection, "push-started.v1"), as_event(connection, "screenshot-created.v1")]
        late = push_started(STREAM, "late", NOW_S - 900, stream_param="line=main")
        events.append(fact_of(10**12, Delivery(body=msgspec.json.encode(late), received_at_us=NOW_MS * 1000)))
        with connection.transaction(force_rollback=True):
            for each in PROJECTIONS:
                each(connection, filled.schema).take_in(events)
    with connect(filled, application_name="test") as connection:
        after = dict(connection.execute(scans, (tables,)).fetchall())
    assert [name for name in sorted(after) if after[name] == before[name]] == []


def as_event(connection: psycopg.Connection[Any], topic: str) -> Event:
    """One delivery of the ledger, delivered once more."""
    row = connection.execute(
        "SELECT notification_id FROM ledger_events WHERE topic = %s LIMIT 1", (topic,)
    ).fetchone()
    assert row is not None
    (event,) = reader.read_at(connection, [row[0]])
    return fact_of(10**12 - row[0], event.delivery)
