"""The sessions projection through the real store: what users ask of it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import msgspec
import psycopg
import pytest

from streamledger.domain.answers import Session
from streamledger.domain.events import Delivery
from streamledger.domain.suspicion import SuspectLimits
from streamledger.postgres.connection import Database, connect, open_pool_async
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.projections.runner import catch_up
from streamledger.readmodel.queries.sessions import Page, Queries, SessionFilter
from streamledger.readmodel.queries.streams import StreamQueries
from tests.deliveries import event_of, store

NOON_S = 1_764_000_000
Answer = TypeVar("Answer")


def told(event_type: int, at_s: int, sequence: str | None = None, **more: Any) -> dict[str, Any]:
    """A notification of the stream "room", at so many seconds after noon."""
    body: dict[str, Any] = {"event_type": event_type, "stream_id": "room", "sequence": sequence}
    if event_type == 100:
        length_s = more.pop("length_s")
        body |= {"file_id": f"file-{at_s}", "duration": length_s, "file_size": 10}
        body |= {"start_time": NOON_S + at_s, "end_time": NOON_S + at_s + length_s}
    elif event_type == 200:
        body |= {"create_time": NOON_S + at_s, "pic_url": f"/shot-{at_s}"}
    elif event_type == 321:
        body |= {"data_time": (NOON_S + at_s) * 1000, "abnormal_event": [{"type": 6, "count": 2}]}
    else:
        body |= {"event_time": NOON_S + at_s}
    return body | more


class Room:
    """A ledger with its read model, and a clock that stands where it is put."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.now_s = 0

    def tell(self, *notifications: dict[str, Any], received_s: int = 0) -> None:
        """Append deliveries, received so many seconds after noon, and let the projection take them in."""
        with connect(self._database, application_name="test") as connection:
            deliver(connection, notifications, received_s)
            catch_up(connection, self._database.schema, PROJECTIONS)

    def ask(self, question: Callable[[Queries], Awaitable[Answer]]) -> Answer:
        """The answer to a question."""

        async def answer() -> Answer:
            async with await open_pool_async(self._database, min_size=1, max_size=1, name="test") as pool:
                clock_ms = (NOON_S + self.now_s) * 1000
                return await question(
                    Queries(pool, SuspectLimits(silence_ms_max=3_600_000), clock_ms=lambda: clock_ms)
                )

        return asyncio.run(answer())

    def session(self, sequence: str) -> Session:
        return self.ask(lambda queries: queries.session(sequence))

    def presence(self) -> str:
        return self.ask(lambda queries: queries.stream("room")).presence

    def live(self) -> list[str]:
        found = self.ask(lambda queries: queries.streams("live"))
        return [stream.stream_id for stream in found.items]

    def about(self, question: Callable[[StreamQueries], Awaitable[Answer]]) -> Answer:
        return self.ask(lambda queries: question(StreamQueries(queries)))


def deliver(
    connection: psycopg.Connection[Any], notifications: Sequence[dict[str, Any]], received_s: int = 0
) -> None:
    events = []
    for body in notifications:
        sent = msgspec.json.encode(body)
        delivery = Delivery(
            body=sent, received_at_us=(NOON_S + received_s) * 1_000_000, source_ip="192.0.2.1"
        )
        events.append(event_of(delivery))
    store(connection, events)


@pytest.fixture
def room(database: Database) -> Room:
    return Room(database)


def test_the_order_that_tencent_documents_leaves_the_stream_live_until_the_second_stop(room: Room) -> None:
    room.now_s = 110
    room.tell(told(1, 0, "s1"))
    room.tell(told(1, 100, "s2"))
    assert room.presence() == "live"
    room.tell(told(0, 99, "s1"))
    assert (room.session("s1").state, room.session("s2").state) == ("ended", "live")
    assert room.presence() == "live"
    assert room.live() == ["room"]
    room.tell(told(0, 105, "s2"))
    assert room.presence() == "offline"
    assert room.live() == []


def test_a_stop_alone_gives_a_session_with_an_inferred_start(room: Room) -> None:
    room.tell(told(0, 60, "s1", push_duration="60000"))
    session = room.session("s1")
    assert (session.started_at, session.start_source) == ("2025-11-24T16:00:00Z", "inferred")
    assert [anomaly.code for anomaly in session.anomalies] == ["start_missing"]


def test_a_recording_that_arrives_before_its_push_is_attributed_when_the_push_does(room: Room) -> None:
    room.tell(told(100, 10, length_s=60))
    found = room.about(lambda queries: queries.unattributed("room"))
    assert [(entry.kind, entry.sequence) for entry in found.items] == [("recording", None)]
    room.tell(told(1, 10, "s1"))
    assert room.session("s1").recordings.count == 1
    assert room.about(lambda queries: queries.unattributed("room")).items == []
    assert room.about(lambda queries: queries.unattributed()).items == []
    assert room.ask(lambda queries: queries.stream("room")).unattributed == 0


def test_a_start_between_takes_back_what_a_lost_stop_had_claimed(room: Room) -> None:
    room.tell(told(1, 0, "lost"), told(200, 50), told(200, 150), told(100, 110, length_s=60))
    assert room.session("lost").screenshots.count == 2
    room.tell(told(1, 100, "newer"))
    assert (room.session("lost").screenshots.count, room.session("newer").screenshots.count) == (1, 1)
    assert room.session("newer").recordings.count == 1
    room.tell(told(0, 300, "lost"))
    assert room.session("lost").screenshots.count == 2


