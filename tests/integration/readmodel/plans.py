"""Plans of statements on a database that a test has filled: each node of them, with what it has read."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg

from streamledger.postgres.connection import Database, connect
from tests.conftest import clone

Node = dict[str, Any]


@contextmanager
def filled_with(sql: str, server_dsn: str, template: str) -> Iterator[Database]:
    """A database with these rows, and with what the planner wants to know of them."""
    with clone(server_dsn, template) as database:
        with connect(database, application_name="test") as connection:
            connection.execute(sql)  # type: ignore[call-overload]  # several statements of constant text
            connection.execute("VACUUM ANALYZE")
        yield database


def nodes(plan: Node) -> Iterator[Node]:
    """A plan's node, and those below it."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def carried_out(connection: psycopg.Connection[Any], sql: str, facts: Mapping[str, Any]) -> Iterator[Node]:
    """The nodes of a statement's plan once it was carried out."""
    row = connection.execute("EXPLAIN (ANALYZE, TIMING off, FORMAT json) " + sql, facts).fetchone()  # type: ignore[arg-type]  # from the code itself
    assert row is not None
    return nodes(row[0][0]["Plan"])


def rows_of(node: Node, *, filtered: bool) -> int:
    """How many rows a node gave, and if wanted, how many it read besides and gave up."""
    removed = node.get("Rows Removed by Filter", 0) if filtered else 0
    return int((node["Actual Rows"] + removed) * node["Actual Loops"])
