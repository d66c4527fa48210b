"""The composition root: from settings to a store, to services, to the web application."""

import asyncio
import ipaddress
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec
import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from streamledger.domain.errors import SettingInvalid, UnsafeCombination
from streamledger.ledger.append import QuarantineCaps
from streamledger.ledger.appender import Appender, AppenderLimits
from streamledger.operations.attend_rebuilds import RebuildDesk
from streamledger.operations.key_ring import KeyRing
from streamledger.operations.receive import Receiver, Trust
from streamledger.operations.refusal_limit import RefusalLimit
from streamledger.operations.release import Releases
from streamledger.operations.retention import Retention
from streamledger.operations.tokens import ANONYMOUS, SCOPES, digest_of, has_active_token
from streamledger.postgres.connection import Database, connect, connect_async, open_pool_async
from streamledger.postgres.embedded import EmbeddedServer, running_dsn, start_embedded
from streamledger.postgres.schema import migrate
from streamledger.readmodel.feed import Tail
from streamledger.readmodel.feed_source import LedgerSource
from streamledger.readmodel.listening import Listener, Pulse
from streamledger.readmodel.page_queries import PageQueries
from streamledger.readmodel.quarantine_queries import QuarantineQueries
from streamledger.readmodel.queries import Queries
from streamledger.readmodel.runner import Runner
from streamledger.readmodel.session_projection import PROJECTIONS
from streamledger.readmodel.system_queries import SystemQueries
from streamledger.settings import Secret, Settings
from streamledger.tencent.redaction import also_redact
from streamledger.tencent.signature import CallbackKey
from streamledger.web.senders import Network, Senders, networks_of

if TYPE_CHECKING:  # half of a command's start is the web framework: only what serves loads it
    from streamledger.web.app import WebServices
    from streamledger.web.auth import ApiToken
    from streamledger.web.callbacks import HotPath

POOL_SIZE_MAX: Final = 8
"""Connections for queries, per web process."""
FEED_POOL_SIZE_MAX: Final = 4
"""Connections for readers of the feed, per web process."""

SYSTEM_POOL_SIZE_MAX: Final = 2
"""Connections for tokens, quarantine and metrics, per web process: queries never take them all."""

KEY_FILE_LOOK_S: Final = 1.0
"""How often the key file is looked at for a change."""


def now_us() -> int:
    """Microseconds since 1970 UTC: the clock that everything inside is given."""
    return time.time_ns() // 1000


@contextmanager
def open_store(
    settings: Settings, *, serving: bool = False, on_end: Callable[[], None] | None = None
) -> Iterator[Database]:
    """The database of the settings, migrated: the external one, or the embedded one while this lasts.

    A command beside a running server (`serving` false) uses that server's embedded PostgreSQL.
    `on_end` is called, on another thread, when the embedded PostgreSQL has ended, whatever ended it.
    """
    if settings.database_url is not None:
        database = Database(settings.database_url.reveal(), settings.database_schema)
        migrate(database)
        yield database
        return
    dsn = None if serving else running_dsn(settings.data_dir)
    if dsn is not None:
        yield Database(dsn, settings.database_schema)
        return
    with start_embedded(settings.data_dir) as server:
        database = Database(server.dsn, settings.database_schema)
        migrate(database)
        if on_end is not None:
            threading.Thread(target=_await_end, args=(server, on_end), daemon=True).start()
        yield database


def _await_end(server: EmbeddedServer, on_end: Callable[[], None]) -> None:
    server.postmaster.exited.wait()
    on_end()


def callback_keys(secret: Secret | None) -> list[CallbackKey]:
    """The keys of the setting callback_keys: comma-separated, each `name:key` or `key`."""
    keys: list[CallbackKey] = []
    for number, part in enumerate(_parts(secret), start=1):
        name, colon, text = part.rpartition(":")
        keys.append(CallbackKey(name.strip() if colon else f"key{number}", text.strip()))
    names = [key.name for key in keys]
    if len(set(names)) != len(names) or not all(names):
        raise SettingInvalid(
            name="STREAMLEDGER_CALLBACK_KEYS", expected="keys of different names", got=repr(names)
        )
    return keys


def api_tokens(secret: Secret | None) -> "list[ApiToken]":
    """The tokens of the setting api_tokens: comma-separated, each `name:scope:token`."""
    from streamledger.web.auth import ApiToken  # noqa: PLC0415  # the framework, see above

    tokens: list[ApiToken] = []
    for part in _parts(secret):
        name, scope, text = [*part.split(":", 2), "", ""][:3]
        if scope not in SCOPES or not text or name in ("", ANONYMOUS, *(token.name for token in tokens)):
            raise SettingInvalid(
                name="STREAMLEDGER_API_TOKENS",
                expected="name:scope:token, the scope read or admin, the names different",
                got=f"a part named {name[:20]!r} that is not",
            )
        tokens.append(ApiToken(name, scope, digest_of(text)))
    return tokens


