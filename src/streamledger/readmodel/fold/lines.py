"""Rows in the text format of COPY, and lists as PostgreSQL writes arrays: quicker than one by one."""

from collections.abc import Sequence
from types import NoneType
from typing import Any, Final

import msgspec

from streamledger.readmodel.fold.rows import TableRow

_json = msgspec.json.Encoder(order="deterministic")
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def copy_field(value: Any) -> str:
    """One value in the text format of COPY."""
    if value is None:
        return "\\N"
    kind = type(value)
    if kind is int:
        return str(value)
    if kind is str:
        return str(value.translate(_ESCAPES))
    if kind is bool:
        return "t" if value else "f"
    return json_text(value).translate(_ESCAPES)


def json_text(value: Any) -> str:
    """A list or a struct as the columns of JSON hold it."""
    return _json.encode(value).decode()


class _Form(msgspec.Struct, frozen=True, gc=False):
    # How a row whose values have certain types becomes a line.
    text: str
    nulls: int
    others: tuple[int, ...]


_forms: Final[dict[tuple[type, ...], _Form]] = {}
"""By the types of a row's values: there are few combinations, and % is many times quicker than a loop."""


def _form_of(types: tuple[type, ...]) -> _Form:
    # %.0s takes a value and prints nothing of it.
    form = _Form(
        "\t".join("\\N%.0s" if kind is NoneType else "%s" for kind in types),
        types.count(NoneType),
        tuple(place for place, kind in enumerate(types) if kind not in (NoneType, str, int)),
    )
    _forms[types] = form
    return form


def copy_line(row: TableRow, fields: int | None = None) -> str:
    """A row in the text format of COPY, columns in the order of the struct, without the line's end.

    `fields` takes the first so many of them only.
    """
    values = msgspec.structs.astuple(row)[:fields]  # type: ignore[arg-type] # a TableRow is a struct
    return line_of(values)


def line_of(values: tuple[Any, ...]) -> str:
    """The same of the values."""
    types = tuple(map(type, values))
    form = _forms.get(types) or _form_of(types)
    if form.others:
        fields = list(values)
        for place in form.others:
            value = values[place]
            fields[place] = ("t" if value else "f") if type(value) is bool else json_text(value)
        line = form.text % tuple(fields)
    else:
        line = form.text % values
    # Hardly any text needs escaping: looking at the whole line costs less than at each of its fields.
    if (
        line.count("\\") == form.nulls
        and line.count("\t") == len(values) - 1
        and "\n" not in line
        and "\r" not in line
    ):
        return line
    return "\t".join([copy_field(each) for each in values])


_PLAIN_TYPES: Final = frozenset({int, bool, NoneType})


def array_literal(values: Sequence[str | int | bool | None]) -> str:
    """A list as PostgreSQL writes arrays; psycopg's own arrays take several times as long to make."""
    kinds = set(map(type, values))
    if kinds <= _PLAIN_TYPES:  # Python writes them as PostgreSQL reads them
        return "{" + repr(list(values))[1:-1].replace("None", "NULL") + "}"
    if str not in kinds:
        return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"
    if kinds == {str}:
        together = '","'.join(values)  # type: ignore[arg-type]  # all are str
        if "\\" not in together and together.count('"') == 2 * (len(values) - 1):
            return '{"' + together + '"}'
    return "{" + ",".join(["NULL" if value is None else _quoted(str(value)) for value in values]) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
