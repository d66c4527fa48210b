"""docs/deploy/several-ledgers.md on one PostgreSQL: two servers by its statements, each by itself."""

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.acceptance.serving import Service, data_directory, serving
from tests.deliveries import push_started
from tests.house.rooms import ROOT

PAGE = (ROOT / "docs" / "deploy" / "several-ledgers.md").read_text()
LEDGERS = ("one", "two")


@pytest.fixture(scope="module")
def places(system_postgres: str) -> Iterator[dict[str, str]]:
    """By schema how its role connects, after what the page says was done."""
    database = make_conninfo(system_postgres, dbname="live")
    with psycopg.connect(system_postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE live")
    with psycopg.connect(database, autocommit=True) as connection:
        statements = re.findall(r"-c '([^']+)'", PAGE)
        assert len(statements) == 2 * len(LEDGERS)
        for statement in statements:
            connection.execute(statement.encode())
    yield {name: make_conninfo(database, user=f"ledger_{name}") for name in LEDGERS}
    with psycopg.connect(system_postgres, autocommit=True) as connection:
        connection.execute("DROP DATABASE live WITH (FORCE)")
        for name in LEDGERS:
            connection.execute(f"DROP ROLE ledger_{name}".encode())


def sequences(service: Service) -> list[str]:
    return [each["sequence"] for each in service.read("/v1/sessions")["items"]]


def test_two_ledgers_on_one_database_know_nothing_of_each_other(places: dict[str, str]) -> None:
    with ExitStack() as stack:
        for number, (name, dsn) in enumerate(places.items(), start=1):
            data_dir = stack.enter_context(data_directory())
            service = stack.enter_context(serving(data_dir, database_url=dsn, database_schema=name))
            for each in range(number):
                position = service.deliver(push_started(name, f"{number}{each}", int(time.time()))).position
            assert position == number  # each counts for itself
            assert sorted(sequences(service)) == [f"{number}{each}" for each in range(number)]
    with psycopg.connect(places["one"]) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT FROM two.ledger_events")
