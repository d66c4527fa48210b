"""A body that does not come is waited for no longer than the limit, and counted."""

import asyncio
from typing import Any, cast

from streamledger.web.callbacks import Callbacks


class Counting:
    """A receiver that only counts."""

    def __init__(self) -> None:
        self.counted: list[str] = []

    def count(self, outcome: str) -> None:
        self.counted.append(outcome)


async def answered(messages: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """What is sent to a client that sends these parts of a body and then nothing any more."""
    receiver, sent = Counting(), []
    callbacks = Callbacks(cast("Any", receiver), body_bytes_max=1024, path_token=None, body_s_max=0.01)

    async def receive() -> Any:
        if messages:
            return messages.pop(0)
        return await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {"type": "http", "method": "POST", "path": "/", "headers": [], "client": ("192.0.2.1", 1)}
    await callbacks.answer(scope, receive, send, None)
    return sent, receiver.counted


def test_a_body_that_never_comes_is_answered_408_and_the_connection_closed() -> None:
    sent, counted = asyncio.run(answered([]))
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]
    assert counted == ["body_too_slow"]


def test_so_is_one_that_stops_in_the_middle() -> None:
    sent, counted = asyncio.run(answered([{"type": "http.request", "body": b"{", "more_body": True}]))
    assert (sent[0]["status"], counted) == (408, ["body_too_slow"])
