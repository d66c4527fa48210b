"""Whom a reading command asks: the store, or a running server over HTTP; the answer is of the same shape."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar
from urllib.parse import quote, urlsplit

import click
import msgspec

from streamledger import bootstrap
from streamledger.cli.options import STORE_FLAGS, load_settings, store_options, together
from streamledger.cli.terminal import say
from streamledger.domain.answers import LedgerEntry
from streamledger.domain.errors import SettingInvalid, StoreUnavailable, StreamledgerError
from streamledger.domain.instants import instant_ms
from streamledger.domain.notification import Kind
from streamledger.readmodel.feed.feed import FeedFilter, Subscription
from streamledger.readmodel.queries.sessions import Queries
from streamledger.settings import Settings

if TYPE_CHECKING:  # a tenth of a second that only remote commands need
    import httpx

Answer = TypeVar("Answer")
Parameters = Mapping[str, object]

TIMEOUT_S: Final = 30.0
SILENCE_S_MAX: Final = 40.0
"""The feed sends a heartbeat every 15 s: one that is silent for so long is lost."""
PAUSE_S: Final = 1.0
"""Between two tries to follow a server that has gone."""
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


class ServerUnreachable(StreamledgerError):
    """no streamledger answers at {url}: {cause}"""

    exit_code = 3


class ServerSaid(StreamledgerError):
    """{detail}"""

    EXIT_CODE_OF: ClassVar[Mapping[int, int]] = {400: 2, 404: 4, 409: 4, 503: 3}

    def __init__(self, *, status: int, detail: str) -> None:
        super().__init__(status=status, detail=detail)
        self.exit_code = self.EXIT_CODE_OF.get(status, 1)  # type: ignore[misc]  # as the same error at the store


source_options: Final = together(
    store_options,
    click.option("--url", help="Ask this running server, https://HOST[/PREFIX], instead of a store."),
    click.option("--token", help="Its bearer token; STREAMLEDGER_SERVER_TOKEN shows it to no process list."),
)
"""--url and --token of a running server, and where the ledger is when none is asked."""


def source_of(options: Mapping[str, object]) -> "Store | Server":
    """The source that a command's options, or else the settings, name."""
    flags = dict(options)
    config = flags.pop("config")
    url, token = flags.pop("url"), flags.pop("token")
    stores = [name for name in STORE_FLAGS if flags.get(name) is not None]
    if url is not None and stores:
        raise click.UsageError(
            f"--url asks a server, --{stores[0].replace('_', '-')} a store: give one of them"
        )
    settings = load_settings(
        config if isinstance(config, Path) else None, **flags, server_url=url, server_token=token
    )
    if settings.server_url and not stores:
        return Server(settings)
    return Store(settings)


