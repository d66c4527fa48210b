"""The one place where the corpus touches the program: loads a ledger, projects, rebuilds, asks, reads."""

import itertools
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from streamledger.domain.errors import MalformedBody, StreamledgerError
from streamledger.domain.events import event_name, originator_of
from streamledger.domain.explanation import Candidate
from streamledger.domain.instants import instant_ms, parse_instant_ms
from streamledger.domain.notification import Kind
from streamledger.domain.suspicion import SuspectLimits
from streamledger.ledger import portable, reader
from streamledger.ledger.application import Ledger, environment
from streamledger.operations.imported_delivery import ImportRules, event_of
from streamledger.operations.rebuild import Order
from streamledger.operations.rebuild import rebuild as rebuild_projections
from streamledger.postgres.connection import Database, connect, open_pool_async
from streamledger.postgres.embedded import start_embedded
from streamledger.postgres.schema import migrate
from streamledger.readmodel.moments.explaining import explain
from streamledger.readmodel.moments.moment import Asked
from streamledger.readmodel.moments.queries import PastQueries
from streamledger.readmodel.projections import checkpoints
from streamledger.readmodel.projections.reading import events_and_errors
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.queries.audit import AuditQueries, AuditScope
from streamledger.readmodel.queries.deliveries import DeliveryQueries
from streamledger.readmodel.queries.ledger_scan import DeliveryFilter
from streamledger.readmodel.queries.sessions import Queries, SessionFilter
from streamledger.readmodel.queries.streams import StreamQueries
from streamledger.readmodel.rebuild.building import prepare_session
from streamledger.tencent.envelope import read_envelope
from streamledger.tencent.reader import read_notification
from streamledger.tencent.tolerant import parse_object
from streamledger.web.problems import STATUS_OF

Question = dict[str, Any]
"""`ask` names it, the rest are its parameters: see `_ANSWERS`."""

SILENCE_MS_MAX = 3_600_000
NEWER_PUSH_MS_MAX = 60_000
RECORDING_ENDED_MS_MAX = 300_000
PAGE = 500
POOL_SIZE = 3

_encode = msgspec.json.Encoder().encode


class ImportIncomplete(Exception):
    """Not every line of the corpus became an event."""


RULES = ImportRules(body_bytes_max=2**30, now_us=2_000_000_000_000_000, with_acts=True)


@contextmanager
def store_in(directory: Path | None = None) -> Iterator[Database]:
    """A PostgreSQL of its own with the program's schema; in a directory that stays, if one is named."""
    with (
        tempfile.TemporaryDirectory(prefix="corpus-") as passing,
        start_embedded(directory or Path(passing)) as server,
    ):
        database = Database(server.owner_dsn)
        migrate(database)
        yield database


def load(database: Database, lines: Iterable[bytes]) -> None:
    """Append the lines of an export to an empty ledger, in their order: positions 1 to n."""
    ledger = Ledger(environment(database))
    read, count = iter(lines), 0
    with connect(database, application_name="corpus") as connection:
        while chunk := list(itertools.islice(read, 1000)):
            lines_read = [portable.read_line(line) for line in chunk if portable.head_of(line) is None]
            ledger.take_over(connection, [_as_it_was(line) for line in lines_read])
            count += len(lines_read)
        head = reader.head(connection)
    if head != count:
        raise ImportIncomplete(f"{count} lines, the ledger's head is {head}")


def _as_it_was(line: portable.Line) -> Any:
    """The event of a line, filed where it was and believed as it was: nothing is judged anew."""
    event = event_of(line, RULES, 1)
    if line.state_base64 is not None:
        return event
    return type(event)(
        originator_id=line.originator, delivery_id=line.delivery_id, delivery=portable.delivery_of(line)
    )


def is_loaded(database: Database) -> bool:
    """Whether the ledger holds anything."""
    with connect(database, application_name="corpus") as connection:
        return reader.head(connection) > 0


