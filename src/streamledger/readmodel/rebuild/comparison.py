"""What a rebuild would change: the rows of two generations held against each other by their keys."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import psycopg

from streamledger.domain.rebuild_answers import Change

_KEY_SQL = """
SELECT a.attname FROM pg_index AS x
JOIN LATERAL unnest(x.indkey) WITH ORDINALITY AS k(number, place) ON true
JOIN pg_attribute AS a ON a.attrelid = x.indrelid AND a.attnum = k.number
WHERE x.indrelid = %s::regclass AND x.indisprimary ORDER BY k.place
"""


class RowDifference(msgspec.Struct, frozen=True):
    """One row that differs."""

    kind: str
    """added (only history has it), removed (only the live table has it) or changed"""
    key: dict[str, Any]
    fields: dict[str, list[Any]]
    """Of a changed row: field to [live, rebuilt]."""


class Difference(msgspec.Struct, frozen=True):
    """How the rows of one table differ."""

    table: str
    added: int
    removed: int
    changed: int
    fields: dict[str, int]
    """Field to number of changed rows in which it differs."""
    examples: list[RowDifference]


OnRow = Callable[[str, RowDifference], None]


def compare(
    connection: psycopg.Connection[Any],
    tables: Sequence[str],
    suffix: str,
    examples_max: int,
    where: tuple[str, Sequence[Any]] | None = None,
    on_row: OnRow = lambda *_: None,
) -> list[Difference]:
    """Table by table, counts by kind of change and the first rows in the order of their keys.

    `where` is a column and its values: only rows that have one of them are looked at. `on_row` is given
    every row that differs, with its table's name; they may be more than fit in memory.
    """
    return [_compare(connection, table, suffix, examples_max, where, on_row) for table in tables]


def _compare(
    connection: psycopg.Connection[Any],
    table: str,
    suffix: str,
    examples_max: int,
    where: tuple[str, Sequence[Any]] | None,
    on_row: OnRow,
) -> Difference:
    key = [row[0] for row in connection.execute(_KEY_SQL, (table,)).fetchall()]
    using = ", ".join(key)
    condition = f" WHERE {where[0]} = ANY(%(values)s)" if where else ""
    counts = {"added": 0, "removed": 0, "changed": 0}
    fields: dict[str, int] = {}
    examples: list[RowDifference] = []
    sql = (
        f"SELECT to_jsonb(live), to_jsonb(made) FROM (SELECT * FROM {table}{condition}) AS live"  # noqa: S608  # constant names
        f" FULL JOIN (SELECT * FROM {table}{suffix}{condition}) AS made USING ({using})"
        f" WHERE ROW(live.*) IS DISTINCT FROM ROW(made.*) ORDER BY {using}"
    )
    with connection.cursor(name="differences") as cursor:
        cursor.itersize = 500
        cursor.execute(sql, {"values": list(where[1]) if where else None})
        for live, made in cursor:
            kind = "added" if live is None else "removed" if made is None else "changed"
            counts[kind] += 1
            differing = {}
            if kind == "changed":
                differing = {name: [value, made[name]] for name, value in live.items() if made[name] != value}
                for name in differing:
                    fields[name] = fields.get(name, 0) + 1
            found = live or made
            row = RowDifference(kind, {name: found[name] for name in key}, differing)
            on_row(table, row)
            if len(examples) < examples_max:
                examples.append(row)
    return Difference(table, **counts, fields=fields, examples=examples)


def kept_of(differences: Sequence[Difference], changes: Sequence[Change], examples_max: int) -> bytes:
    """What a dry run leaves in its record, as JSON: every count, and the first examples of each."""
    return msgspec.json.encode(
        {
            name: [msgspec.structs.replace(each, examples=each.examples[:examples_max]) for each in found]
            for name, found in (("tables", differences), ("changes", changes))
        }
    )


def read_kept(text: str | None) -> tuple[list[dict[str, Any]] | None, list[Change] | None]:
    """Differences and changes as `kept_of` has written them, or an older version, which kept the former."""
    if text is None:
        return None, None
    kept = msgspec.json.decode(text)
    if isinstance(kept, list):
        return kept, None
    return kept["tables"], msgspec.convert(kept["changes"], list[Change])
