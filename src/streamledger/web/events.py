"""`/v1/events/live`: the ledger as server-sent events (HTML standard, section 9.2)."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any, Final

from litestar import Request, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.response import Stream

from streamledger.domain.errors import ParameterInvalid
from streamledger.domain.notification import Kind
from streamledger.readmodel.feed.feed import FeedFilter, Message, Subscription, Tail
from streamledger.web import parameters as given

HEARTBEAT_S: Final = 15.0
"""Proxies cut connections that are silent for long, 60 s as a rule."""
MEDIA_TYPE: Final = "text/event-stream"
HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold the events back
}

ResumeAfter = Annotated[
    int | None,
    QueryParameter(
        ge=0,
        le=given.POSITION_MAX,
        description="Begin after this position; without it, and without Last-Event-ID, with what comes now",
    ),
]
Kinds = Annotated[
    list[Kind] | None, QueryParameter(name="kind", description="Only these kinds; may be repeated")
]


def last_event_id(request: Request[Any, Any, Any]) -> int | None:
    """The position in the header that a browser sends when it reconnects. Raises ParameterInvalid."""
    text = request.headers.get("last-event-id")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and int(text[:20]) <= given.POSITION_MAX):
        raise ParameterInvalid(name="Last-Event-ID", expected="a position", got=repr(text[:40]))
    return int(text)


def event_text(message: Message) -> bytes:
    """An event with its position as id. JSON has no raw line break, so one data line holds it."""
    return b"id: %d\ndata: %b\n\n" % (message.position, message.json)


def heartbeat_text(position: int) -> bytes:
    """A comment for proxies, and an id without data: it moves the place to resume from, and shows nothing."""
    return b": heartbeat\nid: %d\n\n" % position


def dropped_text(position: int) -> bytes:
    """The last word to a reader that did not keep up. Its id is the place to resume from."""
    return b'id: %d\nevent: dropped\ndata: {"resume_after":%d}\n\n' % (position, position)


async def event_stream(
    tail: NamedDependency[Tail],
    subscription: Subscription,
    heartbeat_s: float = HEARTBEAT_S,
    may_go_on: Callable[[], Awaitable[bool]] | None = None,
) -> AsyncGenerator[bytes, None]:
    """The bytes of one reader's feed, until it is dropped, goes away, or may read no longer."""
    async with aclosing(tail.follow(subscription, heartbeat_s)) as batches:
        async for messages in batches:
            if may_go_on is not None and not await may_go_on():
                return  # its token was revoked meanwhile: nothing more is told, not even where to resume
            yield b"".join(map(event_text, messages)) or heartbeat_text(subscription.position)
    if subscription.dropped:
        yield dropped_text(subscription.position)


async def still_may_read(request: Request[Any, Any, Any]) -> bool:
    """Whether the token that a stream was begun with is still in force."""
    return await request.app.state.tokens.caller(request) is not None


@get(
    "/v1/events/live",
    tags=["ledger"],
    summary="Events as they come, as server-sent events",
    media_type=MEDIA_TYPE,
)
async def follow_events(
    request: Request[Any, Any, Any],
    tail: NamedDependency[Tail],
    after: ResumeAfter = None,
    stream_id: given.StreamId = None,
    kinds: Kinds = None,
) -> Stream:
    """Each event's id is its position; a client that reconnects with Last-Event-ID misses nothing.

    Every 15 s of silence a heartbeat is sent as a comment. A reader that lets 1000 events wait is sent
    an event `dropped` and cut off; it goes on with its last id. So is one whose token is revoked.
    """
    readers = request.app.state.bounds.readers
    owner = readers.check_room(request, tail)
    resumed = last_event_id(request)
    position = resumed if resumed is not None else after
    if position is None:
        position = await tail.head()
    subscription = Subscription(
        FeedFilter(stream_id=stream_id, kinds=frozenset(kinds) if kinds else None), position
    )

    parts = event_stream(tail, subscription, may_go_on=partial(still_may_read, request))
    return Stream(readers.counted(owner, parts), media_type=MEDIA_TYPE, headers=HEADERS)