def project(database: Database, sizes: Iterator[int]) -> None:
    """Let the live projections take everything in, in batches of these sizes."""
    with connect(database, application_name="corpus") as connection:
        prepare_session(connection)
        positions = checkpoints.checkpoints(connection, PROJECTIONS)
        views = [each(connection, database.schema) for each in PROJECTIONS]
        while True:
            after, lagging = checkpoints.laggards(positions, views)
            rows = reader.read_rows_after(connection, after, next(sizes))
            if not rows:
                break
            events, unreadable = events_and_errors(rows)
            checkpoints.project(
                connection,
                lagging,
                events,
                after=after,
                until=rows[-1][0],
                now_us=1,
                schema=database.schema,
                unreadable=unreadable,
            )
            positions.update({each.name: rows[-1][0] for each in lagging})
        connection.execute("ANALYZE")


def rebuild(database: Database) -> bool | None:
    """Build the read model anew from history and switch to it; whether the digests were equal."""
    done = rebuild_projections(database, Order(projections=PROJECTIONS), clock_us=lambda: 1)
    assert done.switched
    with connect(database, application_name="corpus") as connection:
        connection.execute("ANALYZE")
    return done.digests_equal


def instant(at_s: int) -> str:
    """A second as answers show it."""
    return instant_ms(at_s * 1000)


def parked(database: Database) -> int:
    """How many events a projection could not take in."""
    with connect(database, application_name="corpus") as connection:
        row = connection.execute("SELECT count(*) FROM parked").fetchone()
    return int(row[0]) if row else 0


class Asker:
    """Asks what HTTP asks, of the same functions, and gives the JSON that a client would see."""

    def __init__(self, queries: Queries) -> None:
        self.queries = queries
        self.streams = StreamQueries(queries)
        self.past = PastQueries(queries)
        self.deliveries = DeliveryQueries(queries.pool)
        self.audit = AuditQueries(queries.pool, queries.now_ms)

    async def ask(self, question: Question) -> bytes:
        """The answer, or what HTTP says of an error, as JSON; a list has the items of all its pages."""
        try:
            answer = await _ANSWERS[question["ask"]](self, question)
        except StreamledgerError as error:
            return _encode({"status": int(STATUS_OF.get(type(error), 500)), "detail": str(error)})
        only = question.get("only")
        if only is not None:
            answer = [[getattr(each, name) for name in only] for each in answer]
        return _encode(answer)


@asynccontextmanager
async def asking(database: Database, now_ms: int) -> AsyncIterator[Asker]:
    """An asker whose now stands still, with the limits that are the settings' defaults."""
    async with await open_pool_async(database, min_size=1, max_size=POOL_SIZE, name="corpus") as pool:
        yield Asker(
            Queries(
                pool,
                SuspectLimits(
                    silence_ms_max=SILENCE_MS_MAX,
                    newer_push_ms_max=NEWER_PUSH_MS_MAX,
                    recording_ended_ms_max=RECORDING_ENDED_MS_MAX,
                ),
                clock_ms=lambda: now_ms,
            )
        )


async def _pages(question: Question, page: Callable[[int, str | None], Awaitable[Any]]) -> list[Any]:
    limit, items, cursor = question.get("limit", PAGE), [], None
    while True:
        found = await page(limit, cursor)
        items += found.items
        cursor = found.next_cursor
        if cursor is None or len(items) >= question.get("most", 1_000_000):
            return items


def _moment(question: Question) -> Asked | None:
    as_of, known_at, slack_s = (question.get(name) for name in ("as_of", "known_at", "slack_s"))
    return Asked.of(None if as_of is None else parse_instant_ms(as_of), known_at, slack_s)


async def _session(asker: Asker, question: Question) -> Any:
    moment, stream_id = _moment(question), question.get("stream_id")
    if moment is not None:
        return await asker.past.session(question["sequence"], moment, stream_id)
    return await asker.queries.session(question["sequence"], stream_id)


async def _timeline(asker: Asker, question: Question, kind: Kind | None = None) -> Any:
    moment, sequence, stream_id = _moment(question), question["sequence"], question.get("stream_id")
    if moment is not None:
        return await _pages(
            question, lambda *page: asker.past.timeline(sequence, moment, stream_id, kind, *page)
        )
    return await _pages(question, lambda *page: asker.queries.timeline(sequence, stream_id, kind, *page))


async def _recordings(asker: Asker, question: Question) -> Any:
    return await _timeline(asker, question, Kind.RECORDING)


async def _screenshots(asker: Asker, question: Question) -> Any:
    return await _timeline(asker, question, Kind.SCREENSHOT)


