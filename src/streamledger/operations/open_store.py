"""Open the store of the settings: embedded or external, brought up to date, made only by who may make one."""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from streamledger.domain.errors import StreamledgerError
from streamledger.ledger.reader import check_head
from streamledger.postgres.connection import Database, connect, following
from streamledger.postgres.dump import is_empty
from streamledger.postgres.embedded import EmbeddedServer, running_dsn, start_embedded
from streamledger.postgres.roles import share_out
from streamledger.postgres.schema import migrate
from streamledger.settings import Settings


class StoreAbsent(StreamledgerError):
    """there is no ledger in {place}; name another place, or make one with `streamledger serve`"""

    exit_code = 3


@contextmanager
def open_store(settings: Settings, *, serving: bool = False, make: bool = False) -> Iterator[Database]:
    """The database of the settings, migrated: the external one, or the embedded one while this lasts.

    A command beside a running server (`serving` false) uses that server's embedded PostgreSQL; while serving
    it is started again whenever it ends by itself. Raises StoreAbsent where nothing is, unless it serves or
    is to `make` one: who only reads makes no store in a wrong directory.
    """
    make = make or serving
    if settings.database_url is not None:
        place = _external(settings)
        if not make and is_empty(place.owner):
            raise StoreAbsent(place=f"the schema {settings.database_schema} of the database")
        yield place.prepared()
        return
    dsn = None if serving else running_dsn(settings.data_dir)
    if dsn is not None:
        beside = Database(dsn, settings.database_schema)
        if is_empty(beside):  # whoever works beside a server has no right to make one
            raise StoreAbsent(place=f"the schema {settings.database_schema} of the running server")
        yield beside
        return
    if not make and not (settings.data_dir / "postgres").exists():
        raise StoreAbsent(place=f"the data directory {settings.data_dir}")
    with start_embedded(settings.data_dir) as server:
        place = _embedded(settings, server)
        database = place.prepared()
        if serving:
            server.heal()
        yield database


@contextmanager
def open_empty_store(settings: Settings) -> Iterator["Place"]:
    """Where a backup can be restored, which is checked when it is: nothing is migrated yet."""
    if settings.database_url is not None:
        yield _external(settings)
        return
    with start_embedded(settings.data_dir) as server:
        yield _embedded(settings, server)


class Place(msgspec.Struct, frozen=True):
    """A schema by its two roles, which may be one."""

    database: Database
    owner: Database

    def prepared(self) -> Database:
        """Brings the schema up to date, as its owner. Raises HeadMismatch: nothing must be appended then."""
        migrate(self.owner)
        with connect(self.database, application_name="streamledger") as connection:
            if self.owner is not self.database:
                share_out(self.owner, connection.info.user)
            check_head(connection)
        return self.database


def _external(settings: Settings) -> Place:
    assert settings.database_url is not None  # noqa: S101  # asked before
    database = Database(following(settings.database_url.reveal()), settings.database_schema)
    owner = settings.owner_database_url
    return Place(
        database, Database(following(owner.reveal()), settings.database_schema) if owner else database
    )


def _embedded(settings: Settings, server: EmbeddedServer) -> Place:
    return Place(
        Database(server.dsn, settings.database_schema), Database(server.owner_dsn, settings.database_schema)
    )
