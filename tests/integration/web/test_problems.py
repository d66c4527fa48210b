"""Errors at the HTTP edge: a fault of ours is told as one, with its cause in the log alone."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from litestar.testing import TestClient

from streamledger.domain.errors import StoreUnavailable
from streamledger.ledger.appender import DeliveryUnstorable, QueueFull
from streamledger.operations.receive import Receipt
from streamledger.readmodel.queries.sessions import Queries
from streamledger.settings import Settings
from streamledger.web.app import WebOptions, WebServices, create_app
from streamledger.web.auth import Tokens
from streamledger.web.bounds import bounds_of
from streamledger.web.connections import ConnectionLimits
from streamledger.web.senders import Senders

# The handlers rely on what Litestar 2 infers from names and says that Litestar 3 will not.
pytestmark = pytest.mark.filterwarnings("ignore::litestar.exceptions.LitestarDeprecationWarning")


class Broken(Queries):
    """Services that raise what they are told to; the framework checks that queries are Queries."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.pool = cast("Any", None)  # nothing is asked of it

    async def receive(self, *_: object, **__: object) -> Receipt:
        raise self._error

    def count_apart(self, _: str) -> None:
        pass

    async def sessions(self, *_: object) -> None:
        raise self._error


def client_of(error: Exception) -> "TestClient[Any]":
    @asynccontextmanager
    async def services() -> AsyncIterator[WebServices]:
        broken = cast("Any", Broken(error))
        yield WebServices(**dict.fromkeys(WebServices.__struct_fields__, broken) | {"tokens": Tokens()})

    senders = Senders()
    bounds = bounds_of(
        Settings().picked(ConnectionLimits), senders, wrong_tokens_per_minute_max=0, readers_per_token_max=1
    )
    options = WebOptions(body_bytes_max=1024, bounds=bounds, senders=senders)
    return TestClient(create_app(services, options), raise_server_exceptions=False)


def test_a_fault_of_ours_is_a_500_without_its_cause_and_the_log_has_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with client_of(ZeroDivisionError("secret detail")) as client, caplog.at_level(logging.ERROR):
        answer = client.get("/v1/sessions")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 500
    assert "secret detail" not in answer.text
    assert "secret detail" in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailable(cause="connection refused"),
        QueueFull(length=7),
        DeliveryUnstorable(cause="even the quarantine refuses it"),
    ],
)
def test_what_cannot_be_kept_anywhere_now_is_a_503_that_says_when_to_try_again(error: Exception) -> None:
    with client_of(error) as client:
        answer = client.post("/callbacks/tencent", content=b"{}")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) > 0


def test_a_store_that_cannot_be_reached_is_a_503_for_queries_too() -> None:
    with client_of(StoreUnavailable(cause="connection refused")) as client:
        answer = client.get("/v1/sessions")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
