"""The composition root: from settings to a store, to services, to the web application."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec
import psycopg

from streamledger.domain.errors import SettingInvalid, StoreUnavailable, UnsafeCombination
from streamledger.invocation import own_command
from streamledger.ledger.appender import Appender, AppenderLimits
from streamledger.ledger.application import Ledger, environment
from streamledger.ledger.quarantining import QuarantineCaps
from streamledger.operations import open_store as opening
from streamledger.operations.absences import Absences
from streamledger.operations.agreement import Agreement
from streamledger.operations.attend_rebuilds import RebuildAttendant
from streamledger.operations.given_secrets import callback_keys, cookie_key, is_exposed, parts_of
from streamledger.operations.health import Health
from streamledger.operations.key_ring import KeyRing, follow_file
from streamledger.operations.observe import ObservedReceiver
from streamledger.operations.receive import Receiver, ReceiverLimits, Trust
from streamledger.operations.release import Releases
from streamledger.operations.retention import Retention
from streamledger.operations.timings import SHARED
from streamledger.operations.tokens import ANONYMOUS, SCOPES, digest_of, has_active_token
from streamledger.operations.tracing import observers_of
from streamledger.postgres.connection import Database, connect, connect_async, open_pool_async
from streamledger.postgres.disk_space import free_bytes
from streamledger.postgres.healing import restarts
from streamledger.postgres.patience import ANSWERING, APPENDING, PROJECTING, UNHURRIED, WRITING, Patience
from streamledger.readmodel.feed.feed import Tail
from streamledger.readmodel.feed.listening import Listener, Pulse
from streamledger.readmodel.feed.source import LedgerSource
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.projections.runner import Runner
from streamledger.readmodel.queries.pages import PageQueries
from streamledger.readmodel.queries.quarantine import QuarantineQueries
from streamledger.readmodel.queries.sessions import Queries
from streamledger.readmodel.queries.system import SystemQueries
from streamledger.settings import Secret, Settings
from streamledger.supervision import Tasks
from streamledger.telemetry import configure_logging
from streamledger.tencent.redaction import also_redact
from streamledger.web.senders import Network, Senders, networks_of

if TYPE_CHECKING:  # half of a command's start is the web framework: only what serves loads it
    from streamledger.web.app import WebServices
    from streamledger.web.auth import ApiToken
    from streamledger.web.callbacks import HotPath
    from streamledger.web.images import ImageHosts

POOL_SIZE_MAX: Final = 8
"""Connections for queries, per web process."""
FEED_POOL_SIZE_MAX: Final = 4
"""Connections for readers of the feed, per web process."""

SYSTEM_POOL_SIZE_MAX: Final = 2
"""Connections for tokens, quarantine and metrics, per web process: queries never take them all."""

RENEWED: Final = frozenset({"callback_keys", "callback_keys_file", "api_tokens", "log_level"})
"""The settings that a running server can change (SIGHUP); the others need a new start."""


open_store: Final = opening.open_store
open_empty_store: Final = opening.open_empty_store


@contextmanager
def open_connection(
    settings: Settings, command: str, *, make: bool = False, patience: Patience = UNHURRIED
) -> Iterator[tuple[Database, psycopg.Connection[Any]]]:
    """The store of the settings, and a connection to it for a command."""
    with (
        open_store(settings, make=make) as database,
        connect(database, application_name=f"streamledger {command}", patience=patience) as connection,
    ):
        yield database, connection


def now_us() -> int:
    """Microseconds since 1970 UTC: the clock that everything inside is given."""
    return time.time_ns() // 1000


def api_tokens(secret: Secret | None) -> "list[ApiToken]":
    """The tokens of the setting api_tokens: comma-separated, each `name:scope:token`."""
    from streamledger.web.auth import ApiToken  # noqa: PLC0415  # the framework, see above

    tokens: list[ApiToken] = []
    for number, part in enumerate(parts_of(secret), start=1):
        name, scope, text = [*part.split(":", 2), "", ""][:3]
        if scope not in SCOPES or not text or name in ("", ANONYMOUS, *(token.name for token in tokens)):
            # Nothing of it is shown: behind a comma in a token stands the rest of that token.
            raise SettingInvalid(
                name="STREAMLEDGER_API_TOKENS",
                expected="name:scope:token, scope read or admin, names different, no comma in a token",
                got=f"a part, number {number}, that is not",
            )
        tokens.append(ApiToken(name, scope, digest_of(text)))
    return tokens


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


def public_url(settings: Settings) -> str:
    """Where others reach the server, without a slash at its end, or "". Raises SettingInvalid."""
    from streamledger.web.prefix import public_url_of  # noqa: PLC0415  # only what serves needs it

    return public_url_of(settings.public_url)


def _redact_also(settings: Settings) -> None:
    names = (name.strip() for name in settings.redact_parameters.split(","))
    also_redact(frozenset(name for name in names if name))


def image_hosts(settings: Settings) -> "ImageHosts":
    """Hosts whose images the pages load. Raises SettingInvalid."""
    from streamledger.web.images import ImageHosts  # noqa: PLC0415  # only what serves needs them

    try:
        return ImageHosts(settings.image_hosts.split(","))
    except ValueError as error:
        raise SettingInvalid(
            name="STREAMLEDGER_IMAGE_HOSTS", expected="names of hosts, `*.name` or `*`", got=repr(str(error))
        ) from error


def refuse_unguarded(settings: Settings, database: Database) -> None:
    """Raises UnsafeCombination when others could query: neither the settings nor the store hold a token."""
    if not is_exposed(settings) or parts_of(settings.api_tokens):
        return
    with connect(database, application_name="streamledger") as connection:
        if not has_active_token(connection):
            raise UnsafeCombination(
                host=settings.host,
                missing="STREAMLEDGER_API_TOKENS or a token of `streamledger token create`",
            )


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
    """The appender's connection: nothing hangs it for longer than deliveries may wait."""
    return connect(database, application_name="streamledger appender", patience=APPENDING)