class Store:
    """The store of the settings, beside a running server or without one."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def ask(
        self,
        shape: type[Answer],  # told by the question
        question: Callable[[Queries], Awaitable[Answer]],
        path: str,  # of a server
        parameters: Parameters,  # of a server
    ) -> Answer:
        """The answer to the question."""
        with bootstrap.open_store(self.settings) as database:

            async def answer() -> Answer:
                async with bootstrap.open_queries(self.settings, database, size=1) as queries:
                    return await question(queries)

            return asyncio.run(answer())

    def follow(
        self,
        after: int,
        stream_id: str | None,
        kinds: frozenset[Kind] | None,
        on_event: Callable[[LedgerEntry], bool],
    ) -> None:
        """From the ledger, as its feed reads it."""
        with bootstrap.open_store(self.settings) as database:

            async def follow() -> None:
                position = after
                async with bootstrap.open_following(self.settings, database) as following:
                    while True:
                        subscription = Subscription(FeedFilter(stream_id=stream_id, kinds=kinds), position)
                        async with aclosing(following.tail.follow(subscription, SILENCE_S_MAX)) as batches:
                            async for messages in batches:
                                for message in messages:
                                    if not on_event(msgspec.json.decode(message.json, type=LedgerEntry)):
                                        return
                        if not subscription.dropped:
                            raise StoreUnavailable(cause="the feed of the ledger was cut off")
                        position = subscription.position  # it had not kept up, and goes on from there

            asyncio.run(follow())


class Server:
    """A running server, by its HTTP interface."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.server_url.rstrip("/")
        parts = urlsplit(self._url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise SettingInvalid(
                name="STREAMLEDGER_SERVER_URL (--url)",
                expected="https://HOST[/PREFIX]",
                # Not quoted with a user: a password may follow.
                got="one with a user in it" if "@" in self._url else repr(self._url),
            )
        token = settings.server_token
        self._headers = {} if token is None else {"Authorization": f"Bearer {token.reveal()}"}
        if token is not None and parts.scheme == "http" and parts.hostname not in LOOPBACK:
            say("streamledger: the token crosses the network in clear text: use https", err=True)

    def _client(self, timeout_s: float = TIMEOUT_S) -> "httpx.Client":
        import httpx  # noqa: PLC0415  # see above

        return httpx.Client(headers=self._headers, timeout=timeout_s)

    def ask(
        self,
        shape: type[Answer],
        question: Callable[[Queries], Awaitable[Answer]],  # of a store
        path: str,
        parameters: Parameters,
    ) -> Answer:
        """What the server answers at the path."""
        return self.get(shape, path, parameters)

    def get(self, shape: type[Answer], path: str, parameters: Parameters) -> Answer:
        """What it answers, in this shape. Raises ServerSaid and ServerUnreachable."""
        import httpx  # noqa: PLC0415  # see above

        try:
            with self._client() as client:
                response = client.get(self._url + path, params=_texts(parameters))
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise ServerUnreachable(url=self._url, cause=str(error) or type(error).__name__) from error
        return self._read(response, shape)

    def _read(self, response: "httpx.Response", shape: type[Answer]) -> Answer:
        status = response.status_code
        if status in (401, 403):
            raise ServerSaid(
                status=status,
                detail=f"{self._url} answers {status}: give a token of it in STREAMLEDGER_SERVER_TOKEN",
            )
        try:
            if status != 200:
                raise ServerSaid(status=status, detail=msgspec.json.decode(response.content)["detail"])
            return msgspec.json.decode(response.content, type=shape)
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            raise ServerUnreachable(
                url=self._url, cause=f"what is there answers {status} in another form"
            ) from error

    def follow(
        self,
        after: int,
        stream_id: str | None,
        kinds: frozenset[Kind] | None,
        on_event: Callable[[LedgerEntry], bool],
    ) -> None:
        """From its feed; a connection that is lost is made again, and goes on where it was."""
        import httpx  # noqa: PLC0415  # see above

        position, has_begun = after, False
        wanted = _texts({"stream_id": stream_id, "kind": [*kinds] if kinds else None})

        def connection_ended() -> bool:
            nonlocal position, has_begun
            with (
                self._client(SILENCE_S_MAX) as client,
                client.stream(
                    "GET", f"{self._url}/v1/events/live", params={**wanted, "after": position}
                ) as response,
            ):
                if response.status_code != 200:
                    response.read()
                    self._read(response, LedgerEntry)
                has_begun = True
                for line in response.iter_lines():
                    field, _, value = line.partition(": ")
                    if field == "id":
                        position = int(value)
                    elif field != "data" or value.startswith('{"resume_after"'):
                        continue
                    elif not on_event(msgspec.json.decode(value, type=LedgerEntry)):
                        return False
            return True

        while True:
            try:
                if not connection_ended():
                    return
            except httpx.HTTPError as error:
                if not has_begun:
                    raise ServerUnreachable(
                        url=self._url, cause=str(error) or type(error).__name__
                    ) from error
            except ServerSaid as error:
                if not has_begun or error.facts["status"] != 503:
                    raise
            except ServerUnreachable:  # a proxy's own page, while its server starts anew
                if not has_begun:
                    raise
            time.sleep(PAUSE_S)


def _texts(parameters: Parameters) -> dict[str, Any]:
    return {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in parameters.items()
        if value is not None
    }


def at(ms: int | None) -> str | None:
    """An instant as a server takes it."""
    return None if ms is None else instant_ms(ms)


def path_of(*names: str) -> str:
    """The path below /v1 of what is so named."""
    return "/v1/" + "/".join(quote(name, safe="") for name in names)
