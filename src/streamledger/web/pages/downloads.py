"""What a page shows, as a file: CSV for a table, JSON for a program."""

import csv
import io
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from litestar import Response
from litestar.params import QueryParameter

from streamledger.operations.csv_cells import csv_cell
from streamledger.web.pages.page import HEADERS, AnyRequest, compressed

Form = Annotated[Literal["csv", "json", ""], QueryParameter(name="form")]


def answer(request: AnyRequest, form: str, name: str, items: Sequence[Any]) -> Response[bytes]:
    """The items of a list as a file of that form."""
    rows = [msgspec.to_builtins(each) for each in items]
    if form == "json":
        content, media_type = msgspec.json.format(msgspec.json.encode(rows), indent=1), "application/json"
    else:
        content, media_type = table_of(rows).encode("utf-8", "replace"), "text/csv; charset=utf-8"
    body, encoding = compressed(request, content)
    disposition = {"Content-Disposition": f'attachment; filename="{name}.{form}"'}
    return Response(body, media_type=media_type, headers={**HEADERS, **encoding, **disposition})


def table_of(rows: Sequence[dict[str, Any]]) -> str:
    """CSV with a heading: what lies in an object has a column `object.field`, a list is one text."""
    flat = [_flat(row) for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(columns)
    writer.writerows([[_cell(row.get(name)) for name in columns] for row in flat])
    return written.getvalue()


def _flat(row: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return csv_cell(value) if isinstance(value, str) else msgspec.json.encode(value).decode()
