"""Digests of a projection's rows, counted in SQL when somebody asks: whether two generations are equal."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg

from streamledger.readmodel.rebuild.interrupting import interruptible


def digest_of(connection: psycopg.Connection[Any], tables: Sequence[str], suffix: str = "") -> str:
    """Of all rows of these tables, whatever their order: how many, and the exclusive or of their hashes."""
    count, digest = 0, 0
    for number, table in enumerate(tables, 1):
        row = connection.execute(
            f"SELECT count(*), bit_xor(hash_record_extended(whole, {number})) FROM {table}{suffix} AS whole"  # noqa: S608  # constant names
        ).fetchone()
        assert row is not None  # noqa: S101  # an aggregate
        count += row[0]
        digest ^= row[1] or 0
    return f"{count}-{digest % 2**64:016x}"


def note(
    connection: psycopg.Connection[Any], projection: str, position: int | None, digest: str | None
) -> None:
    """Keep the digest of live rows with the position at which they were counted; None: it is not known."""
    connection.execute(
        "UPDATE projections SET digest = %s, digest_position = %s WHERE name = %s",
        (digest, position, projection),
    )


def share_a_snapshot(connection: psycopg.Connection[Any], beside: psycopg.Connection[Any]) -> None:
    """Begin a read-only transaction on each of them that sees what the other sees."""
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    row = connection.execute("SELECT pg_export_snapshot()").fetchone()
    assert row is not None  # noqa: S101  # a function's value
    beside.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    beside.execute(f"SET TRANSACTION SNAPSHOT '{row[0]}'")


def of_both(
    connection: psycopg.Connection[Any],
    beside: psycopg.Connection[Any],
    tables: Mapping[str, Sequence[str]],
    suffix: str,
    check: Callable[[], None],
) -> dict[str, tuple[str, str]]:
    """By projection the digests of live and rebuilt rows, both counted at once, each on its connection."""
    live, rebuilt = interruptible(
        [
            lambda: {name: digest_of(connection, each) for name, each in tables.items()},
            lambda: {name: digest_of(beside, each, suffix) for name, each in tables.items()},
        ],
        [connection, beside],
        check,
        threads=2,
    )
    return {name: (live[name], rebuilt[name]) for name in tables}