def _parts(secret: Secret | None) -> list[str]:
    return [part.strip() for part in secret.reveal().split(",") if part.strip()] if secret else []


def key_ring(settings: Settings) -> KeyRing:
    """The callback keys of the settings and of the key file. Raises SettingInvalid."""
    return KeyRing(callback_keys(settings.callback_keys), settings.callback_keys_file)


def senders(settings: Settings) -> Senders:
    """Whose callbacks are taken, and whose word about a sender's address. Raises SettingInvalid."""
    return Senders(
        _networks("callback_networks", settings.callback_networks),
        _networks("trusted_proxies", settings.trusted_proxies),
    )


def _networks(name: str, text: str) -> list[Network]:
    try:
        return networks_of(part for part in text.split(",") if part.strip())
    except ValueError as error:
        raise SettingInvalid(
            name=f"STREAMLEDGER_{name.upper()}", expected="comma-separated networks (CIDR)", got=repr(text)
        ) from error


def _redact_also(settings: Settings) -> None:
    names = (name.strip() for name in settings.redact_parameters.split(","))
    also_redact(frozenset(name for name in names if name))


def refuse_unsafe(settings: Settings) -> None:
    """Raises UnsafeCombination when others could send what is not verified."""
    if settings.insecure or _is_loopback(settings.host):
        return
    if not _parts(settings.callback_keys) and settings.callback_keys_file is None:
        raise UnsafeCombination(host=settings.host, missing="STREAMLEDGER_CALLBACK_KEYS")


def refuse_unguarded(settings: Settings, database: Database) -> None:
    """Raises UnsafeCombination when others could query: neither the settings nor the store hold a token."""
    if settings.insecure or _is_loopback(settings.host) or _parts(settings.api_tokens):
        return
    with connect(database, application_name="streamledger") as connection:
        if not has_active_token(connection):
            raise UnsafeCombination(
                host=settings.host,
                missing="STREAMLEDGER_API_TOKENS or a token of `streamledger token create`",
            )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def appender_limits(settings: Settings) -> AppenderLimits:
    """The appender's share of the settings."""
    return AppenderLimits(
        batch_size_max=settings.batch_size_max,
        queue_length_max=settings.queue_length_max,
        store_wait_s_max=settings.store_wait_s_max,
        caps=QuarantineCaps(
            refused_rows_max=settings.quarantine_refused_rows_max,
            refused_bytes_max=settings.quarantine_refused_bytes_max,
            signed_rows_max=settings.quarantine_signed_rows_max,
            signed_bytes_max=settings.quarantine_signed_bytes_max,
        ),
    )


def connect_writer(database: Database) -> psycopg.Connection[Any]:
    """The appender's connection: a lock or a statement that hangs must not hang it for ever."""
    connection = connect(database, application_name="streamledger appender")
    connection.execute("SET lock_timeout = '10s'")
    connection.execute("SET statement_timeout = '30s'")
    connection.execute("SET jit = off")
    return connection


@asynccontextmanager
async def open_queries(
    settings: Settings, database: Database, size: int = POOL_SIZE_MAX, projected: Pulse | None = None
) -> AsyncIterator[Queries]:
    """The queries, with a pool of their own; `projected` beats when the read model has moved."""
    _redact_also(settings)
    pool = await open_pool_async(database, min_size=1, max_size=size, name="streamledger queries")
    try:
        yield Queries(
            pool,
            silence_ms_max=settings.silence_s_max * 1000,
            newer_push_ms_max=settings.newer_push_s_max * 1000,
            recording_ended_ms_max=settings.recording_ended_s_max * 1000,
            projected=projected,
        )
    finally:
        await pool.close()


class Following(msgspec.Struct, frozen=True):
    """What follows the ledger in a web process: one listening connection, two tails, a small pool."""

    listener: Listener
    tail: Tail
    changes: Tail
    pages: PageQueries