def open_ledger(database: Database) -> Ledger:
    """The ledger, through which everything is written. It connects when the library is asked to read."""
    return Ledger(environment(database))


@asynccontextmanager
async def open_queries(
    settings: Settings, database: Database, size: int = POOL_SIZE_MAX, projected: Pulse | None = None
) -> AsyncIterator[Queries]:
    """The queries, with a pool of their own; `projected` beats when the read model has moved."""
    _redact_also(settings)
    async with await open_pool_async(database, max_size=size, name="streamledger queries") as pool:
        yield Queries(pool, settings.suspect_limits(), projected=projected)


class Following(msgspec.Struct, frozen=True):
    """What follows the ledger in a web process: one listening connection, two tails, a small pool."""

    listener: Listener
    tail: Tail
    changes: Tail
    pages: PageQueries


@asynccontextmanager
async def open_following(
    settings: Settings, database: Database, tasks: Tasks | None = None
) -> AsyncIterator[Following]:
    """The feed and what wakes it. Its pool is its own: readers that catch up never hold up a query."""
    listener = Listener(
        lambda: connect_async(database, application_name="streamledger listener", patience=ANSWERING),
        database.schema,
    )
    readers_max, tasks = settings.readers_max, tasks or Tasks()
    async with await open_pool_async(database, max_size=FEED_POOL_SIZE_MAX, name="streamledger feed") as pool:
        tail = Tail(LedgerSource(pool), listener.ledger, readers_max=readers_max)
        changes = Tail(LedgerSource(pool, projected=True), listener.projected, readers_max=readers_max)
        async with listener.listening(tasks), tail.running(tasks), changes.running(tasks, "changes"):
            yield Following(listener, tail, changes, PageQueries(pool, clock_ms=lambda: now_us() // 1000))


def create_web_app(settings: Settings, database: Database, row: int = 0) -> "HotPath":
    """The web application of one worker process; `row` is its own in the timings that all of them share."""
    from streamledger.web.app import WebOptions, WebServices, create_app  # noqa: PLC0415  # see above
    from streamledger.web.auth import ApiToken, Tokens  # noqa: PLC0415  # see above
    from streamledger.web.bounds import bounds_of  # noqa: PLC0415  # see above
    from streamledger.web.callbacks import HotPath  # noqa: PLC0415  # see above
    from streamledger.web.connections import ConnectionLimits  # noqa: PLC0415  # see above
    from streamledger.web.pages.links import stand_below  # noqa: PLC0415  # see above
    from streamledger.web.pages.page import load_images_from  # noqa: PLC0415  # see above

    load_images_from(image_hosts(settings))
    prefix = urlsplit(public_url(settings)).path
    stand_below(prefix)
    fixed_tokens = api_tokens(settings.api_tokens)
    ring = key_ring(settings)
    known_senders = senders(settings)
    bounds = bounds_of(
        settings.picked(ConnectionLimits),
        known_senders,
        wrong_tokens_per_minute_max=settings.wrong_tokens_per_minute_max,
        readers_per_token_max=settings.readers_per_token_max,
    )
    trust = Trust(
        keys=ring.keys,
        grace_s=settings.expiry_grace_s,
        ahead_s_max=settings.ahead_s_max,
        path_token_configured=settings.callback_token is not None,
        path_token_required=settings.callback_token_required,
    )

    @asynccontextmanager
    async def services() -> "AsyncIterator[WebServices]":
        tasks = Tasks()
        observers, end_observing = observers_of(settings)
        async with (
            open_following(settings, database, tasks) as following,
            open_queries(settings, database, projected=following.listener.projected) as queries,
            await open_pool_async(
                database, max_size=SYSTEM_POOL_SIZE_MAX, name="streamledger system"
            ) as pool,
        ):
            ledger = open_ledger(database)
            appender = Appender(
                lambda: connect_writer(database),
                ledger,
                appender_limits(settings),
                observe_commit=SHARED.row(row).commit.observe,
            )
            absences = (
                Absences(lambda: connect_writer(database), now_us) if settings.believe_after_absence else None
            )
            parts = (appender, trust, now_us, settings.picked(ReceiverLimits), bounds.reached.note, absences)
            receiver = ObservedReceiver(*parts, observers=observers) if observers else Receiver(*parts)
            system = SystemQueries(pool)
            if absences is not None:
                with suppress(StoreUnavailable):  # before anything is judged
                    await absences.look()
            agreement = Agreement(settings, ring)
            health = Health(
                appender,
                connect=lambda: connect(database, application_name="streamledger health", patience=ANSWERING),
                data_dir=settings.data_dir if settings.database_url is None else None,
                clock_us=now_us,
                absences=absences,
                agreement=agreement,
            )
            tasks.keep_thread("health", health.watch, lambda: health.is_stopping).start()

            def renew(fresh: Settings) -> None:
                # All that can fail first: new settings are taken whole or not at all.
                given = api_tokens(fresh.api_tokens)
                ring.renew(callback_keys(fresh.callback_keys), fresh.callback_keys_file)
                receiver.use_keys(ring.keys)
                tokens.use_fixed(given)
                agreement.renew(fresh)
                configure_logging(fresh.log_level, settings.log_format)

            async def stored_tokens() -> list[ApiToken]:
                return [ApiToken(*token) for token in await system.active_tokens()]

            tokens = Tokens(
                fixed_tokens,
                stored_tokens,
                open_without=not is_exposed(settings),
            )
            try:
                async with tasks.keep("key file", lambda: follow_file(ring, receiver.use_keys)):
                    yield WebServices(
                        receiver=receiver,
                        queries=queries,
                        quarantine=QuarantineQueries(pool),
                        system=system,
                        releases=releases(settings, database, ring),
                        tokens=tokens,
                        tail=following.tail,
                        changes=following.changes,
                        pages=following.pages,
                        tasks=tasks,
                        health=health,
                        renew=renew,
                    )
            finally:
                health.stop()
                await appender.close()
                await asyncio.to_thread(end_observing)

    application = create_app(
        services,
        WebOptions(
            body_bytes_max=settings.body_bytes_max,
            path_token=settings.callback_token.reveal() if settings.callback_token else None,
            senders=known_senders,
            bounds=bounds,
            key_names=lambda: [key.name for key in ring.keys],
            own_command=own_command(),
            public_url=public_url(settings),
            embedded_restarts=restarts,
            disk_free_bytes=lambda: None if settings.database_url else free_bytes(settings.data_dir),
            path_token_required=settings.callback_token_required,
            cookie_key=cookie_key(settings),
            timings=SHARED.row(row),
        ),
    )
    return HotPath(application, bounds.connections, prefix, SHARED.row(row))


def releases(settings: Settings, database: Database, ring: KeyRing) -> Releases:
    """What releases quarantined deliveries."""
    return Releases(
        lambda: connect(database, application_name="streamledger release", patience=WRITING),
        open_ledger(database),
        ring,
        grace_s=settings.expiry_grace_s,
        ahead_s_max=settings.ahead_s_max,
    )


def create_retention(settings: Settings, database: Database) -> Retention:
    """What purges the quarantine."""
    return Retention(
        lambda: connect(database, application_name="streamledger retention", patience=WRITING),
        settings.quarantine_days_max,
    )


def create_runner(database: Database) -> Runner:
    """The projection's runner."""
    return Runner(
        lambda: connect(database, application_name="streamledger projector", patience=PROJECTING),
        database.schema,
        PROJECTIONS,
    )


def create_rebuild_attendant(settings: Settings, database: Database) -> RebuildAttendant:
    """What does the rebuilds that are asked for over HTTP, or due."""
    by_itself, limits = settings.rebuild_automatically, settings.suspect_limits()
    return RebuildAttendant(database, PROJECTIONS, clock_us=now_us, automatically=by_itself, limits=limits)
