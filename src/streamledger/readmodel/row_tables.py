"""Writing rows of any projection: COPY for new ones, one statement a table for changes, and their digest."""

import typing
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, ClassVar, Final, Protocol

import msgspec
import psycopg

from streamledger.readmodel.rows import DIGEST_MODULUS, Lines, TableRow, copy_line, digest_of, digest_of_all

ARRAY_TYPES: Final = {int: "int8[]", str: "text[]", bool: "bool[]"}


class RowChange(Protocol):
    """What becomes of one row: inserted (no before), updated, or deleted (no after)."""

    @property
    def before(self) -> TableRow | None:
        """As it stands in the table."""

    @property
    def after(self) -> TableRow | None:
        """As it is to be."""


class RowTables:
    """The tables of one projection in one generation; `suffix` is empty for the live one.

    A subclass names the struct of each table, whose fields are its columns, and the columns of its key,
    which are text unless nothing is ever deleted.
    """

    types: ClassVar[Mapping[str, type[TableRow]]]
    keys: ClassVar[Mapping[str, Sequence[str]]]
    json_columns: ClassVar[frozenset[str]]

    def __init__(self, connection: psycopg.Connection[Any], suffix: str = "") -> None:
        self._connection = connection
        self._suffix = suffix

    def name(self, table: str) -> str:
        """The table's name in this generation."""
        return table + self._suffix

    def write(self, changes: Iterable[RowChange], lines: Iterable[Lines] = ()) -> int:
        """Write changed rows, and new ones that are lines already; returns what they add to the digest.

        Modulo 2^64.
        """
        digest = 0
        inserted: dict[str, list[str]] = {table: [] for table in self.types}
        updated: dict[str, list[TableRow]] = {table: [] for table in self.types}
        deleted: dict[str, list[TableRow]] = {table: [] for table in self.types}
        for change in changes:
            before, after = change.before, change.after
            if before is not None:
                digest -= digest_of(before.TABLE, copy_line(before))
            if after is not None:
                line = copy_line(after)
                digest += digest_of(after.TABLE, line)
                if before is None:
                    inserted[after.TABLE].append(line)
                else:
                    updated[after.TABLE].append(after)
            elif before is not None:
                deleted[before.TABLE].append(before)
        for each in lines:
            digest += digest_of_all(each.table, each.lines)
            inserted[each.table] += each.lines
        for table in self.types:
            self._delete(table, deleted[table])
            self._update(table, updated[table])
            self.copy_in(table, inserted[table])
        return digest % DIGEST_MODULUS

    def copy_in(self, table: str, lines: Sequence[str]) -> None:
        """Insert rows given as lines of COPY's text format."""
        if not lines:
            return
        names = ", ".join(self.types[table].__struct_fields__)
        with (
            self._connection.cursor() as cursor,
            cursor.copy(f"COPY {self.name(table)} ({names}) FROM STDIN") as copy,
        ):
            copy.write("\n".join(lines) + "\n")

    def _update(self, table: str, rows: Sequence[TableRow]) -> None:
        if not rows:
            return
        names = self.types[table].__struct_fields__
        keys = self.keys[table]
        assignments = ", ".join(f"{name} = new.{name}" for name in names if name not in keys)
        matches = " AND ".join(f"old.{name} = new.{name}" for name in keys)
        columns = [[self._parameter(getattr(row, name), name) for row in rows] for name in names]
        sources = ", ".join("%t::" + self._array_type(table, name) for name in names)
        selected = ", ".join(
            f"{name}::jsonb AS {name}" if name in self.json_columns else name for name in names
        )
        self._connection.execute(
            f"UPDATE {self.name(table)} AS old SET {assignments}"  # noqa: S608  # constant names
            f" FROM (SELECT {selected} FROM unnest({sources}) AS given({', '.join(names)})) AS new"
            f" WHERE {matches}",
            [array_literal(column) for column in columns],
        )

    def _delete(self, table: str, rows: Sequence[TableRow]) -> None:
        if not rows:
            return
        keys = self.keys[table]
        arrays = ", ".join("%t::text[]" for _ in keys)
        matches = " AND ".join(f"old.{name} = gone.{name}" for name in keys)
        self._connection.execute(
            f"DELETE FROM {self.name(table)} AS old"  # noqa: S608  # constant names
            f" USING unnest({arrays}) AS gone({', '.join(keys)}) WHERE {matches}",
            [array_literal([getattr(row, name) for row in rows]) for name in keys],
        )

    def _select(self, sql: str, parameters: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
        if not parameters[0]:
            return []
        with self._connection.cursor(binary=True) as cursor:
            cursor.execute(sql, [array_literal(values) for values in parameters], prepare=True)
            return cursor.fetchall()

    def _parameter(self, value: Any, name: str) -> Any:
        if name in self.json_columns and value is not None:
            return msgspec.json.encode(value, order="deterministic").decode()
        return value

    def _array_type(self, table: str, name: str) -> str:
        if name in self.json_columns:
            return "text[]"
        annotation = _annotations(self.types[table])[name]
        return next(sql for kind, sql in ARRAY_TYPES.items() if annotation in (kind, kind | None))


def array_literal(values: Sequence[str | int | bool | None]) -> str:
    """A list as PostgreSQL writes arrays; psycopg's own arrays take several times as long to make."""
    kinds = set(map(type, values))
    if not values or str not in kinds:
        return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"
    if kinds == {str}:
        together = '","'.join(values)  # type: ignore[arg-type]  # all are str
        if "\\" not in together and together.count('"') == 2 * (len(values) - 1):
            return '{"' + together + '"}'
    return "{" + ",".join(["NULL" if value is None else _quoted(str(value)) for value in values]) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def key_columns(keys: Iterable[Sequence[str]], width: int) -> list[list[str]]:
    """Keys as one array a column, as `unnest` takes them."""
    keys = list(keys)
    return [[key[column] for key in keys] for column in range(width)]


@cache
def _annotations(row_type: type[TableRow]) -> dict[str, Any]:
    return typing.get_type_hints(row_type)
