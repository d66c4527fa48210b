"""`/changes`: tells an open page that the read model has moved, so that it fetches itself anew."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Final

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.response import Stream

from streamledger.operations.health import Freshness, Health
from streamledger.readmodel.feed.feed import STORE_ERRORS, FeedFilter, Tail, Ticker
from streamledger.web import parameters as given
from streamledger.web.events import HEADERS, HEARTBEAT_S, ResumeAfter, heartbeat_text, last_event_id
from streamledger.web.pages.links import link
from streamledger.web.pages.page import AnyRequest, still_may_look

PAUSE_S: Final = 0.3
"""Changes that follow each other faster than this are told as one."""

STORE_LOOK_S: Final = 1.0
"""How often it is looked whether deliveries are stored, while a page is open."""


def changed_text(position: int) -> bytes:
    """The event that a page waits for."""
    return b'id: %d\nevent: changed\ndata: {"position":"%d"}\n\n' % (position, position)


async def change_stream(
    tail: Tail,
    ticker: Ticker,
    *,
    missed: bool,
    heartbeat_s: float = HEARTBEAT_S,
    may_go_on: Callable[[], Awaitable[bool]] | None = None,
    freshness: Callable[[], Awaitable[Freshness]] | None = None,
) -> AsyncGenerator[bytes, None]:
    """The bytes of one page's stream; `missed` says that something has changed since the page was made.

    `freshness` is asked every second: a page that looks alive while nothing is stored would be a lie.
    """
    if missed:
        yield changed_text(ticker.position)
    said: Freshness | None = None
    spoken_s = -math.inf
    async with aclosing(tail.follow(ticker, min(heartbeat_s, STORE_LOOK_S))) as batches:
        async for messages in batches:
            now = None if freshness is None else await freshness()
            # Since when is told with what it is: the moment itself is measured anew each time.
            if now is not None and (said is None or now.told != said.told):
                said = now
                yield b"event: freshness\ndata: " + msgspec.json.encode(said) + b"\n\n"
            # The visitor's token may be revoked meanwhile, or the cookie have expired. Only the store knows.
            if (said is None or said.state != "gone") and may_go_on is not None and not await may_go_on():
                return
            if messages:
                yield changed_text(messages[-1].position)
                await asyncio.sleep(PAUSE_S)
            elif time.monotonic() - spoken_s < heartbeat_s:
                continue
            else:
                yield heartbeat_text(ticker.position)
            spoken_s = time.monotonic()


@get("/changes", include_in_schema=False)
async def follow_changes(
    request: AnyRequest,
    changes: NamedDependency[Tail],
    after: ResumeAfter = None,
    stream_id: given.StreamId = None,
) -> Stream:
    """Server-sent events without content: that there is something new, of one stream or of all."""
    readers = request.app.state.bounds.readers
    owner = readers.check_room(request, changes)
    resumed = last_event_id(request)
    shown = resumed if resumed is not None else after
    try:
        position = await changes.head()
    except STORE_ERRORS:
        if shown is None:
            raise
        position = shown  # the page is told that the store is away, and from here on once it is back
    ticker = Ticker(FeedFilter(stream_id=stream_id), position)
    health: Health = request.app.state.health

    async def freshness() -> Freshness:
        return health.freshness_with(await health.fault(STORE_LOOK_S))

    parts = change_stream(
        changes,
        ticker,
        missed=shown is not None and shown < position,
        may_go_on=partial(still_may_look, request),
        freshness=freshness,
    )
    return Stream(
        readers.counted(owner, parts),
        media_type="text/event-stream",
        headers=HEADERS,
    )


def changes_path(position: int, stream_id: str | None = None) -> str:
    """Where a page that shows this position is told of later ones."""
    return link("/changes", after=str(position), stream_id=stream_id)
