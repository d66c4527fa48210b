"""Export the read model's tables as CSV or Parquet, a few thousand rows at a time, secrets taken out."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg

from streamledger.domain.errors import StreamledgerError
from streamledger.operations.csv_cells import csv_cell
from streamledger.operations.private_files import open_private
from streamledger.tencent.redaction import redact

PAGE_ROWS: Final = 10_000
"""Read at once, and one row group of a Parquet file."""

TABLE_KEYS: Final[dict[str, Sequence[str]]] = {
    "sessions": ("stream_id", "sequence"),
    "session_folds": ("stream_id", "sequence"),
    "timeline": ("stream_id", "kind", "key", "part"),
    "streams": ("stream_id",),
    "repeats": ("position",),
    "notifications": ("stream_id", "kind", "key"),
    "delivery_days": ("day", "judged_as"),
    "minutes": ("minute_ms", "kind"),
    "senders": ("minute_ms", "source_ip", "callback_key"),
}
"""Every table of the read model, with the columns by which its rows are ordered."""

_COLUMNS_SQL: Final = """
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""


class PyarrowAbsent(StreamledgerError):
    """Parquet needs pyarrow, which is not installed: pip install 'streamledger[parquet]', or export CSV"""

    exit_code = 2


class Column(msgspec.Struct, frozen=True):
    """A column and its type, as PostgreSQL names it."""

    name: str
    kind: str


def export_csv(connection: psycopg.Connection[Any], table: str, write: Callable[[bytes], object]) -> int:
    """Write a table with a head line, in the order of its key; returns its rows.

    As PostgreSQL writes CSV: null is nothing at all, an empty text is "", JSON is text. A text that a
    spreadsheet would take for a formula begins with an apostrophe.
    """
    columns = columns_of(connection, table)
    write((",".join(column.name for column in columns) + "\n").encode())
    count = 0
    for page in _pages(connection, table, columns):
        write("".join(",".join(map(_csv_field, row)) + "\n" for row in page).encode())
        count += len(page)
    return count


def export_parquet(connection: psycopg.Connection[Any], table: str, path: Path) -> int:
    """Write a table as Parquet, in the order of its key; returns its rows. Raises PyarrowAbsent.

    A file that is not whole has no footer and cannot be read; so it gets its name in the end only.
    """
    try:
        import pyarrow  # noqa: PLC0415  # an extra
        from pyarrow import parquet  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise PyarrowAbsent from error
    columns = columns_of(connection, table)
    types = {
        "bigint": pyarrow.int64(),
        "integer": pyarrow.int32(),
        "smallint": pyarrow.int16(),
        "boolean": pyarrow.bool_(),
    }
    schema = pyarrow.schema([(each.name, types.get(each.kind, pyarrow.string())) for each in columns])
    count = 0
    partial = path.with_name(path.name + ".partial")
    try:
        open_private(partial, "wb").close()
        with parquet.ParquetWriter(partial, schema, compression="zstd") as writer:
            for page in _pages(connection, table, columns):
                arrays = [
                    pyarrow.array(values, type=field.type)
                    for values, field in zip(zip(*page, strict=True), schema, strict=True)
                ]
                writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
                count += len(page)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return count


def columns_of(connection: psycopg.Connection[Any], table: str) -> list[Column]:
    """The columns of a table, in their order."""
    return [Column(*row) for row in connection.execute(_COLUMNS_SQL, (table,)).fetchall()]


def _pages(
    connection: psycopg.Connection[Any], table: str, columns: Sequence[Column]
) -> Iterator[list[tuple[Any, ...]]]:
    """All rows as of one moment."""
    plain = ("bigint", "integer", "smallint", "boolean", "text")
    selected = ", ".join(
        each.name if each.kind in plain else f"{each.name}::text AS {each.name}" for each in columns
    )
    order = ", ".join(TABLE_KEYS[table])
    with connection.transaction(), connection.cursor(name="export", binary=True) as cursor:
        cursor.execute(f"SELECT {selected} FROM {table} ORDER BY {order}")  # noqa: S608  # constant names
        while page := cursor.fetchmany(PAGE_ROWS):
            yield [tuple(map(_redacted, row)) for row in page]


def _redacted(value: Any) -> Any:
    return redact(value) if type(value) is str else value


def _csv_field(value: Any) -> str:
    if value is None:
        return ""
    if value is True:
        return "t"
    if value is False:
        return "f"
    text = csv_cell(value) if type(value) is str else str(value)
    if not text or any(mark in text for mark in '",\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text
