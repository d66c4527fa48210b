"""The rows of the read model, and the one text form in which they are copied and digested."""

from collections.abc import Iterable
from functools import cache
from types import NoneType
from typing import Any, ClassVar, Final, Protocol

import msgspec
from xxhash import xxh3_64_intdigest

from streamledger.domain.session import OPEN_END_MS, SessionState

_json = msgspec.json.Encoder(order="deterministic")

DIGEST_MODULUS: Final = 2**64

RIVALS_MAX: Final = 8
"""Other contents of one identity that are remembered."""

COPIES_MAX: Final = 32
"""Positions of further deliveries of one notification that are remembered; the ledger has them all."""


class SessionRow(msgspec.Struct, kw_only=True):
    """A row of `sessions`."""

    TABLE: ClassVar[str] = "sessions"

    stream_id: str
    sequence: str
    sort_ms: int = 0
    span_from_ms: int = 0
    span_until_ms: int = 0
    ended: bool = False
    recordings: int = 0
    recording_s: int = 0
    recording_bytes: int = 0
    screenshots: int = 0
    deliveries: int = 0
    position: int = 0
    start_known: bool = False
    app: str | None = None
    appname: str | None = None
    newer_ms: int = OPEN_END_MS
    fold: SessionState


class TimelineRow(msgspec.Struct, kw_only=True):
    """A row of `timeline`: one notification in one session; sequence "" when it belongs to none."""

    TABLE: ClassVar[str] = "timeline"

    stream_id: str
    kind: str
    key: str
    sequence: str
    at_ms: int
    until_ms: int
    position: int
    received_ms: int
    deliveries: int
    content: str | None = None
    """Digest of the content that counts; None while there was one delivery: its event has it."""
    rivals: tuple[tuple[str, int], ...] | None = None
    confidence: str | None = None
    because: str | None = None
    alternatives: tuple[str, ...] | None = None
    duration_s: int | None = None
    bytes: int | None = None
    note: str | None = None
    copies: tuple[int, ...] | None = None


class StreamRow(msgspec.Struct, kw_only=True):
    """A row of `streams`."""

    TABLE: ClassVar[str] = "streams"

    stream_id: str
    sessions: int = 0
    recordings: int = 0
    screenshots: int = 0
    others: int = 0
    unattributed: int = 0
    open_sessions: int = 0
    latest_ms: int = 0
    first_seen_us: int
    last_seen_us: int
    position: int = 0


AnyRow = SessionRow | TimelineRow | StreamRow


class TableRow(Protocol):
    """A struct whose fields are the columns of a table."""

    TABLE: ClassVar[str]
    __struct_fields__: ClassVar[tuple[str, ...]]


class Lines(msgspec.Struct, frozen=True):
    """Rows of one table that are lines of COPY's text format already."""

    table: str
    lines: list[str]


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
    return _json.encode(value).decode().translate(_ESCAPES)


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


def copy_line(row: TableRow) -> str:
    """A row in the text format of COPY, columns in the order of the struct, without the line's end."""
    values = msgspec.structs.astuple(row)  # type: ignore[arg-type] # a TableRow is a struct
    types = tuple(map(type, values))
    form = _forms.get(types) or _form_of(types)
    if form.others:
        fields = list(values)
        for place in form.others:
            value = values[place]
            if value is True:
                fields[place] = "t"
            elif value is False:
                fields[place] = "f"
            else:
                fields[place] = _json.encode(value).decode()
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


def digest_of(table: str, line: str) -> int:
    """What a row adds to its projection's digest: the sum over all rows is independent of their order."""
    return xxh3_64_intdigest(line.encode(), _seed(table))


def digest_of_all(table: str, lines: Iterable[str]) -> int:
    """What these rows of one table add."""
    seed = _seed(table)
    return sum([xxh3_64_intdigest(line.encode(), seed) for line in lines])


@cache
def _seed(table: str) -> int:
    return xxh3_64_intdigest(table.encode())