@asynccontextmanager
async def open_following(settings: Settings, database: Database) -> AsyncIterator[Following]:
    """The feed and what wakes it. Its pool is its own: readers that catch up never hold up a query."""
    listener = Listener(
        lambda: connect_async(database, application_name="streamledger listener"), database.schema
    )
    pool = await open_pool_async(database, min_size=1, max_size=FEED_POOL_SIZE_MAX, name="streamledger feed")
    tail = Tail(LedgerSource(pool), listener.ledger, readers_max=settings.readers_max)
    changes = Tail(LedgerSource(pool, projected=True), listener.projected, readers_max=settings.readers_max)
    try:
        async with listener.listening(), tail.running(), changes.running():
            yield Following(listener, tail, changes, PageQueries(pool, clock_ms=lambda: now_us() // 1000))
    finally:
        await pool.close()


def create_web_app(settings: Settings, database: Database) -> "HotPath":
    """The web application of one worker process."""
    from streamledger.web.app import WebOptions, WebServices, create_app  # noqa: PLC0415  # see above
    from streamledger.web.auth import ApiToken, Tokens  # noqa: PLC0415  # see above
    from streamledger.web.callbacks import HotPath  # noqa: PLC0415  # see above

    fixed_tokens = api_tokens(settings.api_tokens)
    ring = key_ring(settings)
    trust = Trust(
        keys=ring.keys,
        grace_s=settings.expiry_grace_s,
        ahead_s_max=settings.ahead_s_max,
        path_token_configured=settings.callback_token is not None,
    )

    @asynccontextmanager
    async def services() -> "AsyncIterator[WebServices]":
        async with (
            open_following(settings, database) as following,
            open_queries(settings, database, projected=following.listener.projected) as queries,
            _open_system_pool(database) as pool,
        ):
            appender = Appender(lambda: connect_writer(database), database.schema, appender_limits(settings))
            receiver = Receiver(appender, trust, now_us, RefusalLimit(settings.refused_per_minute_max))
            watch = asyncio.create_task(_follow_key_file(ring, receiver))
            system = SystemQueries(pool)

            async def stored_tokens() -> list[ApiToken]:
                return [ApiToken(*token) for token in await system.active_tokens()]

            try:
                yield WebServices(
                    receiver=receiver,
                    queries=queries,
                    quarantine=QuarantineQueries(pool),
                    system=system,
                    releases=releases(settings, database, ring),
                    tokens=Tokens(
                        fixed_tokens,
                        stored_tokens,
                        open_without=settings.insecure or _is_loopback(settings.host),
                    ),
                    tail=following.tail,
                    changes=following.changes,
                    pages=following.pages,
                )
            finally:
                watch.cancel()
                with suppress(asyncio.CancelledError):
                    await watch
                await appender.close()

    application = create_app(
        services,
        WebOptions(
            body_bytes_max=settings.body_bytes_max,
            path_token=settings.callback_token.reveal() if settings.callback_token else None,
            senders=senders(settings),
            key_names=lambda: [key.name for key in ring.keys],
        ),
    )
    return HotPath(application)


@asynccontextmanager
async def _open_system_pool(database: Database) -> AsyncIterator[AsyncConnectionPool[AsyncConnection]]:
    pool = await open_pool_async(
        database, min_size=1, max_size=SYSTEM_POOL_SIZE_MAX, name="streamledger system"
    )
    try:
        yield pool
    finally:
        await pool.close()


async def _follow_key_file(ring: KeyRing, receiver: Receiver) -> None:
    while True:
        await asyncio.sleep(KEY_FILE_LOOK_S)
        if await asyncio.to_thread(ring.refresh):
            receiver.use_keys(ring.keys)


def releases(settings: Settings, database: Database, ring: KeyRing) -> Releases:
    """What releases quarantined deliveries."""
    return Releases(
        lambda: connect(database, application_name="streamledger release"),
        database.schema,
        ring,
        grace_s=settings.expiry_grace_s,
        ahead_s_max=settings.ahead_s_max,
    )


@asynccontextmanager
async def open_quarantine(settings: Settings, database: Database) -> AsyncIterator[QuarantineQueries]:
    """The queries of the quarantine, with a pool of their own."""
    _redact_also(settings)
    async with _open_system_pool(database) as pool:
        yield QuarantineQueries(pool)


def create_retention(settings: Settings, database: Database) -> Retention:
    """What purges the quarantine."""
    return Retention(
        lambda: connect(database, application_name="streamledger retention"),
        database.schema,
        settings.quarantine_days_max,
    )


def create_runner(database: Database) -> Runner:
    """The projection's runner."""
    return Runner(
        lambda: connect(database, application_name="streamledger projector"), database.schema, PROJECTIONS
    )


def create_rebuild_desk(settings: Settings, database: Database) -> RebuildDesk:
    """What does the rebuilds that are asked for over HTTP, or due."""
    return RebuildDesk(database, PROJECTIONS, clock_us=now_us, automatically=settings.rebuild_automatically)
