"""`/v1/rebuilds/{id}/live`: how far a rebuild is, as server-sent events, until it has ended."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Final

import msgspec
from litestar import Request, get
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Stream

from streamledger.domain.errors import StoreUnavailable
from streamledger.domain.rebuild_answers import RebuildAnswer
from streamledger.readmodel.feed.feed import STORE_ERRORS, Tail, TooManyReaders
from streamledger.readmodel.queries.rebuilds import OPEN_STATES, RebuildQueries
from streamledger.web.events import HEADERS, HEARTBEAT_S, still_may_read

LOOK_S: Final = 0.5
"""How often to look at the row, which the rebuild writes as often."""
READERS_MAX: Final = 100
"""Per web process; each costs a query at every look."""


def in_json(answer: RebuildAnswer) -> bytes:
    """What `GET /v1/rebuilds/{id}` answers."""
    return msgspec.json.encode(answer)


async def progress_stream(
    rebuilds: RebuildQueries,
    first: RebuildAnswer,
    tail: Tail,
    state: State,
    content: Callable[[RebuildAnswer], bytes] = in_json,
    may_go_on: Callable[[], Awaitable[bool]] | None = None,
) -> AsyncIterator[bytes]:
    """An event `progress` for each change, `ended` for the last; a comment where nothing changes for long.

    `content` is one line.
    """
    state.rebuild_readers = state.get("rebuild_readers", 0) + 1
    try:
        shown, said_s = first, time.monotonic()
        yield _text(first, content)
        while shown.state in OPEN_STATES and not tail.closing:
            await asyncio.sleep(LOOK_S)
            try:
                if may_go_on is not None and not await may_go_on():
                    return  # the reader's token was revoked meanwhile
                found = await rebuilds.one(int(first.id))
            except (*STORE_ERRORS, StoreUnavailable):
                continue  # the store is away; the reader need not know
            if found != shown:
                shown, said_s = found, time.monotonic()
                yield _text(found, content)
            elif time.monotonic() - said_s >= HEARTBEAT_S:
                said_s = time.monotonic()
                yield b": heartbeat\n\n"
    finally:
        state.rebuild_readers -= 1


def _text(answer: RebuildAnswer, content: Callable[[RebuildAnswer], bytes]) -> bytes:
    name = b"progress" if answer.state in OPEN_STATES else b"ended"
    return b"event: %b\ndata: %b\n\n" % (name, content(answer))


@get("/v1/rebuilds/{rebuild_id:int}/live", tags=["rebuilds"], summary="A rebuild's progress, as it goes")
async def follow_rebuild(
    request: Request[Any, Any, Any],
    rebuilds: NamedDependency[RebuildQueries],
    tail: NamedDependency[Tail],
    rebuild_id: FromPath[int],
) -> Stream:
    """Server-sent events `progress` with what `GET /v1/rebuilds/{id}` answers; the last is called `ended`."""
    return await followed(
        request.app.state, rebuilds, tail, rebuild_id, may_go_on=partial(still_may_read, request)
    )


async def followed(
    state: State,
    rebuilds: RebuildQueries,
    tail: Tail,
    rebuild_id: int,
    content: Callable[[RebuildAnswer], bytes] = in_json,
    may_go_on: Callable[[], Awaitable[bool]] | None = None,
) -> Stream:
    """The response that follows a rebuild. Raises RebuildUnknown or TooManyReaders."""
    if state.get("rebuild_readers", 0) >= READERS_MAX:
        raise TooManyReaders(readers=READERS_MAX)
    first = await rebuilds.one(rebuild_id)
    return Stream(
        progress_stream(rebuilds, first, tail, state, content=content, may_go_on=may_go_on),
        media_type="text/event-stream",
        headers=HEADERS,
    )