async def _explain(asker: Asker, question: Question) -> Any:
    moment = _moment(question) or Asked()
    found = await explain(
        asker.past, question["sequence"], moment, question.get("stream_id"), question.get("limit", PAGE)
    )
    attributions = [
        msgspec.structs.replace(each, candidates=_with_ties_ordered(each.candidates))
        for each in found.attributions.items
    ]
    return {"session": found.session, "fields": found.fields, "attributions": attributions}


def _with_ties_ordered(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Candidates that equal each other in all that orders them, by sequence, not as the store gave them."""

    def rank(each: Candidate) -> tuple[str, int, int, str]:
        return each.outcome, each.overlap_ms, each.distance_ms, each.from_at

    return [
        each
        for _, tied in itertools.groupby(candidates, key=rank)
        for each in sorted(tied, key=lambda candidate: candidate.sequence)
    ]


async def _session_deliveries(asker: Asker, question: Question) -> Any:
    sequence, stream_id = question["sequence"], question.get("stream_id")
    return await _pages(question, lambda *page: asker.deliveries.of_session(sequence, stream_id, *page))


async def _sessions(asker: Asker, question: Question) -> Any:
    wanted = SessionFilter(
        stream_id=question.get("stream_id"),
        state=question.get("state"),
        descending=question.get("order", "desc") == "desc",
    )
    return await _pages(question, lambda *page: asker.queries.sessions(wanted, *page))


async def _stream(asker: Asker, question: Question) -> Any:
    return await asker.queries.stream(question["stream_id"])


async def _streams(asker: Asker, question: Question) -> Any:
    return await _pages(question, lambda *page: asker.queries.streams(question.get("presence"), *page))


async def _broadcasts(asker: Asker, question: Question) -> Any:
    stream_id, window_ms = question["stream_id"], question["window_s"] * 1000
    return await _pages(question, lambda *page: asker.streams.broadcasts(stream_id, window_ms, *page))


async def _unattributed(asker: Asker, question: Question) -> Any:
    return await _pages(question, lambda *page: asker.streams.unattributed(question.get("stream_id"), *page))


async def _notifications(asker: Asker, question: Question) -> Any:
    return await _pages(question, lambda *page: asker.streams.notifications(question["stream_id"], *page))


async def _deliveries(asker: Asker, question: Question) -> Any:
    wanted = DeliveryFilter(stream_id=question.get("stream_id"), class_=question.get("class"))
    return await _pages(question, lambda *page: asker.deliveries.deliveries(wanted, *page))


async def _delivery(asker: Asker, question: Question) -> Any:
    return await asker.deliveries.delivery(question["position"])


async def _audit(asker: Asker, question: Question) -> Any:
    scope = AuditScope.of(
        parse_instant_ms(question["from"]),
        parse_instant_ms(question["to"]),
        asker.queries.now_ms(),
        stream_id=question.get("stream_id"),
    )
    return await asker.audit.report(scope, question.get("limit", PAGE))


_ANSWERS: Mapping[str, Callable[[Asker, Question], Awaitable[Any]]] = {
    "session": _session,
    "timeline": _timeline,
    "recordings": _recordings,
    "screenshots": _screenshots,
    "explain": _explain,
    "session-deliveries": _session_deliveries,
    "sessions": _sessions,
    "stream": _stream,
    "streams": _streams,
    "broadcasts": _broadcasts,
    "unattributed": _unattributed,
    "notifications": _notifications,
    "deliveries": _deliveries,
    "delivery": _delivery,
    "audit": _audit,
}


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """What the program reads in a body; of use when the corpus is recorded, not when it is compared."""

    name: str
    originator: str
    stream_id: str | None
    sequence: str | None
    kind: str
    mended: tuple[str, ...]
    """What the receiver stores with the event."""
    mended_whole: tuple[str, ...]
    """What reading all of the body mends."""
    unreadable: tuple[str, ...]


def read(body: bytes) -> Read | None:
    """How the receiver would file a body; None when it would set it aside as malformed."""
    try:
        envelope, notification = read_envelope(body), read_notification(body)
    except MalformedBody:
        return None
    return Read(
        name=event_name(envelope.event_type),
        originator=originator_of(envelope.stream_id, envelope.event_type),
        stream_id=notification.stream_id,
        sequence=notification.sequence,
        kind=notification.kind.value,
        mended=envelope.mended,
        mended_whole=parse_object(body)[1],
        unreadable=notification.unreadable,
    )
