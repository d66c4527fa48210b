"""`/changes`: tells an open page that the read model has moved, so that it fetches itself anew."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Final

from litestar import get
from litestar.di import NamedDependency
from litestar.response import Stream

from streamledger.readmodel.feed import FeedFilter, Tail, Ticker
from streamledger.web import parameters as given
from streamledger.web.events import HEADERS, HEARTBEAT_S, ResumeAfter, heartbeat_text, last_event_id
from streamledger.web.pages.formats import query_of
from streamledger.web.pages.page import AnyRequest

PAUSE_S: Final = 0.3
"""Changes that follow each other faster than this are told as one."""


def changed_text(position: int) -> bytes:
    """The event that a page waits for."""
    return b'id: %d\nevent: changed\ndata: {"position":"%d"}\n\n' % (position, position)


async def change_stream(
    tail: Tail, ticker: Ticker, *, missed: bool, pause_s: float = PAUSE_S, heartbeat_s: float = HEARTBEAT_S
) -> AsyncIterator[bytes]:
    """The bytes of one page's stream; `missed` says that something has changed since the page was made."""
    if missed:
        yield changed_text(ticker.position)
    async with aclosing(tail.follow(ticker, heartbeat_s)) as batches:
        async for messages in batches:
            if messages:
                yield changed_text(messages[-1].position)
                await asyncio.sleep(pause_s)
            else:
                yield heartbeat_text(ticker.position)


@get("/changes", include_in_schema=False)
async def follow_changes(
    request: AnyRequest,
    changes: NamedDependency[Tail],
    after: ResumeAfter = None,
    stream_id: given.StreamId = None,
) -> Stream:
    """Server-sent events without content: that there is something new, of one stream or of all."""
    changes.check_room()
    resumed = last_event_id(request)
    shown = resumed if resumed is not None else after
    position = await changes.head()
    ticker = Ticker(FeedFilter(stream_id=stream_id), position)
    return Stream(
        change_stream(changes, ticker, missed=shown is not None and shown < position),
        media_type="text/event-stream",
        headers=HEADERS,
    )


def changes_path(position: int, stream_id: str | None = None) -> str:
    """Where a page that shows this position is told of later ones."""
    return query_of("/changes", after=str(position), stream_id=stream_id)