def test_a_newer_push_makes_the_older_suspect_and_a_push_error_of_it_heals_that(room: Room) -> None:
    room.tell(told(1, 0, "old"), told(1, 100, "new"))
    room.now_s = 161
    assert room.session("old").state_reasons == ["newer_push"]
    suspects = room.ask(lambda queries: queries.sessions(SessionFilter(state="suspect")))
    assert [session.sequence for session in suspects.items] == ["old"]
    lively = room.ask(lambda queries: queries.sessions(SessionFilter(state="live")))
    assert [session.sequence for session in lively.items] == ["new"]
    room.tell(told(321, 150, "old"))
    assert room.session("old").state == "live"
    health = room.session("old").health
    assert health is not None
    assert (health.reports, health.events, health.counts[0].name) == (
        1,
        2,
        "video frames arrived too far apart",
    )


def test_the_end_of_its_recording_makes_a_session_suspect_unless_it_goes_on(room: Room) -> None:
    room.tell(told(1, 0, "s1"), told(332, 1, record_event="record_start_succeeded"))
    room.tell(told(332, 100, record_event="record_ended"))
    room.now_s = 400
    assert room.session("s1").state == "live"
    room.now_s = 401
    assert room.session("s1").state_reasons == ["recording_ended"]
    assert room.live() == []
    room.tell(told(200, 120))
    assert room.session("s1").state == "live"
    room.tell(told(100, 1, length_s=130))
    assert room.session("s1").state == "live"


def test_a_last_file_that_none_followed_in_its_own_length_is_an_end_too(room: Room) -> None:
    room.tell(told(1, 0, "s1"), told(100, 0, length_s=600), told(100, 600, length_s=600), received_s=1200)
    room.now_s = 2100
    assert room.session("s1").state == "live"
    room.now_s = 2101
    assert room.session("s1").state_reasons == ["recording_ended"]


def test_types_that_are_not_modelled_are_listed_on_their_stream_whole(room: Room) -> None:
    room.tell(told(1, 0, "s1"), told(314, 5, task_id="7"), told(1, 9, None), told(332, 3, record_event="x"))
    found = room.about(lambda queries: queries.notifications("room"))
    assert [(entry.kind, entry.event_type) for entry in found.items] == [("push_started", 1), ("other", 314)]
    assert found.items[1].detail["task_id"] == "7"


def test_lists_of_a_stream_are_paged_without_loss_or_repetition(room: Room) -> None:
    room.tell(*(told(200, number) for number in range(7)), *(told(314, n, task_id=str(n)) for n in range(7)))
    for listing in (
        lambda queries, cursor: queries.unattributed("room", 3, cursor),
        lambda queries, cursor: queries.unattributed(None, 3, cursor),
        lambda queries, cursor: queries.notifications("room", 3, cursor),
    ):
        seen, cursor = [], None
        while True:
            page: Page[Any] = room.about(lambda queries, ask=listing, at=cursor: ask(queries, at))
            seen += [entry.position for entry in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert len(seen) == len(set(seen)) == 7


def test_broadcasts_are_paged_and_count_a_file_over_several_parts_once(room: Room) -> None:
    room.now_s = 100_000
    pushes = [told(1, n * 1000, f"a{n}") | {} for n in range(5)]
    stops = [told(0, n * 1000 + 100, f"a{n}") for n in range(5)]
    resumed = [told(1, 4130, "a5"), told(0, 4200, "a5"), told(100, 4000, length_s=200)]
    room.tell(*pushes, *stops, *resumed, received_s=5000)
    first = room.about(lambda queries: queries.broadcasts("room", 60_000, 2))
    assert [[part.sequence for part in each.parts] for each in first.items] == [["a4", "a5"], ["a3"]]
    newest = first.items[0]
    assert (newest.on_air_ms, newest.off_air_ms, newest.reconnects) == (170_000, 30_000, 1)
    assert newest.recordings.count == 1
    assert room.session("a4").recordings.count == room.session("a5").recordings.count == 1
    rest = room.about(lambda queries: queries.broadcasts("room", 60_000, 5, first.next_cursor))
    assert [[part.sequence for part in each.parts] for each in rest.items] == [["a2"], ["a1"], ["a0"]]
    assert rest.next_cursor is None
    whole = room.about(lambda queries: queries.broadcasts("room", 3_600_000, 5))
    assert [len(each.parts) for each in whole.items] == [6]


def test_a_long_session_holds_broadcasts_together_across_what_is_read_at_once(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamledger.readmodel.queries.streams.CHUNK_SESSIONS", 3)
    room.now_s = 100_000
    long = [told(1, 0, "long"), told(0, 9000, "long"), told(1, -500, "before"), told(0, -400, "before")]
    room.tell(*long, received_s=9000)
    for number in range(1, 10):
        room.tell(
            told(1, number * 900, f"b{number}"), told(0, number * 900 + 10, f"b{number}"), received_s=9000
        )
    found = room.about(lambda queries: queries.broadcasts("room", 1000, 2))
    assert [len(each.parts) for each in found.items] == [10, 1]
    assert (found.items[0].reconnects, found.next_cursor) == (0, None)
